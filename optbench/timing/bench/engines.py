"""The gain from a second worker by engine, for whole runs from the first import of a worker to the last record."""

from __future__ import annotations

import tempfile
import time
from importlib.util import find_spec
from typing import Any

from optbench import api
from optbench.timing.bench.comparison import Ratio, compare

#: Eight cells of similar cost with 32 trainings of the conv net in total.
MATRIX: dict[str, Any] = {
    "problems": ["mnist_cnn[data=digits]"],
    "optimizers": ["sgd", "momentum", "adam", "rmsprop"],
    "batch_sizes": [32, 128],
    "devices": ["cpu"],
    "seeds": 2,
    "run_budget": "4epochs",
    "tuning_worth": 2,
}


def dask_against_processes(pairs: int) -> Ratio | None:
    """The speed-up of two workers over one, of dask against processes; None if dask.distributed is not installed."""
    if find_spec("distributed") is None:
        return None
    return compare(
        "2 workers / 1 worker, whole runs of 8 cells, dask / processes",
        "times",
        lambda: _measure_speed_up("dask"),
        lambda: _measure_speed_up("processes"),
        pairs,
        target=0.95,
    )


def _measure_speed_up(engine: str) -> float:
    one, two = (_seconds(engine, workers) for workers in (1, 2))
    return one / two


def _seconds(engine: str, workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        api.run(engine=engine, workers=workers, results=folder, name="bench", outputs=False, **MATRIX)
        return time.perf_counter() - started
