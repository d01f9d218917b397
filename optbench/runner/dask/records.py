"""How records of a cell travel between the coordinator and a worker that doesn't see its disk: as lines of JSON.

Each line is what one call of `CellStore` wrote. Written twice, or again by a worker that took over, it stays as
it was: the same cell gives the same records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from optbench.results.atomic import finite
from optbench.results.directory import ResultsDirectory
from optbench.results.store import CellStore


class SendingStore(CellStore):
    """A cell's folder on a worker; `send` takes every record after it was written."""

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
    """A results directory as a worker sees it: records of its cells are sent as they are written."""

    def __init__(self, folder: Path, send: Callable[[str], None]) -> None:
        super().__init__(folder)
        self._send = send

    def cell(self, cell_id: str) -> CellStore:
        return SendingStore(super().cell(cell_id).folder, self._send)


def state(store: CellStore, seeds: Iterable[int]) -> list[str]:
    """What a worker has to know of a cell that was begun, to go on with it. Curves of trials aren't needed."""
    lines = []
    if (timing := store.timing()) is not None:
        lines.append(_line("timing", timing))
    if note := store.fallback():
        lines.append(_line("fallback", note))
    for study in (0, *store.studies()):
        lines += [_line("trial", record, {}, study) for record in store.trials(study)]
    for seed in seeds:
        for tuned in (True, False):
            if (record := store.run(seed, tuned)) is not None:
                lines.append(_line("run", record, store.run_curve(seed, tuned) or {}))
    return lines


def write(store: CellStore, line: str) -> None:
    """Writes down a record that travelled, unless it is there already. Raises ResultsUnwritable."""
    match json.loads(line):
        case ["cell", identity]:
            store.write_cell(identity)
        case ["trial", record, curve, study]:
            # In order: one that overtook another, which got lost, comes again with the whole cell.
            if record["trial"] == len(store.trials(study)):
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
            raise ValueError(f"no record of a cell: {other!r:.80}")


def _line(what: str, *values: Any) -> str:
    return json.dumps([what, *map(finite, values)], ensure_ascii=False, allow_nan=False)
