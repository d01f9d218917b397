"""Texts: the one that Python brings is pinned, and a file is what it says."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from optbench.errors import UserError
from optbench.problem.datasets import text as module
from optbench.problem.datasets.text import load_text, unicode_names


@pytest.fixture
def _read_anew() -> Iterator[None]:
    unicode_names.cache_clear()
    yield
    unicode_names.cache_clear()


def test_names_are_those_of_unicode_each_once() -> None:
    found = unicode_names()
    lines = found.content.split("\n")
    assert (len(lines), len(found.content), len(found.alphabet)) == (11_195, 297_300, 39)
    assert max(Counter(lines).values()) == 1
    # A name is of a character of today, too: none was ever taken back.
    assert all(ord(unicodedata.lookup(name)) < 0x10000 for name in lines)
    assert {"LATIN SMALL LETTER O WITH HORN AND HOOK ABOVE", "EURO SIGN"} <= set(lines)
    assert not any(name.startswith(("CJK UNIFIED", "HANGUL SYLLABLE")) for name in lines)


def test_beginning_and_end_are_alike() -> None:
    """The order is random, so that a model isn't tested on other scripts than it saw."""
    lines = unicode_names().content.split("\n")
    shares = [np.mean([name.startswith("ARABIC") for name in part]) for part in (lines[:5000], lines[-5000:])]
    assert shares[0] == pytest.approx(shares[1], rel=0.2)


@pytest.mark.usefixtures("_read_anew")
def test_other_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(module._names())
    monkeypatch.setattr(module, "_names", lambda: [*names[:-1], "ANOTHER NAME"])
    with pytest.raises(UserError, match=r"this Python has different character names \(SHA-256 [0-9a-f]{16} inst") as e:
        load_text("data", "unicode_names")
    assert "\n" not in str(e.value)


def test_tokens_are_places_in_the_alphabet(tmp_path: Path) -> None:
    content = "naïve 𝄞 café\n" * 3
    (tmp_path / "a.txt").write_text(content, "utf-8")
    found = load_text("data", str(tmp_path / "a.txt"))
    assert found.content == content
    assert found.alphabet == "".join(sorted(set(content)))
    assert found.tokens.tolist() == [found.alphabet.index(character) for character in content]


def test_the_fingerprint_is_of_the_characters(tmp_path: Path) -> None:
    for name, written in {
        "a": b"one\ntwo\n",
        "b": b"one\r\ntwo\r\n",
        "c": b"\xef\xbb\xbfone\ntwo\n",
        "d": b"one\ntwO\n",
    }.items():
        (tmp_path / name).write_bytes(written)
    found = {name: load_text("data", str(tmp_path / name)).fingerprint for name in "abcd"}
    assert found["a"] == found["b"] == found["c"] != found["d"]


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    assert load_text("data", str(path)).content == "before"
    path.write_text("afterwards")
    assert load_text("data", str(path)).content == "afterwards"


def test_what_is_no_text_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "large.txt").write_text("more than that")
    monkeypatch.setattr(module, "_LARGEST", 8)
    for data, line in {
        "unicode_name": "unknown data of x 'unicode_name'; did you mean 'unicode_names'",
        "./nothing.txt": "data of x: nothing.txt can't be read: No such file",
        str(tmp_path): "data of x: .* is not a file",
        str(tmp_path / "image.png"): "data of x: .*image.png is not UTF-8 text: invalid start byte at byte 0",
        str(tmp_path / "large.txt"): "data of x: .*large.txt has 14 bytes",
    }.items():
        with pytest.raises(UserError, match=f"^{line}") as caught:
            load_text("data of x", data)
        assert "\n" not in str(caught.value)
