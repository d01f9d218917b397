"""Texts for problems of language: one that comes with every Python, or a file of the user's own.

Nothing here needs torch, and neither text is large: budgets are made of their lengths.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from optbench.errors import UserError, unknown
from optbench.problem.datasets.place import is_place, path_of

#: The text that Python brings.
UNICODE_NAMES = "unicode_names"
#: The beginning of its SHA-256, by which a Python with other names is noticed.
_SHA256 = "f3a5b6d7b3daf8e7"
#: Code points of the Basic Multilingual Plane but for Han, Hangul and surrogates, whose names are made by rules.
_CODE_POINTS = (range(0x3400), range(0xA000, 0xAC00), range(0xE000, 0x10000))
_ORDER_SEED = 3
#: Files beyond are no texts for networks that train in seconds.
_LARGEST = 64 * 2**20


@dataclass(frozen=True)
class Text:
    """A text; `fingerprint` is a hash of its characters."""

    content: str
    fingerprint: str

    @cached_property
    def alphabet(self) -> str:
        """The different characters in order; the place of one is its token."""
        return "".join(sorted(set(self.content)))

    @cached_property
    def tokens(self) -> np.ndarray:
        """The text as places in the alphabet, (characters,) of int64."""
        codes = np.frombuffer(self.content.encode("utf-32-le"), dtype="<u4")
        return np.searchsorted(np.unique(codes), codes).astype(np.int64)


def text(what: str, data: str) -> Text:
    """The text that `data` names: `unicode_names`, or the path of a file in UTF-8.

    `what` is the parameter that errors speak of. Raises UserError where there is no such text.
    """
    if data == UNICODE_NAMES:
        return unicode_names()
    path = path_of(data)
    if not is_place(data) and not path.is_file():
        raise unknown(what, data, [UNICODE_NAMES, "the path of a text file"])
    try:
        state = path.stat()
        if not path.is_file():
            raise UserError(f"{what}: {path} is no file (accepted: a text file in UTF-8)")
        if state.st_size > _LARGEST:
            raise UserError(f"{what}: {path} has {state.st_size} bytes (accepted: a text of at most {_LARGEST})")
        return _file(path.absolute(), state.st_mtime_ns, state.st_size)
    except UnicodeDecodeError as error:
        raise UserError(f"{what}: {path} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{what}: {path} can't be read: {getattr(error, 'strerror', None) or error}") from None


@lru_cache(maxsize=1)
def unicode_names() -> Text:
    """The names of 11,195 characters in a fixed random order, one a line: LATIN SMALL LETTER O WITH HORN AND HOOK.

    Those of Unicode 3.2, which every Python keeps for internationalised domain names. A name that Unicode has given
    never changes (its stability policy), so the text is the same whatever Unicode a Python has else. 297,300
    characters of 39 kinds. Raises UserError in a Python that has other names.
    """
    names = list(_names())
    order = np.random.RandomState(_ORDER_SEED).permutation(len(names))
    found = _text("\n".join(names[i] for i in order))
    if found.fingerprint != _SHA256:
        raise UserError(
            f"data={UNICODE_NAMES}: this Python has other names of characters (SHA-256 {found.fingerprint}, not "
            f"{_SHA256}), by which figures would not compare (accepted here: the path of a text file)"
        )
    return found


def _names() -> Iterator[str]:
    for codes in _CODE_POINTS:
        for code in codes:
            name = unicodedata.ucd_3_2_0.name(chr(code), "")
            if name and "IDEOGRAPH-" not in name:  # the rest of such a name is the code
                yield name


@lru_cache(maxsize=2)
def _file(path: Path, modified: int, size: int) -> Text:
    """Of a file in this state. Ends of lines are those of Unix, and there is no byte order mark, whatever it has."""
    return _text(path.read_text("utf-8-sig"))


def _text(content: str) -> Text:
    return Text(content, hashlib.sha256(content.encode()).hexdigest()[:16])
