"""Recordings: the results of several visits of one suite, in pytest-benchmark's format.

Repetitions within one process are similar for reasons that have nothing to do with the code, such as the layout of its
memory or other load on the machine. They are not a sample of possible measurements. The unit of all comparisons is
therefore a block: the time of a call in one process. Where all rounds make the same calls, it is their median, which
ignores rounds that were disturbed. Otherwise it is their mean, because a median has no share of rare expensive calls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from optbench.errors import UserError, unknown
from optbench.results import atomic

#: The results directory of recordings.
FOLDER = "timing"
#: The key in a result's `extra_info` that says that all rounds make the same calls, and how many.
SAME_CALLS = "same_calls"


@dataclass(frozen=True)
class Test:
    """A benchmark with its block of each visit, in seconds, in the order of the visits."""

    __test__ = False  # pytest would collect it as a test

    name: str
    blocks: tuple[float, ...]
    counters: Mapping[str, int]
    #: The test of the same visits that serves as a reference across machines; empty for none.
    reference: str
    #: What a block is. Blocks of different kinds can't be compared.
    kind: str = "median of rounds"


@dataclass(frozen=True)
class Recording:
    """Visits of one suite on one machine; `visits` are pytest-benchmark's documents."""

    label: str
    visits: tuple[Mapping[str, Any], ...]

    @cached_property
    def machine(self) -> dict[str, Any]:
        """The facts on which times depend (see `machine`); without the plugin, those of pytest-benchmark."""
        info = self.visits[0].get("machine_info") or {}
        cpu = info.get("cpu") or {}
        known = {"cpu": cpu.get("brand_raw"), "cores": cpu.get("count"), "python": info.get("python_version")}
        return info.get("optbench") or {name: value for name, value in known.items() if value is not None}

    @cached_property
    def tests(self) -> dict[str, Test]:
        """The tests by full name. Raises UserError if not all visits ran the same tests."""
        visits = [{entry["fullname"]: entry for entry in visit["benchmarks"]} for visit in self.visits]
        first = visits[0]
        for other in visits[1:]:
            if missing := first.keys() ^ other.keys():
                raise UserError(f"{self.label}: not every visit has {min(missing)}; record it again")
        return {name: self._test(name, [visit[name] for visit in visits]) for name in first}

    def _test(self, name: str, entries: Sequence[Mapping[str, Any]]) -> Test:
        blocks = tuple(block for entry in entries for block in _blocks(entry))
        about = [entry.get("extra_info") or {} for entry in entries]
        counted = [one.get("counters") or {} for one in about]
        # A counter that differs between visits is not exact and is ignored.
        exact = {key: n for key, n in counted[0].items() if all(one.get(key) == n for one in counted)}
        return Test(name, blocks, exact, about[0].get("reference", ""), _kind(entries[0]))


def _blocks(entry: Mapping[str, Any]) -> Sequence[float]:
    """The block of each visit of a merged recording; the single block of another document."""
    stats = entry["stats"]
    if "visits" in (entry.get("extra_info") or {}):
        return [float(value) for value in stats["data"]]
    return [float(stats["mean" if _kind(entry) == "mean of rounds" else "median"])]


def _kind(entry: Mapping[str, Any]) -> str:
    info = entry.get("extra_info") or {}
    if "visits" in info:
        return str(info.get("kind", "median of rounds"))  # recordings of older versions have no kind
    if SAME_CALLS in info:
        return f"median of rounds of the same {info[SAME_CALLS]} calls"
    return "mean of rounds" if "mean" in entry["stats"] else "median of rounds"


def read(name: str, results: Path) -> Recording:
    """The recording with this name, or that of a file or folder of pytest-benchmark.

    Raises UserError if it does not exist or cannot be read.
    """
    path = _path(name, results)
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path} contains no .json file of pytest-benchmark")
    recording = Recording(name, tuple(map(_document, files)))
    first = recording.machine
    if any(Recording(name, (visit,)).machine != first for visit in recording.visits):
        raise UserError(f"the files in {path} come from different machines or versions and are not one recording")
    return recording


def write(path: Path, recording: Recording) -> None:
    """Writes the visits as one document; pytest-benchmark's tools show the blocks as repetitions."""
    last = recording.visits[-1]
    entries = {entry["fullname"]: entry for entry in last["benchmarks"]}
    merged = []
    for name, test in recording.tests.items():
        info = {**(entries[name].get("extra_info") or {}), "visits": len(test.blocks), "counters": test.counters}
        info["kind"] = test.kind
        merged.append({**entries[name], "extra_info": info, "stats": _stats(test.blocks)})
    machine = {**last["machine_info"], "optbench": recording.machine}
    atomic.write_json(path, {**last, "machine_info": machine, "benchmarks": merged})


def place(name: str, results: Path) -> Path:
    """The path of the recording with this name."""
    return results / FOLDER / f"{name}.json"


def _path(name: str, results: Path) -> Path:
    recorded = place(name, results)
    if recorded.exists():
        return recorded
    if Path(name).exists():
        return Path(name)
    names = [path.stem for path in (results / FOLDER).glob("*.json")]
    raise unknown("recording", name, [*names, "a file or folder of pytest-benchmark's"])


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
        for entry in document["benchmarks"]:
            if not (entry["fullname"] and float(entry["stats"]["median"]) > 0):
                raise ValueError("a median is not above 0")
        if not isinstance(document.get("machine_info") or {}, dict):
            raise ValueError("machine_info is not a table")
        if not document["benchmarks"]:
            raise UserError(f"{path} contains no benchmark")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a document of pytest-benchmark, or is damaged ({error!r})") from None
    return dict(document)


def _stats(blocks: Sequence[float]) -> dict[str, Any]:
    """pytest-benchmark's statistics of the blocks."""
    from pytest_benchmark.stats import Stats

    stats = Stats()
    for block in blocks:
        stats.update(block)
    return {**stats.as_dict(), "data": list(blocks), "iterations": 1}
