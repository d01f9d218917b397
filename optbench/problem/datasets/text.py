"""Texts for language modelling: one that is generated from Python's own data, or a file of the user.

Nothing here needs torch. Texts are read for planning, because budgets depend on their lengths, so they must be small.
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
from optbench.problem.datasets.place import is_path, path_of

#: The text generated from Python's Unicode data.
UNICODE_NAMES = "unicode_names"
#: First digits of the text's SHA-256 hash, to detect a Python with different names.
_SHA256 = "f3a5b6d7b3daf8e7"
#: Code points of the Basic Multilingual Plane except Han and Hangul, whose names follow rules, and surrogates.
_CODE_POINTS = (range(0x3400), range(0xA000, 0xAC00), range(0xE000, 0x10000))
_ORDER_SEED = 3
#: Maximum size of a text file in bytes; larger texts do not suit networks that train in seconds.
_LARGEST = 64 * 2**20


@dataclass(frozen=True)
class Text:
    """A text; `fingerprint` is a hash of its characters."""

    content: str
    fingerprint: str

    @cached_property
    def alphabet(self) -> str:
        """The distinct characters in sorted order; a character's index is its token."""
        return "".join(sorted(set(self.content)))

    @cached_property
    def tokens(self) -> np.ndarray:
        """The text as indices into the alphabet: int64, (characters,)."""
        codes = np.frombuffer(self.content.encode("utf-32-le"), dtype="<u4")
        return np.searchsorted(np.unique(codes), codes).astype(np.int64)


def load_text(what: str, data: str) -> Text:
    """Load a text.

    Args:
        what: Name of the parameter, for error messages.
        data: `unicode_names`, or the path of a UTF-8 file.

    Raises:
        UserError: If there is no such text, or if the file is too large or not UTF-8.
    """
    if data == UNICODE_NAMES:
        return unicode_names()
    path = path_of(data)
    if not is_path(data) and not path.is_file():
        raise unknown(what, data, [UNICODE_NAMES, "the path of a text file"])
    try:
        state = path.stat()
        if not path.is_file():
            raise UserError(f"{what}: {path} is not a file (accepted: a UTF-8 text file)")
        if state.st_size > _LARGEST:
            raise UserError(f"{what}: {path} has {state.st_size} bytes (accepted: a text of at most {_LARGEST})")
        return _read_file(path.absolute(), state.st_mtime_ns, state.st_size)
    except UnicodeDecodeError as error:
        raise UserError(f"{what}: {path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{what}: {path} can't be read: {getattr(error, 'strerror', None) or error}") from None


@lru_cache(maxsize=1)
def unicode_names() -> Text:
    """Return the names of 11,195 Unicode characters, such as LATIN SMALL LETTER O WITH HORN AND HOOK.

    The names are in a fixed random order, one per line: 297,300 characters, 39 of them distinct. They are the names of
    Unicode 3.2, which every Python includes for internationalised domain names. By Unicode's stability policy, names
    never change, so the text does not depend on the Unicode version of the Python.

    Raises:
        UserError: If this Python has different names.
    """
    names = list(_names())
    order = np.random.RandomState(_ORDER_SEED).permutation(len(names))
    text = _make_text("\n".join(names[i] for i in order))
    if text.fingerprint != _SHA256:
        raise UserError(
            f"data={UNICODE_NAMES}: this Python has different character names (SHA-256 {text.fingerprint} instead of "
            f"{_SHA256}), so results would not be comparable (accepted: the path of a text file)"
        )
    return text


def _names() -> Iterator[str]:
    for codes in _CODE_POINTS:
        for code in codes:
            name = unicodedata.ucd_3_2_0.name(chr(code), "")
            if name and "IDEOGRAPH-" not in name:  # the rest of such a name is just the code point
                yield name


@lru_cache(maxsize=2)
def _read_file(path: Path, modified: int, size: int) -> Text:
    """Read a text file, cached by its state. Line ends are normalised, and a byte order mark is removed."""
    return _make_text(path.read_text("utf-8-sig"))


def _make_text(content: str) -> Text:
    return Text(content, hashlib.sha256(content.encode()).hexdigest()[:16])
