"""What is timed does what it says, and its counters are the same in every process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from optbench.budget import Ledger
from optbench.errors import UserError
from optbench.problem.data import DataSource
from optbench.timing.counters import counters, operations
from optbench.timing.subjects import forward_backward, optimizer_step, setting, training
from tests.support.tiny import TINY, TINY_NET

SOURCE = DataSource(Path("unused"), download=False)


def test_operations_are_those_of_forward_and_backward() -> None:
    x = torch.rand(5, requires_grad=True)
    forward = operations(lambda: (x * 2).sum())
    assert forward == 2
    assert operations(lambda: (x * 2).sum().backward()) > forward


def test_bytes_are_what_is_allocated() -> None:
    found = counters(lambda: torch.empty(1000, dtype=torch.float64), "cpu", Ledger(1))
    assert found == {"operations": 1, "forwards": 0, "backwards": 0, "bytes_allocated": 8000}


def test_a_step_is_counted_and_moves() -> None:
    found = optimizer_step(setting(TINY, "sgd", 10))
    assert found.counters["steps"] == found.counters["forwards"] == found.counters["backwards"] == 1
    assert found.calls > 1
    with pytest.raises(AssertionError, match="no step was taken"):
        found.verify()
    found.work()
    found.verify()
    closures = optimizer_step(setting(TINY, "lbfgs", 10)).counters
    assert closures["forwards"] > 1, "each evaluation of the closure"


class Numbered(torch.optim.SGD):
    """Writes down the numbers of its steps, and fails after the last one."""

    numbers: ClassVar[list[int]] = []

    def __init__(self, params: Any, lr: float = 0.01, most: int = 10**9) -> None:
        super().__init__(params, lr=lr)
        self.taken, self.most = 0, most

    def step(self, closure: Any = None) -> None:
        self.taken += 1
        assert self.taken <= self.most
        self.numbers.append(self.taken)
        super().step(closure)


def test_all_rounds_take_the_same_steps() -> None:
    """So that rare expensive steps are in every round, whether rounds were prepared or not."""
    found = optimizer_step(setting(TINY, f"{__name__}:Numbered", 10))
    for prepared in (0, 2):
        Numbered.numbers.clear()
        found.work.prepare(prepared)
        assert Numbered.numbers == prepared * [1, 2, 3]
        Numbered.numbers.clear()
        for _ in range(2 * found.calls):
            found.work()
        assert [number for number in Numbered.numbers if number > 3] == 2 * list(range(4, found.calls + 4))
    assert found.calls == 120
    found.verify()


def test_an_optimizer_that_receives_the_number_of_steps_is_not_taken_beyond_it() -> None:
    table = {"class": f"{__name__}:Numbered", "from_run": {"most": "steps"}}
    found = optimizer_step(setting(TINY, "told", 10, tables={"told": table}))
    for _ in range(3 * found.calls):
        found.work()
    assert found.calls == 40 - 3  # two epochs of 200 examples


def test_a_step_through_a_closure_is_counted_as_one_without() -> None:
    """The harness can undo steps that may exceed a budget; its copies are not part of what is measured."""
    plain = optimizer_step(setting(TINY_NET, f"{__name__}:Numbered", 10)).counters
    asked = optimizer_step(setting(TINY_NET, f"{__name__}:Asks", 10)).counters
    copies = 2  # of weight and bias
    assert asked["operations"] - plain["operations"] < copies


class Asks(torch.optim.SGD):
    """Gradient descent that requires a closure."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr=lr)

    def step(self, closure: Any) -> Any:
        return super().step(closure)


def test_an_optimizer_that_moves_nothing_is_no_measurement() -> None:
    found = optimizer_step(setting(TINY, "tests.training.execution.test_linearity:Still", 10))
    found.work()
    with pytest.raises(AssertionError, match="moved no parameter"):
        found.verify()


def test_gradients_and_trainings() -> None:
    gradient = forward_backward(setting(TINY_NET, batch_size=5))
    gradient.work()
    gradient.verify()
    assert gradient.counters["backwards"] == 1
    whole = training(setting(TINY, "adam", 10), 100)
    whole.work()
    whole.verify()
    assert whole.counters["steps"] == whole.counters["backwards"] == 10
    short = training(setting(TINY, "adam", 10), 5)
    with pytest.raises(AssertionError, match="paid for no step"):
        short.verify()


def test_what_is_unknown_is_said() -> None:
    with pytest.raises(UserError, match="did you mean 'adadelta'"):
        setting(TINY, "adadelt")


COUNT = """
import json, sys
from tests.timing.test_subjects import counts
print(json.dumps(counts()))
"""


def counts() -> list[dict[str, int]]:
    """The counters of a step on a network, and of one with several evaluations on a function."""
    chosen = [("mnist_cnn[data=digits]", "adam"), (TINY, "lbfgs")]
    return [optimizer_step(setting(problem, name)).counters for problem, name in chosen]


@pytest.mark.processes
def test_counters_are_the_same_in_every_process() -> None:
    """In a new interpreter with another hash seed as in this one, which has done other things before."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    found = counts()
    assert json.loads(done.stdout) == found
    assert found[0]["bytes_allocated"] > 0
