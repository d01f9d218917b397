"""Records with a checksum: no single flipped bit passes, and records without one are read."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from optbench.results.checksum import DamagedRecord, seal, unseal

RECORD = {"loss": 0.1 + 0.2, "missing": float("nan"), "text": "ä", "nested": {"lr": [1e-8, -0.0]}, "seed": 2**40}
READ = {**RECORD, "missing": None}


def test_what_was_sealed_is_read() -> None:
    assert unseal(json.loads(json.dumps(seal(RECORD)))) == READ


@pytest.mark.parametrize("record", [{}, {"loss": 1.5}, {"status": "ok", "environment": "0123abcd"}])
def test_records_of_before_are_read(record: dict[str, Any]) -> None:
    assert unseal(record) == record


def test_no_flipped_bit_passes_for_another_record() -> None:
    text = json.dumps(seal(RECORD), ensure_ascii=False).encode()
    found = 0
    for position in range(len(text) * 8):
        flipped = bytearray(text)
        flipped[position // 8] ^= 1 << position % 8
        try:
            assert unseal(json.loads(bytes(flipped))) == READ  # a space that became another white space
        except ValueError:
            found += 1
    assert found > 0.98 * len(text) * 8


def test_a_changed_digit_is_found() -> None:
    sealed = seal({"loss": random.random()})
    with pytest.raises(DamagedRecord):
        unseal({**sealed, "loss": sealed["loss"] + 1e-9})
