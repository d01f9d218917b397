"""The selection grammar, used on the command line and in TOML: `name[param=value,param=[a,b]]`.

    selection  = ( name | '"' text '"' ) [ "[" [ parameter { "," parameter } ] "]" ]
    parameter  = key "=" ( value | "[" value { "," value } "]" )
    value      = number | "true" | "false" | "none" | "(" value { "," value } ")" | word | '"' text '"'

A list is a sweep: `adam[eps=[1e-8,1e-3]]` selects two optimizers. Parentheses enclose one tuple:
`adam[betas=(0.9,0.99)]`. A name may also be `file.py:Class` or `package.module:Class`. It is quoted if it contains
brackets, parentheses, commas or similar characters: `"my [old] rules.py:Class"[lr=0.1]`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from itertools import product
from typing import Any

from optbench.errors import UserError, invalid, out_of_range

_WORD = re.compile(r"[^\[\]\(\),=\"\s]+")
_NAME = re.compile(r"[^\]\[\(\)=,\"]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
_KEYWORDS = {"true": True, "false": False, "none": None}
#: Maximum nesting depth of parentheses.
_MAX_DEPTH = 20


@dataclass(frozen=True)
class Selection:
    """A name and its parameters, in the order in which they were written."""

    name: str
    parameters: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        plain = _NAME.fullmatch(self.name) and self.name == self.name.strip()
        name = self.name if plain else json.dumps(self.name, ensure_ascii=False)
        if not self.parameters:
            return name
        inner = ",".join(f"{key}={format_value(value)}" for key, value in self.parameters)
        return f"{name}[{inner}]"


def parse(text: str) -> list[Selection]:
    """Parse a selection; a parameter that sweeps over a list yields several.

    Raises:
        UserError: If the text does not follow the grammar; the message names the text and the column.

    >>> [str(selection) for selection in parse("adam[eps=[1e-8,1e-3]]")]
    ['adam[eps=1e-8]', 'adam[eps=0.001]']
    """
    return _Parser(text).parse()


def format_value(value: Any) -> str:
    """Format a value in the notation of the grammar; `parse` reads the same value back."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, (list, tuple)):
        return "(" + ",".join(format_value(item) for item in value) + ")"
    if isinstance(value, float):
        # Use the shortest notation that reads back as the same float: 1e-8 instead of 1e-08.
        return re.sub(r"e([+-])0*(\d)", lambda m: f"e{m[1].strip('+')}{m[2]}", repr(value))
    if isinstance(value, int):
        return repr(value)
    text = str(value)
    plain = _WORD.fullmatch(text) and text.lower() not in _KEYWORDS and not _NUMBER.match(text)
    return text if plain else json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class AcceptedValues:
    """The values that a parameter accepts, in addition to having the type of its default."""

    #: Bounds of a number. `low` itself is accepted unless `above` is set.
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    #: Accept only whole numbers.
    whole: bool = False
    #: Accept non-empty tuples of any length instead of the default's length.
    any_length: bool = False
    #: Accept `none` instead of a string.
    none: bool = False

    @property
    def numbers(self) -> str:
        """The accepted numbers in words."""
        kind = "a whole number" if self.whole else "a number"
        if self.high < math.inf:
            return f"{kind} from {self.low:g} to {self.high:g}"
        if self.low == -math.inf:
            return kind
        return f"{kind} above {self.low:g}" if self.above else f"{kind} of at least {self.low:g}"


def convert(what: str, value: Any, default: Any, accepted: AcceptedValues) -> Any:
    """Convert a parameter value to the type of its default: 2 becomes 2.0 if the default is a float.

    Args:
        what: Name of the parameter, for error messages.
        value: The value to convert.
        default: The parameter's default value, whose type decides.
        accepted: The accepted range.

    Raises:
        UserError: If the value has another type or is out of range.
    """
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise invalid(what, value, "true or false")
    elif isinstance(default, (int, float)):
        if not _is_number(value, accepted):
            raise out_of_range(what, value, accepted.numbers)
        return float(value) if isinstance(default, float) else value
    elif isinstance(default, tuple):
        return _convert_tuple(what, value, default, accepted)
    elif isinstance(default, str) and not (isinstance(value, str) or (value is None and accepted.none)):
        raise invalid(what, value, f"a string such as {default}" + (", or none" if accepted.none else ""))
    return value


