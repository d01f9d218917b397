"""The folder of one cell: its identity, trials, runs and, once it is finished, its result.

cells/<cell_id>/cell.json  timing.json  fallback.json  trials.jsonl  studies/  curves/  runs/  result.json
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

from filelock import FileLock

from optbench.budget import THIRDS
from optbench.results.atomic import append_json_line, read_json_lines, write_bytes, write_json
from optbench.results.checksum import DamagedRecord, seal, unseal
from optbench.results.stored import STOPPED

FAILED = ("error", "oom", "timeout")
#: Status of a trial that may be continued.
PAUSED = "paused"


def run_name(seed: int, tuned: bool) -> str:
    """Returns the file name of a run without extension, such as `3` or `3-default`."""
    return f"{seed}" if tuned else f"{seed}-default"


def derive_state(result: dict[str, Any] | None, seeds: Iterable[int], studies: int = 1) -> str:
    """Returns the state of a cell: `done`, `failed` or `missing`.

    Args:
        result: The cell's result, or None if it is not finished.
        seeds: Seeds of the final runs that the result must have.
        studies: Number of tunings that the result must have.
    """
    if result is None:
        return "missing"
    if result["status"] in FAILED:
        return "failed"
    enough = set(seeds) <= set(result["seeds"]) and studies <= result.get("studies", 1)
    return "done" if enough else "missing"


class CellStore:
    """Reads and writes the folder of one cell.

    Records that are missing or damaged are read as None and computed again. Writes raise ResultsWriteError if the disk
    refuses them.

    Args:
        folder: The cell's folder, which may not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lock(self) -> FileLock:
        """Returns the lock that a worker holds while it computes the cell, so that an orphaned worker cannot write."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")

    def write_cell(self, identity: dict[str, Any]) -> None:
        """Writes the identity of the cell, unless it is there already."""
        if not (self.folder / "cell.json").exists():
            self._write("cell.json", identity)

    def identity(self) -> dict[str, Any] | None:
        """Returns the identity of the cell as `write_cell` wrote it; None if the cell has not begun."""
        return self._read("cell.json")

    def trials(self, study: int = 0) -> list[dict[str, Any]]:
        """Returns the trials of a tuning as their latest parts left them; study 0 is the one that decides.

        A trial that was paused and not continued is `stopped`.
        """
        latest = {part["trial"]: part for part in self.parts(study)}
        return [_as_stopped(latest[number]) for number in sorted(latest)]

    def parts(self, study: int = 0) -> list[dict[str, Any]]:
        """Returns the parts of the trials of a tuning in the order of training, up to the first damaged line.

        A part is the record of a trial from its start to a pause, or to its end.
        """
        parts: list[dict[str, Any]] = []
        place = self._place(self._trials(study))
        for line in read_json_lines(self._trials(study)):
            try:
                part = unseal(line, place)
            except DamagedRecord:
                break
            if part.get("part", part.get("trial")) != len(parts):  # a repeated or missing line
                break
            parts.append(part)
        return parts

    def append_trial(self, record: dict[str, Any], curve: dict[str, Any], study: int = 0) -> None:
        """Appends a part of a trial; the curve of the whole trial so far is stored for study 0 only."""
        if study == 0:
            # The curve comes first, so that every listed trial has one.
            self._write(f"curves/trial-{record['trial']}.json", curve)
        append_json_line(self._trials(study), seal(record, self._place(self._trials(study))))

    def studies(self) -> list[int]:
        """Returns the numbers of the repeated studies that have begun, from 1 on."""
        return sorted(int(path.stem) for path in (self.folder / "studies").glob("*.jsonl"))

    def _trials(self, study: int) -> Path:
        return self.folder / (f"studies/{study}.jsonl" if study else "trials.jsonl")

    def run(self, seed: int, tuned: bool) -> dict[str, Any] | None:
        """Returns the record of a run, or None."""
        record = self._read(f"runs/{run_name(seed, tuned)}.json")
        # Records of earlier versions do not name their place.
        return record if record and (record.get("seed"), record.get("tuned")) == (seed, tuned) else None

    def write_run(self, record: dict[str, Any], curve: dict[str, Any]) -> None:
        """Writes a run with its curve."""
        name = run_name(record["seed"], record["tuned"])
        self._write(f"curves/run-{name}.json", curve)
        self._write(f"runs/{name}.json", record)

    def trial_curve(self, trial: int) -> dict[str, Any] | None:
        """Returns the curve of a trial of study 0, or None."""
        return self._read(f"curves/trial-{trial}.json")

    def run_curve(self, seed: int, tuned: bool) -> dict[str, Any] | None:
        """Returns the curve of a run, or None."""
        return self._read(f"curves/run-{run_name(seed, tuned)}.json")

    def timing(self) -> dict[str, Any] | None:
        """Returns the record of the timing pass, or None."""
        return self._read("timing.json")

    def write_timing(self, timing: dict[str, Any]) -> None:
        """Writes the record of the timing pass."""
        self._write("timing.json", timing)

    def fallback(self) -> str:
        """Returns why the cell is trained eagerly although another execution was planned; "" if it is not."""
        return str((self._read("fallback.json") or {}).get("note", ""))

    def write_fallback(self, note: str) -> None:
        """Records that the cell is trained eagerly, and why."""
        self._write("fallback.json", {"execution": "eager", "note": note})

    def result(self) -> dict[str, Any] | None:
        """Returns the result of a finished cell, or None."""
        return self._read("result.json")

    def write_result(self, result: dict[str, Any]) -> None:
        """Writes the result, which marks the cell as finished."""
        self._write("result.json", result)

    def state(self, seeds: Iterable[int], studies: int = 1) -> str:
        """Returns `done`, `failed` or `missing` for these seeds and this number of studies (see `derive_state`)."""
        return derive_state(self.result(), seeds, studies)

    def files(self) -> list[tuple[str, int, int]]:
        """Returns the path, size and modification time (ns) of each record, without reading any."""
        files, folder = [], os.fspath(self.folder)
        for part in ("", "runs", "curves", "studies"):
            try:
                with os.scandir(f"{folder}/{part}") as entries:
                    for entry in entries:
                        if entry.name.endswith((".json", ".jsonl")):
                            stat = entry.stat()
                            files.append((f"{part}/{entry.name}", stat.st_size, stat.st_mtime_ns))
            except FileNotFoundError:
                continue
        return sorted(files)

    def count_trainings(self) -> int:
        """Counts the trials and runs on the disk, for the progress display."""
        runs = self.folder / "runs"
        trials = sum(len(self.trials(study)) for study in (0, *self.studies()))
        return trials + (sum(1 for _ in runs.glob("*.json")) if runs.is_dir() else 0)

    def find_damage(self, result: dict[str, Any] | None = None) -> str:
        """Returns the first file that is damaged, or shorter than its curves imply; "" if there is none.

        A torn last line of an unfinished cell is not damage: its trial is computed again.

        Args:
            result: The cell's result, if it was read already.
        """
        result = result or self.result()
        for path in sorted(self.folder.rglob("*.json")):
            name = path.relative_to(self.folder).as_posix()
            seed, _, default = path.stem.partition("-")
            run = name.startswith("runs/") and seed.isdigit()
            read = name == "result.json" and result is not None
            if not read and (self.run(int(seed), not default) if run else self._read(name)) is None:
                return name
        for study in (0, *self.studies()):
            lines = self._trials(study)
            # The bytes are read first: a trial appended in between must not look like a damaged line.
            written = lines.read_bytes() if lines.exists() else b""
            known = len(self.parts(study))
            if written.count(b"\n") > known or (result is not None and len(written.splitlines()) > known):
                return str(lines.relative_to(self.folder))
        if result is None or result["status"] in FAILED:
            return ""
        trials, lines = self.trials(), self._trials(0)
        # Without the last part of a trial that was continued, no trial is missing.
        spent = sum(trial["thirds"] for trial in trials) / THIRDS
        if spent != result.get("tuning_cost", spent):
            return lines.name
        runs = {run_name(seed, tuned) for seed in result["seeds"] for tuned in (True, False)}
        for curve in sorted((self.folder / "curves").glob("*.json")):
            kind, _, name = curve.stem.partition("-")
            if kind == "trial" and int(name) >= len(trials):
                return lines.name
            # Of a seed that was added later, the run may not be written yet.
            if kind == "run" and name in runs and not (self.folder / "runs" / f"{name}.json").exists():
                return f"runs/{name}.json"
        return ""

    def discard(self) -> None:
        """Removes all records, the result first, so that an interruption leaves no cell that looks finished."""
        with self.lock():
            records = sorted(self.folder.rglob("*.json*"), key=lambda path: path.name != "result.json")
            for path in records:
                path.unlink()

    def forget_failures(self) -> None:
        """Makes a failed cell missing again, and keeps the trials and runs that succeeded."""
        (self.folder / "result.json").unlink(missing_ok=True)
        for study in (0, *self.studies()):
            # Later proposals depend on what failed.
            kept = takewhile(lambda part: part["status"] not in FAILED, self.parts(study))
            lines = "".join(
                json.dumps(seal(part, self._place(self._trials(study))), ensure_ascii=False, allow_nan=False) + "\n"
                for part in kept
            )
            write_bytes(self._trials(study), lines.encode())
        for path in (self.folder / "runs").glob("*.json"):
            record = self._read(f"runs/{path.name}")
            if record is None or record["status"] in FAILED:
                path.unlink()

    def _place(self, path: Path) -> str:
        """Returns what the seal of a file's records covers besides their content: the cell and the name of the file."""
        return f"{self.folder.name}/{path.relative_to(self.folder).with_suffix('').as_posix()}"

    def _write(self, name: str, record: dict[str, Any]) -> None:
        write_json(self.folder / name, seal(record, self._place(self.folder / name)))

    def _read(self, name: str) -> dict[str, Any] | None:
        """Returns a record, or None if it is missing, damaged or another file's."""
        path = self.folder / name
        try:
            return unseal(json.loads(path.read_bytes()), self._place(path))
        except (FileNotFoundError, ValueError, RecursionError):
            return None


def _as_stopped(part: dict[str, Any]) -> dict[str, Any]:
    if part["status"] != PAUSED:
        return part
    return {**part, "status": STOPPED, "error": f"after evaluation {part['until']}, other trials were better"}
