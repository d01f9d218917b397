"""Every registered optimizer and every registered problem conforms, alone and together.

Adding an entry to a registry adds its tests. Problems whose data or weights have to be downloaded are skipped as they
are, and tested as the quick preset has them.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from optbench import selection
from optbench.budget import THIRDS
from optbench.config import preset
from optbench.conformance.subject import Trainable, quietly, trainable
from optbench.conformance.suite import OPTIMIZER_CHECKS, PROBLEM_CHECKS, prove
from optbench.construct import make_optimizer, run_facts
from optbench.errors import Inapplicable, UserError
from optbench.evaluate import evaluate, parameters_finite
from optbench.problem import DataSource
from optbench.registry import BUILT_IN_PROBLEMS, REGISTERED_OPTIMIZERS, make_problem, problem_class

QUICK = [entry["select"] if isinstance(entry, dict) else entry for entry in preset("quick")["problems"]]
#: `quadratic_valley` is in both.
PROBLEMS = list(dict.fromkeys([*QUICK, *BUILT_IN_PROBLEMS]))
#: Default rates are made for networks: functions of the plane overflow at some of them within three steps.
TOGETHER = [name for name in PROBLEMS if problem_class(selection.parse(name)[0].name).kind != "function"]
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
    skip_unless_there(problem)
    prove(problem, name, {"source": SOURCE})


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("problem", TOGETHER)
def test_together(problem: str, optimizer: str) -> None:
    """Three steps on eight examples at a time stay finite, and cost what the ledger says, within the budget."""
    skip_unless_there(problem)
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


@cache
def missing(problem: str) -> str:
    """What a problem needs that isn't there, if anything."""
    [chosen] = selection.parse(problem)
    try:
        make_problem(chosen.name, dict(chosen.parameters)).load_data(SOURCE)
    except UserError as error:
        return str(error)
    return ""


def skip_unless_there(problem: str) -> None:
    if reason := missing(problem):
        pytest.skip(reason)


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
