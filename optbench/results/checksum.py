"""Records with a checksum, so that a flipped bit which is still valid JSON is not read as a result.

Records of versions before checksums have none and are accepted as they are.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from optbench.results.atomic import replace_nonfinite

KEY, PREFIX = "checksum", "crc32:"


class DamagedRecord(ValueError):
    """A record whose content does not match its checksum."""


def seal(record: dict[str, Any]) -> dict[str, Any]:
    """Returns the record with its checksum as the last entry."""
    record = replace_nonfinite(record)
    return {**record, KEY: _checksum(record)}


def unseal(record: Any) -> dict[str, Any]:
    """Returns the record that `seal` was given.

    Raises:
        DamagedRecord: `record` is not a dictionary, or its content does not match its checksum.
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
    return content


def _checksum(record: dict[str, Any]) -> str:
    """Returns the CRC-32 of the record as compact JSON, which detects every burst of up to 32 flipped bits."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return f"{PREFIX}{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"
