"""Throughput of the lecture's conv net: a run against a bare loop, whole machines, workers, bookkeeping."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from optbench.budget import UNLIMITED, Ledger
from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.runner.engines import ProcessEngine
from optbench.timing.bench.comparison import Ratio, compare
from optbench.training.device_data import load
from optbench.training.loop import train
from optbench.training.stepper import Stepper, chunk_sizes


def conv_net_cell(data_dir: Path | None, batch_size: int, optimizer: str = "sgd[lr=0.01]") -> Cell:
    """The lecture's conv net on MNIST if `data_dir` is given, otherwise on digits."""
    data = "mnist" if data_dir else "digits"
    config = configure(
        problems=[f"mnist_cnn[data={data}]"],
        optimizers=[optimizer],
        batch_sizes=[batch_size],
        devices=["cpu"],
        run_budget="1epochs",
    )
    return make_plan(config).cells[0]


def run_throughput(cell: Cell, source: DataSource, examples: int) -> float:
    """Examples per second of optbench's training loop, without evaluations."""
    problem, data = load(cell.problem, source, cell.device)
    record = train(replace(cell, evaluations=2), problem, data, cell.optimizer.defaults, 0, examples)
    return record.steps * cell.batch_size / record.train_seconds


def bare_throughput(cell: Cell, source: DataSource, examples: int, *, as_lecture: bool = False) -> float:
    """Examples per second of a plain torch loop over the same tensors.

    It has the same batch, chunks, optimizer, memory format and threads. With `as_lecture`, it uses whole batches of
    contiguous images and weights, as in the lecture, which ignores caches.
    """
    problem, data = load(cell.problem, source, cell.device)
    inputs, targets = (torch.cat(parts) for parts in zip(*data.train.chunks(10_000), strict=True))
    torch.manual_seed(0)
    model = problem.model()
    if as_lecture:
        # A clone: with one channel, `contiguous` would return the channels-last images as they are.
        inputs = inputs.clone(memory_format=torch.contiguous_format)
        chunks = [cell.batch_size]
    else:
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.to(memory_format=torch.channels_last)
        chunks = chunk_sizes(problem, cell)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model.train()
    steps = examples // cell.batch_size
    order = torch.cat([torch.randperm(len(inputs)) for _ in range(examples // len(inputs) + 2)])
    started = time.perf_counter()
    for step in range(steps):
        chosen = order[step * cell.batch_size : (step + 1) * cell.batch_size]
        optimizer.zero_grad()
        for part in chosen.split(chunks):
            loss = torch.nn.functional.cross_entropy(model(inputs[part]), targets[part])
            (loss * (len(part) / cell.batch_size)).backward()
        optimizer.step()
    return steps * cell.batch_size / (time.perf_counter() - started)


def run_against_bare(cell: Cell, source: DataSource, examples: int, pairs: int) -> Ratio:
    """The overhead of the harness, in one process with one thread."""
    return compare(
        f"a run / a bare torch loop, {cell.problem.label}, batch {cell.batch_size}, 1 thread",
        "examples/s",
        lambda: run_throughput(cell, source, examples),
        lambda: bare_throughput(cell, source, examples),
        pairs,
        target=0.97,
    )


#: The target for the gain of a whole machine over the lecture's loop, by batch size.
AGAINST_LECTURE = {10: 2.2, 100: 2.8, 1000: 3.0}


def machine_against_lecture(cell: Cell, source: DataSource, examples: int, pairs: int, workers: int) -> Ratio:
    """All cores: single-thread workers of optbench against the lecture's loop with torch's default threads.

    The loop runs in a new process each time, like a script: with two threads, its speed differs between processes by
    more than half, but is constant within one.
    """
    context = multiprocessing.get_context("spawn")

    def lecture_side() -> float:
        with ProcessPoolExecutor(1, context) as fresh:
            return fresh.submit(_lecture, cell, source, examples).result()

    with ProcessEngine(workers, 1) as engine:
        return compare(
            f"{workers} workers / the lecture's loop, {cell.problem.label}, batch {cell.batch_size}, whole machine",
            "examples/s",
            lambda: _together(engine, workers, cell, source, examples),
            lecture_side,
            pairs,
            target=AGAINST_LECTURE.get(cell.batch_size),
        )


def workers_against_one(cell: Cell, source: DataSource, examples: int, pairs: int, workers: int) -> Ratio:
    """The gain from further workers: the same cell in all of them against one worker."""
    with ProcessEngine(workers, 1) as engine:
        return compare(
            f"{workers} workers / 1 worker, {cell.problem.label}, batch {cell.batch_size}",
            "examples/s",
            lambda: _together(engine, workers, cell, source, examples),
            lambda: _together(engine, 1, cell, source, examples),
            pairs,
            target=1.85 if workers == 2 else None,
        )


def _together(engine: ProcessEngine, workers: int, cell: Cell, source: DataSource, examples: int) -> float:
    started: list[Future[float]] = [engine.submit(run_throughput, cell, source, examples) for _ in range(workers)]
    return sum(future.result() for future in started)


def _lecture(cell: Cell, source: DataSource, examples: int) -> float:
    return bare_throughput(cell, source, examples, as_lecture=True)


def step_milliseconds(
    source: DataSource, data_dir: Path | None, batch_size: int = 100, steps: int = 10
) -> Mapping[str, float]:
    """The median milliseconds of a step (forward, backward, update) of every optimizer on the conv net."""
    from optbench.optimizers.builtin import BUILT_IN

    milliseconds = {}
    for name in BUILT_IN:
        cell = conv_net_cell(data_dir, batch_size, name)
        problem, data = load(cell.problem, source, cell.device)
        stepper = Stepper(cell, problem, data, cell.optimizer.defaults, 0, Ledger(UNLIMITED))
        times = []
        for step in range(steps + 3):
            started = time.perf_counter()
            stepper.step()
            if step >= 3:
                times.append(time.perf_counter() - started)
        milliseconds[name] = 1e3 * float(np.median(times))
    return milliseconds
