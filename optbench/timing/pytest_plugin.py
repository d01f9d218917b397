"""A pytest plugin: optimizer steps, gradients and trainings as ordinary results of pytest-benchmark.

    def test_step(optimizer_step):
        optimizer_step("mypkg:Lion", problem="mnist_cnn[data=digits]")

It is loaded in every run of pytest, so it imports nothing until a test asks for one of its fixtures.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from optbench.timing.subjects import Measurable

#: Set by `optbench timing ab`: the only folder from which a measured package may come.
TREE = "OPTBENCH_TIMING_TREE"
#: Of each result: rounds before those that count, and rounds that count.
WARMUP_ROUNDS, ROUNDS = 2, 10

_MISSING = "needs pytest-benchmark (pip install 'optbench[timing]')"


def _measured(benchmark: Any, measurable: Measurable, rounds: int) -> None:
    benchmark.extra_info["counters"] = measurable.counters
    benchmark.pedantic(measurable.work, rounds=rounds, warmup_rounds=WARMUP_ROUNDS, iterations=measurable.calls)
    measurable.verify()


if find_spec("pytest_benchmark") is not None:

    @pytest.fixture
    def optimizer_step(benchmark: Any) -> Callable[..., None]:
        """Times a step: `optimizer_step(optimizer, problem="mnist_cnn", batch_size=None, device="cpu", source=None)`.

        Seconds of one step (forward, backward, update) at the optimizer's defaults, its state allocated before, the
        device synchronised; fails where no parameter moved. Counters go to `extra_info["counters"]`.
        """
        from optbench.timing import subjects

        def measure(optimizer: str, problem: str = "mnist_cnn", *, rounds: int = ROUNDS, **more: Any) -> None:
            _measured(benchmark, subjects.optimizer_step(subjects.setting(problem, optimizer, **more)), rounds)

        return measure

    @pytest.fixture
    def forward_backward(benchmark: Any) -> Callable[..., None]:
        """Times the gradient of a batch: `forward_backward(problem, batch_size=None, device="cpu", source=None)`."""
        from optbench.timing import subjects

        def measure(problem: str, *, rounds: int = ROUNDS, **more: Any) -> None:
            _measured(benchmark, subjects.forward_backward(subjects.setting(problem, **more)), rounds)

        return measure

    @pytest.fixture
    def training(benchmark: Any) -> Callable[..., None]:
        """Times a training, evaluations included: `training(optimizer, problem, examples)`, a budget in gradients."""
        from optbench.timing import subjects

        def measure(optimizer: str, problem: str, examples: int, *, rounds: int = 5, **more: Any) -> None:
            found = subjects.setting(problem, optimizer, **more)
            _measured(benchmark, subjects.training(found, examples), rounds)

        return measure

else:

    @pytest.fixture
    def optimizer_step() -> None:
        """Says what is missing."""
        pytest.fail(f"optimizer_step {_MISSING}", pytrace=False)

    @pytest.fixture
    def forward_backward() -> None:
        """Says what is missing."""
        pytest.fail(f"forward_backward {_MISSING}", pytrace=False)

    @pytest.fixture
    def training() -> None:
        """Says what is missing."""
        pytest.fail(f"training {_MISSING}", pytrace=False)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Adds what times of trainings depend on, so that unlike machines are not compared."""
    from optbench.timing.machine import machine

    machine_info["optbench"] = machine()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under `optbench timing ab`: fails the run where a package under test came from somewhere else."""
    tree = os.environ.get(TREE)
    if not tree:
        return
    names = [name for name in os.environ[f"{TREE}_PACKAGES"].split(os.pathsep) if name in sys.modules]
    strangers = [name for name in names if not _lies_in(sys.modules[name], Path(tree))]
    if strangers or not names:
        found = ", ".join(f"{name} came from {_place(sys.modules[name])}" for name in strangers)
        print(f"optbench: {tree} was not measured: {found or 'the tests import none of its packages'}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def _place(module: Any) -> str:
    return str(getattr(module, "__file__", None) or next(iter(module.__path__)))


def _lies_in(module: Any, tree: Path) -> bool:
    return Path(_place(module)).resolve().is_relative_to(tree.resolve())
