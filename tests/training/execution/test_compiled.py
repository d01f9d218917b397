"""Compiled losses against eager ones; compiled before the first step, and once for all trainings of a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optbench.budget import Ledger
from optbench.optimizers.builtin import BUILT_IN
from optbench.problem.data import DataSource
from optbench.training.device_data import load
from optbench.training.execution import compiled
from optbench.training.execution.compiled import CompiledStepper
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from tests.support.tiny import TINY, TINY_NET
from tests.support.trainings import cell_for, facts, trained, values

SOURCE = DataSource(Path("unused"), download=False)


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything of `torch.compile` but the compilers, which take many seconds at their first call."""
    original = torch.compile

    def traced(loss: Any, *, dynamic: bool, options: dict[str, bool]) -> Any:
        assert options == {"fallback_random": True}
        return original(loss, dynamic=dynamic, backend="aot_eager")

    monkeypatch.setattr(compiled.torch, "compile", traced)


def agree(problem: str, optimizer: str, tolerance: float, budget: int = 600) -> None:
    default = cell_for(problem, optimizer, "eager").optimizer.defaults["lr"]
    rates = [default, 0.3 * default]
    expected = trained(cell_for(problem, optimizer, "eager"), rates, budget)
    found = trained(cell_for(problem, optimizer, "compile"), rates, budget)
    for one, other in zip(found, expected, strict=True):
        assert facts(one) == facts(other)
        np.testing.assert_allclose(values(one), values(other), rtol=tolerance)


@pytest.mark.usefixtures("traced_only")
@pytest.mark.parametrize("optimizer", ["adam", "adam[clip_norm=0.3,average_decay=0.9]"])
def test_traced_training_agrees_with_eager_training(optimizer: str) -> None:
    """Dropout included, whose masks come from the training's own seed."""
    agree(f"{TINY_NET}[dropout=0.5]", optimizer, 2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", BUILT_IN)
@pytest.mark.parametrize(
    ("problem", "tolerance", "budget"),
    [(TINY, 1e-9, 600), (f"{TINY_NET}[dropout=0.5]", 2e-5, 600), ("mlp", 2e-5, 200),
     ("quadratic_valley[dim=20,rotated=true]", 1e-9, 600), ("mnist_cnn[data=digits]", 1e-3, 100),
     ("cifar_resnet[data=digits,depth=8,width=4]", 1e-2, 100)],
)  # fmt: skip
def test_compiled_training_agrees_for_every_optimizer_and_problem(
    problem: str, tolerance: float, budget: int, optimizer: str
) -> None:
    agree(problem, optimizer, tolerance, budget)


@pytest.mark.usefixtures("traced_only")
def test_nothing_is_compiled_while_the_clock_runs() -> None:
    cell = cell_for(TINY, "adam", "compile")
    problem, data = load(cell.problem, SOURCE, "cpu")
    steppers = [CompiledStepper(cell, problem, data, {"lr": 1e-2}, seed, Ledger(10**6)) for seed in (0, 1)]
    with torch.compiler.set_stance("fail_on_recompile"):
        for stepper in steppers:
            for _ in range(3):
                stepper.step()
            with stepper.evaluating():
                problem.evaluate(stepper.model, data.valid.batch(torch.arange(20)))
            stepper.step()


def test_what_can_not_be_compiled_is_trained_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as where there is no C++ compiler."""

    def refusing(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no working compiler")

    monkeypatch.setattr(compiled.torch, "compile", refusing)
    cell = cell_for(TINY, "adam", "compile")
    problem, data = load(cell.problem, SOURCE, "cpu")
    notes: list[str] = []
    trainer = Trainer(cell, problem, data, "", notes.append)
    assert (trainer.execution, trainer.note) == ("eager", "RuntimeError: no working compiler")
    assert notes == [trainer.note]
    (record,) = trainer.train([Replica({"lr": 1e-2}, 0)], 300, test=True)
    (expected,) = trained(cell_for(TINY, "adam", "eager"), [1e-2], 300)
    assert np.array_equal(values(record), values(expected))


def test_what_gives_other_numbers_is_trained_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.torch, "compile", lambda loss, **_: lambda model, batch: 1.001 * loss(model, batch))
    cell = cell_for(TINY, "sgd", "compile")
    trainer = Trainer(cell, *load(cell.problem, SOURCE, "cpu"))
    assert trainer.execution == "eager"
    assert "differs from eager training by 0.00" in trainer.note