def _convert_tuple(what: str, value: Any, default: tuple[Any, ...], accepted: AcceptedValues) -> tuple[Any, ...]:
    if accepted.any_length:
        if not isinstance(value, tuple) or not value:
            raise invalid(what, value, f"values in parentheses, as in {default}")
        return tuple(convert(what, item, default[0], accepted) for item in value) if default else value
    if not isinstance(value, tuple) or len(value) != len(default) or not all(map(is_number, value)):
        raise invalid(what, value, f"{len(default)} numbers in parentheses, as in {default}")
    return tuple(float(item) if isinstance(like, float) else item for item, like in zip(value, default, strict=True))


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; true and false do not count."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_number(value: Any, accepted: AcceptedValues) -> bool:
    if not is_number(value) or (accepted.whole and not isinstance(value, int)):
        return False
    return accepted.low <= value <= accepted.high and not (accepted.above and value == accepted.low)


class _Parser:
    """A recursive-descent parser of one selection; `at` is the current position."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def parse(self) -> list[Selection]:
        if not self.text.replace("\t", " ").isprintable():
            raise UserError(f"selection {self.text!r} contains unprintable characters")
        name = self._parse_name()
        keys: list[str] = []
        choices: list[list[Any]] = []
        if self._take("["):
            while not self._take("]"):
                if keys:
                    self._expect(",")
                key = self._parse_word("a parameter name")
                if key in keys:
                    raise self._error(f"parameter {key!r} is given twice")
                self._expect("=")
                keys.append(key)
                choices.append(self._parse_list() if self._take("[") else [self._parse_value()])
        if self.at < len(self.text):
            raise self._error("expected the end of the selection")
        return [Selection(name, tuple(zip(keys, values, strict=True))) for values in product(*choices)]

    def _parse_name(self) -> str:
        if self._peek() == '"':
            name = self._parse_string()
            self._peek()
        else:
            end = self.text.find("[")
            self.at = len(self.text) if end < 0 else end
            name = self.text[: self.at].strip()
            if not _NAME.fullmatch(name):
                name = ""
        if not name:
            raise UserError(f"selection {self.text!r} has no valid name (accepted: name[param=value,…])")
        return name

    def _parse_list(self) -> list[Any]:
        values: list[Any] = []
        while not self._take("]"):
            if values:
                self._expect(",")
            values.append(self._parse_value())
        if not values:
            raise self._error("an empty list selects nothing")
        return values

    def _parse_value(self) -> Any:
        if self._take("("):
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise self._error(f"parentheses are nested more than {_MAX_DEPTH} levels deep")
            items: list[Any] = []
            while not self._take(")"):
                if items:
                    self._expect(",")
                items.append(self._parse_value())
            self.depth -= 1
            return tuple(items)
        if self._peek() == '"':
            return self._parse_string()
        word = self._parse_word("a value")
        if word.lower() in _KEYWORDS:
            return _KEYWORDS[word.lower()]
        return self._parse_number(word) if _NUMBER.match(word) else word

    def _parse_string(self) -> str:
        try:
            text, self.at = json.JSONDecoder().raw_decode(self.text, self.at)
        except ValueError:
            raise self._error("expected a quoted JSON string") from None
        if not text.isprintable():
            raise self._error("a quoted string must be printable")
        return str(text)

    def _parse_number(self, word: str) -> int | float:
        try:
            number = int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word)
            if math.isfinite(number):
                return number
        except (ValueError, OverflowError):
            pass
        raise self._error("the preceding number is too large")

    def _parse_word(self, what: str) -> str:
        self._skip_spaces()
        match = _WORD.match(self.text, self.at)
        if not match:
            raise self._error(f"expected {what}")
        self.at = match.end()
        return match.group()

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._error(f"expected {token!r}")

    def _take(self, token: str) -> bool:
        if self._peek() == token:
            self.at += 1
            return True
        return False

    def _peek(self) -> str:
        self._skip_spaces()
        return self.text[self.at : self.at + 1]

    def _skip_spaces(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1

    def _error(self, message: str) -> UserError:
        return UserError(
            f"selection {self.text!r}, column {self.at + 1}: {message} (accepted: name[param=value,param=[a,b]])"
        )
