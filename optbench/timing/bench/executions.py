"""Other ways of executing a step against the eager one: where they gain, and when that has paid for itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from optbench.budget import UNLIMITED, Ledger
from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.timing.bench.comparison import Comparison, compare
from optbench.training.device_data import load
from optbench.training.execution.compiled import CompiledStepper
from optbench.training.execution.population import Population
from optbench.training.execution.replica import Replica
from optbench.training.stepper import Stepper

#: Each side of a pair takes about so long.
_SECONDS = 0.3
_WARMUP = 5

#: What is compiled: problem, optimizer, batch size.
COMPILED = (
    ("quadratic_valley", "adam", 10),
    ("mlp", "sgd", 100),
    ("mlp", "adam", 10),
    ("mnist_cnn[data=digits]", "sgd", 10),
    ("mnist_cnn[data=digits]", "adam", 100),
)
#: What is stacked: problem, optimizer, batch size, replicas. On both sides of where the rule changes its mind.
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
    """A comparison of compiled with eager steps, the seconds until the first of them, and the steps of a run."""

    comparison: Comparison
    seconds: float
    steps: int

    def row(self) -> tuple[str, ...]:
        eager, compiled = (float(side.mean()) for side in (self.comparison.a, self.comparison.b))
        paid = f"{1e6 * self.seconds / (eager - compiled):,.0f}" if compiled < eager else "never"
        return (*self.comparison.row()[:6], f"{self.seconds:.1f}", paid, f"{self.steps:,}")


COMPILED_HEAD = ("eager / compiled step", "eager", "compiled", "unit", "eager / compiled", "range", "compiling, s",
                 "steps until paid", "steps of a run")  # fmt: skip


def compiled_against_eager(source: DataSource, pairs: int) -> Iterator[Compiled]:
    """Microseconds of a step, and of a whole run's steps how many would pay for the compilation."""
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


def replicas_against_eager(source: DataSource, pairs: int, real: bool) -> Iterator[Comparison]:
    """Time of the same steps of so many replicas, one after another and at once; on MNIST where it is there."""
    for problem, optimizer, batch_size, count in STACKED:
        if "mnist" in problem and not real:
            continue
        cell = _cell(problem, optimizer, batch_size)
        found, data = load(cell.problem, source, cell.device)
        replicas = [Replica({"lr": cell.optimizer.search["lr"].bounds[0]}, seed) for seed in range(count)]
        together = Population(cell, found, data, replicas, True, Ledger(UNLIMITED)).step
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
    # The lowest rate that is searched: nothing diverges, whose arithmetic would be slower or faster.
    return kind(cell, problem, data, {"lr": cell.optimizer.search["lr"].bounds[0]}, 0, Ledger(UNLIMITED)).step


def _microseconds(step: Callable[[], object], times: int = 1) -> Callable[[], float]:
    """What measures the mean time of a step, over as many as take a while; of so many steps together."""
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
