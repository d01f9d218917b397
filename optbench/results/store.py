"""One cell's folder: what it was, its trials, its runs, and at last the marker that it is done.

cells/<cell_id>/cell.json  timing.json  fallback.json  trials.jsonl  studies/  curves/  runs/  result.json
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock

from optbench.results.atomic import append_json_line, read_json_lines, write_bytes, write_json
from optbench.results.checksum import DamagedRecord, seal, unseal

FAILED = ("error", "oom", "timeout")


def run_name(seed: int, tuned: bool) -> str:
    return f"{seed}" if tuned else f"{seed}-default"


def state_of(result: dict[str, Any] | None, seeds: Iterable[int], studies: int = 1) -> str:
    """What a cell is by its result: `done`, `failed` or `missing`, for the given seeds and number of studies."""
    if result is None:
        return "missing"
    if result["status"] in FAILED:
        return "failed"
    enough = set(seeds) <= set(result["seeds"]) and studies <= result.get("studies", 1)
    return "done" if enough else "missing"


class CellStore:
    """Reads and writes the folder of one cell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lock(self) -> FileLock:
        """Held by the worker that computes the cell, so that an orphan can't write beside its successor."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")

    def write_cell(self, identity: dict[str, Any]) -> None:
        if not (self.folder / "cell.json").exists():
            write_json(self.folder / "cell.json", seal(identity))

    def identity(self) -> dict[str, Any] | None:
        """What the cell computes, as `write_cell` wrote it; None where it has not begun."""
        return _read(self.folder / "cell.json")

    def trials(self, study: int = 0) -> list[dict[str, Any]]:
        """The trials of a tuning up to the first damaged one."""
        trials: list[dict[str, Any]] = []
        for line in read_json_lines(self._trials(study)):
            try:
                trials.append(unseal(line))
            except DamagedRecord:
                break
        return trials

    def append_trial(self, record: dict[str, Any], curve: dict[str, Any], study: int = 0) -> None:
        """Adds a trial; of repeated studies no curves are kept."""
        if study == 0:
            # The curve first: a trial that is listed has its curve.
            write_json(self.folder / "curves" / f"trial-{record['trial']}.json", seal(curve))
        append_json_line(self._trials(study), seal(record))

    def studies(self) -> list[int]:
        """The repeated studies that have begun, from 1 on."""
        return sorted(int(path.stem) for path in (self.folder / "studies").glob("*.jsonl"))

    def _trials(self, study: int) -> Path:
        return self.folder / (f"studies/{study}.jsonl" if study else "trials.jsonl")

    def run(self, seed: int, tuned: bool) -> dict[str, Any] | None:
        return _read(self.folder / "runs" / f"{run_name(seed, tuned)}.json")

    def write_run(self, record: dict[str, Any], curve: dict[str, Any]) -> None:
        name = run_name(record["seed"], record["tuned"])
        write_json(self.folder / "curves" / f"run-{name}.json", seal(curve))
        write_json(self.folder / "runs" / f"{name}.json", seal(record))

    def trial_curve(self, trial: int) -> dict[str, Any] | None:
        return _read(self.folder / "curves" / f"trial-{trial}.json")

    def run_curve(self, seed: int, tuned: bool) -> dict[str, Any] | None:
        return _read(self.folder / "curves" / f"run-{run_name(seed, tuned)}.json")

    def timing(self) -> dict[str, Any] | None:
        return _read(self.folder / "timing.json")

    def write_timing(self, timing: dict[str, Any]) -> None:
        write_json(self.folder / "timing.json", seal(timing))

    def fallback(self) -> str:
        """Why the cell is trained eagerly although it was planned otherwise; empty where it isn't."""
        return str((_read(self.folder / "fallback.json") or {}).get("note", ""))

    def write_fallback(self, note: str) -> None:
        write_json(self.folder / "fallback.json", seal({"execution": "eager", "note": note}))

    def result(self) -> dict[str, Any] | None:
        return _read(self.folder / "result.json")

    def write_result(self, result: dict[str, Any]) -> None:
        write_json(self.folder / "result.json", seal(result))

    def state(self, seeds: Iterable[int], studies: int = 1) -> str:
        """`done`, `failed` or `missing`, for the given seeds and number of studies."""
        return state_of(self.result(), seeds, studies)

    def files(self) -> list[tuple[str, int, int]]:
        """All records by path, with size and time of change: what lies here, without reading it."""
        found, folder = [], os.fspath(self.folder)
        for part in ("", "runs", "curves", "studies"):
            try:
                with os.scandir(f"{folder}/{part}") as entries:
                    for entry in entries:
                        if entry.name.endswith((".json", ".jsonl")):
                            about = entry.stat()
                            found.append((f"{part}/{entry.name}", about.st_size, about.st_mtime_ns))
            except FileNotFoundError:
                continue
        return sorted(found)

    def finished_trainings(self) -> int:
        """How many trials and runs are on the disk, for progress."""
        runs = self.folder / "runs"
        trials = sum(len(self.trials(study)) for study in (0, *self.studies()))
        return trials + (sum(1 for _ in runs.glob("*.json")) if runs.is_dir() else 0)

    def damage(self) -> str:
        """Which file isn't as it was written (damaged, or shorter than its curves say); empty where none is.

        A torn last line of a cell that isn't finished is no damage: its trial is computed again.
        """
        for path in sorted(self.folder.rglob("*.json")):
            if _read(path) is None:
                return str(path.relative_to(self.folder))
        result = self.result()
        for study in (0, *self.studies()):
            lines = self._trials(study)
            # Before the trials are read: one that is appended in between must not look like a damaged line.
            written = lines.read_bytes() if lines.exists() else b""
            known = len(self.trials(study))
            if written.count(b"\n") > known or (result is not None and len(written.splitlines()) > known):
                return str(lines.relative_to(self.folder))
        if result is None or result["status"] in FAILED:
            return ""
        trials, lines = len(self.trials()), self._trials(0)
        for curve in sorted((self.folder / "curves").glob("*.json")):
            kind, _, name = curve.stem.partition("-")
            if kind == "trial" and int(name) >= trials:
                return lines.name
            if kind == "run" and not (self.folder / "runs" / f"{name}.json").exists():
                return f"runs/{name}.json"
        return ""

    def discard(self) -> None:
        """Removes all that was computed, the marker first, so that a stop in between leaves no finished cell."""
        with self.lock():
            records = sorted(self.folder.rglob("*.json*"), key=lambda path: path.name != "result.json")
            for path in records:
                path.unlink()

    def forget_failures(self) -> None:
        """Makes a failed cell missing again; what succeeded in it is kept."""
        (self.folder / "result.json").unlink(missing_ok=True)
        for study in (0, *self.studies()):
            kept = [trial for trial in self.trials(study) if trial["status"] not in FAILED]
            lines = "".join(json.dumps(seal(trial), ensure_ascii=False, allow_nan=False) + "\n" for trial in kept)
            write_bytes(self._trials(study), lines.encode())
        for path in (self.folder / "runs").glob("*.json"):
            record = _read(path)
            if record is None or record["status"] in FAILED:
                path.unlink()


def _read(path: Path) -> dict[str, Any] | None:
    """A record, or None where there is none or only a damaged one: then it is computed again."""
    try:
        return unseal(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
