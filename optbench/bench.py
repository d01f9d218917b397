"""Micro-timings, each as a ratio of two things measured side by side, so that anyone can repeat them.

Every comparison alternates its two sides in one sitting (A B, B A, …) and reports the median of the
ratios of pairs with the lowest and highest; single times of a shared machine say little.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from optbench.api import configure
from optbench.budget import Ledger
from optbench.device import make_deterministic
from optbench.engine import ProcessEngine
from optbench.environment import describe
from optbench.listing import table
from optbench.locations import default_data_dir
from optbench.matrix import Cell, make_plan
from optbench.problem import Batch, DataSource
from optbench.resident import load
from optbench.stepper import Stepper
from optbench.train import train

_UNLIMITED = 2**62


@dataclass(frozen=True)
class Comparison:
    """Ratios of side A over side B in pairs that were measured next to each other."""

    name: str
    unit: str
    a: np.ndarray
    b: np.ndarray

    @property
    def ratio(self) -> float:
        return float(np.median(self.a / self.b))

    def row(self) -> tuple[str, ...]:
        ratios = self.a / self.b
        return (
            self.name,
            f"{np.median(self.a):,.4g}",
            f"{np.median(self.b):,.4g}",
            self.unit,
            f"{self.ratio:.3f}",
            f"{ratios.min():.3f} – {ratios.max():.3f}",
            str(len(ratios)),
        )


def compare(
    name: str, unit: str, a: Callable[[], float], b: Callable[[], float], pairs: int, warm: bool = True
) -> Comparison:
    """Measures two sides alternately, ABBA, after one unrecorded pair."""
    if warm:
        a(), b()
    measured: dict[str, list[float]] = {"a": [], "b": []}
    for pair in range(pairs):
        order = ("a", "b") if pair % 2 == 0 else ("b", "a")
        for side in order:
            measured[side].append((a if side == "a" else b)())
    return Comparison(name, unit, np.array(measured["a"]), np.array(measured["b"]))


def conv_net_cell(data_dir: Path | None, batch_size: int, optimizer: str = "sgd[lr=0.01]", seconds: str = "") -> Cell:
    """The lecture's conv net on real MNIST where `data_dir` is given, else on digits."""
    data = "mnist" if data_dir else "digits"
    config = configure(
        problems=[f"mnist_cnn[data={data}]"],
        optimizers=[optimizer],
        batch_sizes=[batch_size],
        devices=["cpu"],
        run_budget=seconds or "1epochs",
    )
    return make_plan(config).cells[0]


def run_throughput(cell: Cell, source: DataSource, examples: int) -> float:
    """Examples a second of optbench's own training loop, evaluation off the clock as always."""
    problem, data = load(cell.problem, source, cell.device)
    record = train(replace(cell, evaluations=2), problem, data, cell.optimizer.defaults, 0, examples)
    return record.steps * cell.batch_size / record.train_seconds


