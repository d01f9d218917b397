"""Every registered optimizer and every registered problem conforms, alone, and those of the quick tier together.

Adding an entry to a registry adds its tests.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from optbench.budget import THIRDS
from optbench.config import preset
from optbench.conformance.subject import Trainable, quietly, trainable
from optbench.conformance.suite import OPTIMIZER_CHECKS, PROBLEM_CHECKS, prove
from optbench.construct import make_optimizer, run_facts
from optbench.errors import Inapplicable
from optbench.evaluate import evaluate, parameters_finite
from optbench.problem import DataSource
from optbench.registry import BUILT_IN_PROBLEMS, REGISTERED_OPTIMIZERS

QUICK = [entry["select"] if isinstance(entry, dict) else entry for entry in preset("quick")["problems"]]
#: All but those whose default data or weights have to be downloaded: these are in the quick tier on digits, or are
#: tested by themselves.
PROBLEMS = [*QUICK, *sorted({*BUILT_IN_PROBLEMS} - {*QUICK, "mnist_cnn", "cifar_resnet", "frozen_features"})]
SOURCE = DataSource(Path("unused"), download=False)
#: What is there; the extra `zoo` need not be.
OPTIMIZERS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            bool(spec.package) and find_spec(spec.package.replace("-", "_")) is None,
            reason=f"needs the package {spec.package}",
        ),
    )
    for name, spec in REGISTERED_OPTIMIZERS.items()
]


@pytest.mark.parametrize("name", OPTIMIZER_CHECKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizer(optimizer: str, name: str) -> None:
    prove(optimizer, name)


@pytest.mark.parametrize("name", PROBLEM_CHECKS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_problem(problem: str, name: str) -> None:
    prove(problem, name, {"source": SOURCE})


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("problem", QUICK)
def test_together(problem: str, optimizer: str) -> None:
    """Three steps on eight examples at a time stay finite, and cost what the ledger says, within the budget."""
    found = trainable(problem, optimizer, source=SOURCE, examples=8)
    if reason := inapplicable(found):
        pytest.skip(reason)
    size = found.cell.batch_size
    with quietly():
        stepper = found.stepper(budget=40 * size)
        while stepper.steps < 3 and stepper.ledger.affords_gradient(size) and stepper.step():
            pass
        with stepper.evaluating():
            loss = evaluate(found.problem, stepper.model, found.data.valid).loss
    assert stepper.steps >= 1
    assert parameters_finite(stepper.model)
    assert torch.isfinite(torch.tensor(loss))
    assert THIRDS * size * stepper.steps <= stepper.ledger.thirds <= THIRDS * stepper.ledger.budget


def inapplicable(found: Trainable) -> str:
    try:
        make_optimizer(
            found.cell.optimizer, found.problem.model(), found.cell.optimizer.defaults, run_facts(found.cell)
        )
    except Inapplicable as reason:
        return str(reason)
    return ""


def test_what_is_skipped_has_its_reason() -> None:
    """Of the ten optimizers of the suite none is; Muon has no matrix in the valley."""
    assert "muon has nothing to step here: all parameters are in rest" in inapplicable(
        trainable("quadratic_valley", "muon", source=SOURCE)
    )
    assert inapplicable(trainable("quadratic_valley", "adam", source=SOURCE)) == ""
