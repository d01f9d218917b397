"""Other executions of a step against the eager one: when they are faster, and when compilation has paid off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from optbench.budget import UNLIMITED, Ledger
from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.timing.bench.comparison import Ratio, compare
from optbench.training.device_data import load
from optbench.training.execution.compiled import CompiledStepper
from optbench.training.execution.population import Population
from optbench.training.execution.replica import Replica
from optbench.training.stepper import Stepper

#: The approximate time of each side of a pair, in seconds.
_SECONDS = 0.3
_WARMUP = 5

#: The compiled steps: problem, optimizer, batch size.
COMPILED = (
    ("quadratic_valley", "adam", 10),
    ("mlp", "sgd", 100),
    ("mlp", "adam", 10),
    ("mnist_cnn[data=digits]", "sgd", 10),
    ("mnist_cnn[data=digits]", "adam", 100),
)
#: The stacked steps: problem, optimizer, batch size, replicas, on both sides of the threshold of the automatic choice.
STACKED = (
    ("quadratic_valley[dim=2]", "adam", 1000, 8),
    ("quadratic_valley[dim=100]", "adam", 1000, 8),
    ("quadratic_valley[dim=500]", "adam", 1000, 8),
    ("quadratic_valley[dim=540]", "adam", 1000, 8),
    ("quadratic_valley[dim=300]", "adam", 1000, 13),
    ("quadratic_valley[dim=300]", "adam", 1000, 16),
    ("mlp", "adam", 10, 16),
    ("mlp", "adam", 100, 16),
    ("mlp[hidden=128,layers=4]", "adam", 100, 16),
    ("mlp[hidden=128,layers=4]", "adam", 400, 16),
    ("mlp[data=mnist]", "sgd", 100, 16),
    ("mlp[data=mnist]", "sgd", 1000, 16),
    ("mlp[hidden=512]", "sgd", 20, 16),
)


@dataclass(frozen=True)
class Compiled:
    """A comparison of eager with compiled steps, the seconds of compilation, and the number of steps of a run."""

    comparison: Ratio
    seconds: float
    steps: int

    def row(self) -> tuple[str, ...]:
        eager, compiled = (float(side.mean()) for side in (self.comparison.a, self.comparison.b))
        paid = f"{1e6 * self.seconds / (eager - compiled):,.0f}" if compiled < eager else "never"
        return (*self.comparison.row()[:6], f"{self.seconds:.1f}", paid, f"{self.steps:,}")


COMPILED_HEAD = ("eager / compiled step", "eager", "compiled", "unit", "eager / compiled", "range", "compiling, s",
                 "steps until paid", "steps of a run")  # fmt: skip


def compare_compiled(source: DataSource, pairs: int) -> Iterator[Compiled]:
    """Compares the microseconds of eager and compiled steps, and computes when the compilation has paid off."""
    for problem, optimizer, batch_size in COMPILED:
        cell = _cell(problem, optimizer, batch_size)
        torch.compiler.reset()
        started = time.perf_counter()
        compiled = _stepper(CompiledStepper, cell, source)
        seconds = time.perf_counter() - started
        comparison = compare(
            _scope(cell), "µs", _microseconds(_stepper(Stepper, cell, source)), _microseconds(compiled), pairs
        )
        yield Compiled(comparison, seconds, cell.run_cost // cell.batch_size)


def compare_replicas(source: DataSource, pairs: int, real: bool) -> Iterator[Ratio]:
    """Compares the time of a step of many replicas, one after another and at once; with `real`, also on MNIST."""
    for problem, optimizer, batch_size, count in STACKED:
        if "mnist" in problem and not real:
            continue
        cell = _cell(problem, optimizer, batch_size)
        instance, data = load(cell.problem, source, cell.device)
        replicas = [Replica({"lr": cell.optimizer.search["lr"].bounds[0]}, seed) for seed in range(count)]
        together = Population(cell, instance, data, replicas, True, Ledger(UNLIMITED)).step
        yield compare(
            f"{count} replicas one by one / at once, {_scope(cell)}",
            "µs",
            _microseconds(_stepper(Stepper, cell, source), count),
            _microseconds(together),
            pairs,
        )


def _cell(problem: str, optimizer: str, batch_size: int) -> Cell:
    config = configure(problems=[problem], optimizers=[optimizer], batch_sizes=[batch_size], devices=["cpu"])
    return make_plan(config).cells[0]


def _stepper(kind: type[Stepper], cell: Cell, source: DataSource) -> Callable[[], object]:
    problem, data = load(cell.problem, source, cell.device)
    # At the lowest rate of the range nothing diverges; arithmetic on non-finite numbers has a different speed.
    return kind(cell, problem, data, {"lr": cell.optimizer.search["lr"].bounds[0]}, 0, Ledger(UNLIMITED)).step


def _microseconds(step: Callable[[], object], times: int = 1) -> Callable[[], float]:
    """A function that measures the mean time of a step, multiplied by `times`, over about `_SECONDS`."""
    for _ in range(_WARMUP):
        step()
    started = time.perf_counter()
    step()
    count = max(2, round(_SECONDS / (time.perf_counter() - started)))

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(count):
            step()
        return 1e6 * times * (time.perf_counter() - started) / count

    return measure


def _scope(cell: Cell) -> str:
    return f"{cell.problem.label}, {cell.optimizer.label}, batch {cell.batch_size}"
