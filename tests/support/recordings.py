"""Documents as pytest-benchmark writes them, with times that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optbench.timing.recording import Recording

MACHINE = {"cpu": "Made Up 9000", "cores": 2, "python": "3.12.1", "torch": "2.14.1", "threads": 1, "accelerators": []}


def document(
    medians: Mapping[str, float],
    counters: Mapping[str, Mapping[str, int]] | None = None,
    references: Mapping[str, str] | None = None,
    machine: Mapping[str, Any] = MACHINE,
) -> dict[str, Any]:
    """One visit: by name of each test its median in seconds."""
    entries = []
    for name, median in medians.items():
        info: dict[str, Any] = {"counters": dict((counters or {}).get(name, {}))}
        if references and name in references:
            info["reference"] = references[name]
        stats = {"median": median, "data": [median], "rounds": 1}
        entries.append({"name": name, "fullname": name, "extra_info": info, "stats": stats})
    return {"machine_info": {"optbench": dict(machine)}, "benchmarks": entries, "version": "5.1.0"}


def recording(
    label: str,
    blocks: Mapping[str, Sequence[float]],
    counters: Mapping[str, Mapping[str, int]] | None = None,
    references: Mapping[str, str] | None = None,
    machine: Mapping[str, Any] = MACHINE,
) -> Recording:
    """By name of each test its median in each visit."""
    visits = len(next(iter(blocks.values())))
    parts = [{name: float(values[k]) for name, values in blocks.items()} for k in range(visits)]
    return Recording(label, tuple(document(part, counters, references, machine) for part in parts))


def noisy(rng: np.random.Generator, seconds: float, visits: int = 8, noise: float = 0.05) -> list[float]:
    """Times that are off by `noise` (the deviation of their logarithm), now and then by half as much again."""
    disturbed = 1 + 0.5 * (rng.random(visits) < 0.1)
    return list(seconds * rng.lognormal(0, noise, visits) * disturbed)
