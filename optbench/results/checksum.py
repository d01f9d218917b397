"""Records that carry a checksum: a flipped bit that still is JSON must not pass for a figure.

A record written before there were checksums has none, and is taken as it is.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from optbench.results.atomic import finite

KEY, PREFIX = "checksum", "crc32:"


class DamagedRecord(ValueError):
    """A record that isn't what was written."""


def seal(record: dict[str, Any]) -> dict[str, Any]:
    """The record, with its checksum as the last entry."""
    record = finite(record)
    return {**record, KEY: _checksum(record)}


def unseal(record: Any) -> dict[str, Any]:
    """The record that was sealed; raises DamagedRecord where it is another one."""
    if not isinstance(record, dict):
        raise DamagedRecord("no record")
    if not record:
        return record
    key, value = next(reversed(record.items()))
    # Known by the key or by the value: a bit flipped in one of them must not make the seal invisible.
    if key != KEY and not str(value).startswith(PREFIX):
        return record
    content = {name: item for name, item in record.items() if name != key}
    if key != KEY or value != _checksum(content):
        raise DamagedRecord("the checksum doesn't match")
    return content


def _checksum(record: dict[str, Any]) -> str:
    """CRC-32 of the record as compact JSON: it finds every single flipped bit and every burst of up to 32."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return f"{PREFIX}{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"
