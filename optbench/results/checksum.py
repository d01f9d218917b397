"""Records with a checksum, so that a flipped bit which is still valid JSON is not read as a result.

A record also names its place (a hash of it), so that a copy is not read as the result of another seed or cell. Records
of earlier versions have no place, or no checksum, and are accepted as they are.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from optbench.results.atomic import replace_nonfinite

KEY, PREFIX, PLACE = "checksum", "crc32:", "place"


class DamagedRecord(ValueError):
    """A record whose content does not match its checksum, or that belongs elsewhere."""


def seal(record: dict[str, Any], place: str = "") -> dict[str, Any]:
    """Returns the record with its checksum as the last entry, and with its place before it.

    Args:
        record: The record.
        place: Where it is stored, such as the cell and the name of its file; "" to leave it out.
    """
    record = replace_nonfinite(record)
    if place:
        record = {**record, PLACE: _crc(place)}
    return {**record, KEY: _checksum(record)}


def unseal(record: Any, place: str = "") -> dict[str, Any]:
    """Returns the record that `seal` was given.

    Args:
        record: The sealed record.
        place: Where it was read; "" to accept it from anywhere.

    Raises:
        DamagedRecord: `record` is not a dictionary, its content does not match its checksum, or it was sealed for
            another place.
    """
    if not isinstance(record, dict):
        raise DamagedRecord("the record is not a JSON object")
    if not record:
        return record
    key, value = next(reversed(record.items()))
    # Either the key or the value marks a seal: a flipped bit in one of them must not hide it.
    if key != KEY and not str(value).startswith(PREFIX):
        return record
    content = {name: item for name, item in record.items() if name != key}
    if key != KEY or value != _checksum(content):
        raise DamagedRecord("the checksum does not match")
    belongs = content.pop(PLACE, None)
    if place and belongs is not None and belongs != _crc(place):
        raise DamagedRecord("the record belongs elsewhere")
    return content


def _checksum(record: dict[str, Any]) -> str:
    """Returns the CRC-32 of the record as compact JSON, which detects every burst of up to 32 flipped bits."""
    return PREFIX + _crc(json.dumps(record, ensure_ascii=False, separators=(",", ":")))


def _crc(text: str) -> str:
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"
