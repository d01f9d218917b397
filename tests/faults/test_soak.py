"""A small soak: workers are killed all the time, and nothing is lost; the large one is `timing.bench.soak`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from optbench.timing.bench.soak import soak


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_workers_killed_all_the_time_cost_nothing(engine: str, tmp_path: Path) -> None:
    if engine == "dask":
        pytest.importorskip("distributed", reason="dask.distributed is not installed")
    outcome = soak(tmp_path, 60, 4, engine)
    print(outcome)
    assert outcome.kills >= 1
    assert outcome.complete
    assert outcome.differing == []
    assert max(outcome.memory) - outcome.memory[0] <= 50, "MiB"
    assert max(outcome.files) - outcome.files[0] <= 8, "pipes and sockets of a worker that takes another's place"
