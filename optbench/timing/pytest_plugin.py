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
#: The rounds of each result: warm-up rounds, which are not counted, and counted ones.
WARMUP_ROUNDS, ROUNDS = 1, 5

_MISSING = "needs pytest-benchmark (pip install 'optbench[timing]')"


def _measure(benchmark: Any, measurable: Measurable, rounds: int) -> None:
    from optbench.timing.recording import SAME_CALLS

    benchmark.extra_info |= {"counters": measurable.counters, SAME_CALLS: measurable.calls}
    if not benchmark.disabled:
        measurable.work.prepare(WARMUP_ROUNDS + rounds)
    benchmark.pedantic(measurable.work, rounds=rounds, warmup_rounds=WARMUP_ROUNDS, iterations=measurable.calls)
    measurable.verify()


if find_spec("pytest_benchmark") is not None:

    @pytest.fixture
    def optimizer_step(benchmark: Any) -> Callable[..., None]:
        """Times a step: `optimizer_step(optimizer, problem="mnist_cnn", batch_size=None, device="cpu", source=None)`.

        The result is the mean time of a step (forward, backward, update) over a round, at the optimizer's defaults,
        with allocated state and a synchronised device. All rounds take the same steps, up to 120, from the same start.
        The test fails if no parameter moved. Counters go to `extra_info["counters"]`.
        """
        from optbench.timing import subjects

        def measure(optimizer: str, problem: str = "mnist_cnn", *, rounds: int = ROUNDS, **more: Any) -> None:
            _measure(benchmark, subjects.optimizer_step(subjects.setting(problem, optimizer, **more)), rounds)

        return measure

    @pytest.fixture
    def forward_backward(benchmark: Any) -> Callable[..., None]:
        """Times the gradient of a batch: `forward_backward(problem, batch_size=None, device="cpu", source=None)`."""
        from optbench.timing import subjects

        def measure(problem: str, *, rounds: int = ROUNDS, **more: Any) -> None:
            _measure(benchmark, subjects.forward_backward(subjects.setting(problem, **more)), rounds)

        return measure

    @pytest.fixture
    def training(benchmark: Any) -> Callable[..., None]:
        """Times a training with its evaluations: `training(optimizer, problem, examples)`, a budget in gradients."""
        from optbench.timing import subjects

        def measure(optimizer: str, problem: str, examples: int, *, rounds: int = 5, **more: Any) -> None:
            subject = subjects.setting(problem, optimizer, **more)
            _measure(benchmark, subjects.training(subject, examples), rounds)

        return measure

else:

    @pytest.fixture
    def optimizer_step() -> None:
        """Fails with the name of the missing package."""
        pytest.fail(f"optimizer_step {_MISSING}", pytrace=False)

    @pytest.fixture
    def forward_backward() -> None:
        """Fails with the name of the missing package."""
        pytest.fail(f"forward_backward {_MISSING}", pytrace=False)

    @pytest.fixture
    def training() -> None:
        """Fails with the name of the missing package."""
        pytest.fail(f"training {_MISSING}", pytrace=False)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Adds the facts on which times depend, so that different machines are not compared."""
    from optbench.timing.machine import machine

    machine_info["optbench"] = machine()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under `optbench timing ab`: fails the run if a package under test was imported from another folder."""
    tree = os.environ.get(TREE)
    if not tree:
        return
    names = [name for name in os.environ[f"{TREE}_PACKAGES"].split(os.pathsep) if name in sys.modules]
    strangers = [name for name in names if not _lies_in(sys.modules[name], Path(tree))]
    if strangers or not names:
        sources = ", ".join(f"{name} came from {_place(sys.modules[name])}" for name in strangers)
        reason = sources or "the tests import none of its packages"
        print(f"optbench: {tree} was not measured: {reason}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def _place(module: Any) -> str:
    return str(getattr(module, "__file__", None) or next(iter(module.__path__)))


def _lies_in(module: Any, tree: Path) -> bool:
    return Path(_place(module)).resolve().is_relative_to(tree.resolve())
