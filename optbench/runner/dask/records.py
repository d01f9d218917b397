"""Records of a cell as lines of JSON, sent between the coordinator and workers that can't access its disk.

Each line contains the arguments of one call of `CellStore`. A record that arrives twice, or again from another worker,
changes nothing, because a cell always gives the same records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from optbench.results.atomic import replace_nonfinite
from optbench.results.directory import ResultsDirectory
from optbench.results.store import CellStore


class SendingStore(CellStore):
    """A cell's folder on a worker, which passes every record to `send` after it was written."""

    def __init__(self, folder: Path, send: Callable[[str], None]) -> None:
        super().__init__(folder)
        self._send = send

    def write_cell(self, identity: dict[str, Any]) -> None:
        super().write_cell(identity)
        self._send(_line("cell", identity))

    def append_trial(self, record: dict[str, Any], curve: dict[str, Any], study: int = 0) -> None:
        super().append_trial(record, curve, study)
        self._send(_line("trial", record, curve, study))

    def write_run(self, record: dict[str, Any], curve: dict[str, Any]) -> None:
        super().write_run(record, curve)
        self._send(_line("run", record, curve))

    def write_timing(self, timing: dict[str, Any]) -> None:
        super().write_timing(timing)
        self._send(_line("timing", timing))

    def write_fallback(self, note: str) -> None:
        super().write_fallback(note)
        self._send(_line("fallback", note))

    def write_result(self, result: dict[str, Any]) -> None:
        super().write_result(result)
        self._send(_line("result", result))


class SendingDirectory(ResultsDirectory):
    """A results directory on a worker, whose cells send every record as it is written."""

    def __init__(self, folder: Path, send: Callable[[str], None]) -> None:
        super().__init__(folder)
        self._send = send

    def cell(self, cell_id: str) -> CellStore:
        return SendingStore(super().cell(cell_id).folder, self._send)


def list_records(store: CellStore, seeds: Iterable[int]) -> list[str]:
    """Returns the stored records that a worker needs to resume a cell, without the curves of trials.

    Args:
        store: The cell's folder.
        seeds: Seeds of the final runs.
    """
    lines = []
    if (timing := store.timing()) is not None:
        lines.append(_line("timing", timing))
    if note := store.fallback():
        lines.append(_line("fallback", note))
    for study in (0, *store.studies()):
        lines += [_line("trial", record, {}, study) for record in store.parts(study)]
    for seed in seeds:
        for tuned in (True, False):
            if (record := store.run(seed, tuned)) is not None:
                lines.append(_line("run", record, store.run_curve(seed, tuned) or {}))
    return lines


def write_record(store: CellStore, line: str) -> None:
    """Writes a received record, unless it is stored already.

    Args:
        store: The cell's folder.
        line: The record, as `SendingStore` has sent it.

    Raises:
        ResultsWriteError: The record can't be written.
        ValueError: The line is not a record.
    """
    match json.loads(line):
        case ["cell", identity]:
            store.write_cell(identity)
        case ["trial", record, curve, study]:
            # Only in order: if an earlier record was lost, all are sent again with the finished cell.
            if record.get("part", record["trial"]) == len(store.parts(study)):
                store.append_trial(record, curve, study)
        case ["run", record, curve]:
            if store.run(record["seed"], record["tuned"]) is None:
                store.write_run(record, curve)
        case ["timing", timing]:
            store.write_timing(timing)
        case ["fallback", note]:
            store.write_fallback(note)
        case ["result", result]:
            store.write_result(result)
        case other:
            raise ValueError(f"not a record of a cell: {other!r:.80}")


def _line(kind: str, *values: Any) -> str:
    return json.dumps([kind, *map(replace_nonfinite, values)], ensure_ascii=False, allow_nan=False)
