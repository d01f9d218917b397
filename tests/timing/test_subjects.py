"""What is timed does what it says, and its counters are the same in every process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
