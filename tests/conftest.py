"""Fixtures that several test modules share."""

from __future__ import annotations

import os

# Each of several test processes has a core: threads of more would wait for each other. Before NumPy and torch load.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import optbench
from tests.support.tiny import RAISING, run_tiny
from tests.support.unfinished import (  # noqa: F401 as hooks of pytest
    pytest_runtest_logreport,
    pytest_terminal_summary,
    pytest_xdist_node_collection_finished,
)

# The same examples every time, however slow the machine.
settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.load_profile("reproducible")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """The normal options disable benchmarks and leave out slow tests; `--benchmark-only` measures all benchmarks."""
    if config.getoption("benchmark_only", False):
        config.option.benchmark_disable = False
        config.option.markexpr = ""


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def timed_briefly() -> Iterator[None]:
    """The timing pass of cells in this process, of whose figures no test expects precision, repeats single steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optbench.runner.timing_pass.REPETITION_SECONDS", 1e-4)
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> optbench.Results:
    """Results of a whole benchmark of two cells, without tables and plots. Only to be read."""
    return run_tiny(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture(scope="session")
def partly_failed_run(tmp_path_factory: pytest.TempPathFactory) -> optbench.Results:
    """Results of a benchmark in which one cell ended with an error and the other one is done. Only to be read."""
    return run_tiny(tmp_path_factory.mktemp("partly") / "run", optimizers=["sgd", RAISING])


@pytest.fixture
def tiny_copy(tiny_run: optbench.Results, tmp_path: Path) -> Path:
    """The folder of a complete tiny benchmark, for a test to change or damage."""
    return Path(shutil.copytree(tiny_run.directory.folder, tmp_path / "run"))