def bare_throughput(cell: Cell, source: DataSource, examples: int, *, as_lecture: bool = False) -> float:
    """Examples a second of a plain torch loop over the same tensors.

    Equally configured: same batch, optimizer, memory format and threads. `as_lecture`: contiguous
    images and weights, as one writes it without thinking of memory formats.
    """
    problem, data = load(cell.problem, source, cell.device)
    inputs, targets = (torch.cat(parts) for parts in zip(*data.train.chunks(10_000), strict=True))
    torch.manual_seed(0)
    model = problem.model()
    if as_lecture:
        # A clone: with one channel, `contiguous` would return the channels-last images as they are.
        inputs = inputs.clone(memory_format=torch.contiguous_format)
    else:
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model.train()
    steps = examples // cell.batch_size
    order = torch.cat([torch.randperm(len(inputs)) for _ in range(examples // len(inputs) + 2)])
    started = time.perf_counter()
    for step in range(steps):
        chosen = order[step * cell.batch_size : (step + 1) * cell.batch_size]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen])
        loss.backward()
        optimizer.step()
    return steps * cell.batch_size / (time.perf_counter() - started)


def run_against_bare(cell: Cell, source: DataSource, examples: int, pairs: int) -> Comparison:
    """One process, one thread: what the harness costs."""
    return compare(
        f"a run / a bare torch loop, {cell.problem.label}, batch {cell.batch_size}, 1 thread",
        "examples/s",
        lambda: run_throughput(cell, source, examples),
        lambda: bare_throughput(cell, source, examples),
        pairs,
    )


def machine_against_lecture(cell: Cell, source: DataSource, examples: int, pairs: int, workers: int) -> Comparison:
    """All cores: single-thread workers of optbench against the lecture's loop with torch's default threads."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as lecture, ProcessEngine(workers, 1) as engine:

        def optbench_side() -> float:
            started: list[Future[float]] = [
                engine.submit(run_throughput, cell, source, examples) for _ in range(workers)
            ]
            return sum(future.result() for future in started)

        def lecture_side() -> float:
            return lecture.submit(_lecture, cell, source, examples).result()

        return compare(
            f"{workers} workers / the lecture's loop, {cell.problem.label}, batch {cell.batch_size}, whole machine",
            "examples/s",
            optbench_side,
            lecture_side,
            pairs,
        )


def _lecture(cell: Cell, source: DataSource, examples: int) -> float:
    return bare_throughput(cell, source, examples, as_lecture=True)


def batch_against_loop(pairs: int, examples: int = 2500, size: int = 1000, outputs: int = 1500) -> Comparison:
    """One product over a batch against a product for each example; time, so the ratio is loop / batch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(examples, size, generator=generator)
    w = torch.randn(outputs, size, generator=generator)

    def loop() -> float:
        started = time.perf_counter()
        for example in x:
            w.mv(example)
        return 1e3 * (time.perf_counter() - started)

    def batch() -> float:
        started = time.perf_counter()
        x.mm(w.T)
        return 1e3 * (time.perf_counter() - started)

    return compare(f"a loop over {examples} examples / one batch product", "ms", loop, batch, pairs)


def loader_against_resident(cell: Cell, source: DataSource, pairs: int, epochs: int = 1) -> Comparison:
    """Batches from a DataLoader (in this process) against batches by index from a resident tensor."""
    _, data = load(cell.problem, source, cell.device)
    tensors = tuple(torch.cat(parts) for parts in zip(*data.train.chunks(10_000), strict=True))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), cell.batch_size, shuffle=True)

    def consume(batches: Callable[[], Batch], count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            batches()
        return count * cell.batch_size / (time.perf_counter() - started)

    count = len(tensors[0]) // cell.batch_size * epochs

    def resident() -> float:
        order = torch.randperm(len(data.train))
        place = iter(range(count))

        def following() -> Batch:
            start = next(place) * cell.batch_size
            return data.train.batch(order[start : start + cell.batch_size])

        return consume(following, count)

    def loaded() -> float:
        batches = iter(loader)
        return consume(lambda: tuple(next(batches)), min(count, len(loader)))

    return compare(f"resident tensors / a DataLoader, batch {cell.batch_size}", "examples/s", resident, loaded, pairs)


def step_milliseconds(
    source: DataSource, data_dir: Path | None, batch_size: int = 100, steps: int = 10
) -> Mapping[str, float]:
    """Median time of a whole step (forward, backward, update) of every optimizer on the conv net."""
    from optbench.optimizers import BUILT_IN

    found = {}
    for name in BUILT_IN:
        cell = conv_net_cell(data_dir, batch_size, name)
        problem, data = load(cell.problem, source, cell.device)
        stepper = Stepper(cell, problem, data, cell.optimizer.defaults, 0, Ledger(_UNLIMITED))
        times = []
        for step in range(steps + 3):
            started = time.perf_counter()
            stepper.step()
            if step >= 3:
                times.append(time.perf_counter() - started)
        found[name] = 1e3 * float(np.median(times))
    return found


def bench_text(data_dir: Path | None, pairs: int) -> str:
    """All micro-timings as text, with the machine and the versions that they hold for."""
    make_deterministic(1)
    source = DataSource((data_dir or default_data_dir()).expanduser(), download=False)
    environment = describe()
    examples = 20_000 if data_dir else 4_000
    cell = conv_net_cell(data_dir, 100)
    workers = min(2, environment["cores"] or 1)
    comparisons = [
        run_against_bare(cell, source, examples, pairs),
        machine_against_lecture(cell, source, examples, pairs, workers),
        batch_against_loop(pairs),
        loader_against_resident(cell, source, pairs),
    ]
    steps = step_milliseconds(source, data_dir)
    head = ("comparison (A / B)", "A", "B", "unit", "A / B", "range", "n")
    packages = ", ".join(f"{name} {environment['packages'][name]}" for name in ("optbench", "torch"))
    return "\n".join(
        (
            table((head, *(comparison.row() for comparison in comparisons)), right=(1, 2, 4, 6)),
            "",
            f"a step on {cell.problem.label}, batch 100, 1 thread (median of 10)",
            table([("optimizer", "ms"), *((name, f"{ms:.2f}") for name, ms in steps.items())], right=(1,)),
            "",
            f"{environment['processor']}, {environment['cores']} cores, {packages}, Python {environment['python']}",
        )
    )
