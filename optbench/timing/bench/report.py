"""All micro-timings as one text, with the machine and the versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from optbench.formatting import align_columns
from optbench.machine.device import make_deterministic
from optbench.machine.environment import describe_environment
from optbench.problem.data import DataSource, default_data_dir
from optbench.timing.bench.bookkeeping import bookkeeping
from optbench.timing.bench.comparison import HEAD, Ratio
from optbench.timing.bench.engines import dask_against_processes
from optbench.timing.bench.executions import COMPILED_HEAD, compare_compiled, compare_replicas
from optbench.timing.bench.loading import batch_against_loop, loader_against_resident
from optbench.timing.bench.populations import harness_against_loops, population_against_loops, small_cell
from optbench.timing.bench.startup import start_up
from optbench.timing.bench.throughput import (
    AGAINST_LECTURE,
    conv_net_cell,
    machine_against_lecture,
    run_against_bare,
    step_milliseconds,
    workers_against_one,
)


def bench_text(data_dir: Path | None, pairs: int) -> str:
    """Runs all micro-timings and returns them as text. It takes several minutes on an otherwise idle machine."""
    make_deterministic(1)
    source = DataSource((data_dir or default_data_dir()).expanduser(), download=False)
    environment = describe_environment()
    rows = [comparison.row() for comparison in _comparisons(source, data_dir, pairs, environment["cores"] or 1)]
    steps = step_milliseconds(source, data_dir)
    packages = ", ".join(f"{name} {environment['packages'][name]}" for name in ("optbench", "torch"))
    return "\n".join(
        (
            align_columns((HEAD, *rows), right=(1, 2, 4, 6)),
            "",
            align_columns(
                (COMPILED_HEAD, *(one.row() for one in compare_compiled(source, pairs))), right=(1, 2, 4, 6, 7, 8)
            ),
            "",
            f"a step on {conv_net_cell(data_dir, 100).problem.label}, batch 100, 1 thread (median of 10)",
            align_columns([("optimizer", "ms"), *((name, f"{ms:.2f}") for name, ms in steps.items())], right=(1,)),
            "",
            f"{environment['processor']}, {environment['cores']} cores, {packages}, Python {environment['python']}",
        )
    )


def _comparisons(source: DataSource, data_dir: Path | None, pairs: int, cores: int) -> Iterator[Ratio]:
    examples, workers = 20_000 if data_dir else 4_000, min(2, cores)
    cell = conv_net_cell(data_dir, 100)
    yield run_against_bare(cell, source, examples, pairs)
    for size in AGAINST_LECTURE:
        yield machine_against_lecture(conv_net_cell(data_dir, size), source, examples, pairs, workers)
    if workers > 1:
        yield workers_against_one(cell, source, examples, pairs, workers)
        if (engines := dask_against_processes(pairs)) is not None:
            yield engines
    yield bookkeeping(cell, source, pairs)
    quadratic = "quadratic_valley[dim=20]"
    for batch_size, budget in ((10, "5epochs"), (100, "50epochs")):
        small = small_cell(quadratic, "adam", batch_size, budget, 64)
        yield population_against_loops(small, 64, source, pairs, target=40)
    yield harness_against_loops(small_cell(quadratic, "adam", 10, "20epochs", 64), 64, source, pairs, target=20)
    yield population_against_loops(small_cell("mlp", "adam", 10, "4epochs", 16), 16, source, pairs, target=4)
    yield from compare_replicas(source, pairs, data_dir is not None)
    yield batch_against_loop(pairs)
    yield loader_against_resident(cell, source, pairs)
    yield from start_up(pairs)
