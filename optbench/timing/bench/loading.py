"""The gain from batches: one product for many examples, and data that stays on the device."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from optbench.planning.matrix import Cell
from optbench.problem.data import Batch, DataSource
from optbench.timing.bench.comparison import Ratio, compare
from optbench.training.device_data import load


def batch_against_loop(pairs: int, examples: int = 2500, size: int = 1000, outputs: int = 1500) -> Ratio:
    """The time of one product per example against that of one product over the batch."""
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


def loader_against_resident(cell: Cell, source: DataSource, pairs: int, epochs: int = 1) -> Ratio:
    """Batches by index from a resident tensor against batches from a DataLoader in this process."""
    _, data = load(cell.problem, source, cell.device)
    tensors = tuple(torch.cat(parts) for parts in zip(*data.train.chunks(10_000), strict=True))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), cell.batch_size, shuffle=True)

    def consume(batches: Callable[[], Batch], count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            batches()
        return count * cell.batch_size / (time.perf_counter() - started)

    count = len(tensors[0]) // cell.batch_size * epochs

    def from_tensors() -> float:
        order = torch.randperm(len(data.train))
        place = iter(range(count))

        def following() -> Batch:
            start = next(place) * cell.batch_size
            return data.train.batch(order[start : start + cell.batch_size])

        return consume(following, count)

    def from_loader() -> float:
        batches = iter(loader)
        return consume(lambda: tuple(next(batches)), min(count, len(loader)))

    return compare(
        f"resident tensors / a DataLoader, batch {cell.batch_size}", "examples/s", from_tensors, from_loader, pairs
    )
