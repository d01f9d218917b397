"""Every registered optimizer and every registered problem conforms, alone and together.

Adding an entry to a registry adds its tests. Problems whose data or weights have to be downloaded are skipped as they
are, and tested as the quick preset has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from optbench import selection
from optbench.budget import THIRDS
from optbench.config.presets import preset
from optbench.conformance import check
from optbench.conformance.finding import Finding
from optbench.conformance.subject import Trainable, make_trainable, suppress_side_effects
from optbench.conformance.suite import OPTIMIZER_CHECKS, PROBLEM_CHECKS
from optbench.errors import Inapplicable, UserError, one_line
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS
from optbench.problem.data import DataSource
from optbench.problem.registry import BUILT_IN_PROBLEMS, make_problem, problem_class
from optbench.training import device_data as resident
from optbench.training.construct import make_optimizer, run_facts
from optbench.training.evaluation import evaluate, has_finite_parameters

QUICK = [entry["select"] if isinstance(entry, dict) else entry for entry in preset("quick")["problems"]]
#: `quadratic_valley` is in both.
PROBLEMS = list(dict.fromkeys([*QUICK, *BUILT_IN_PROBLEMS]))
#: Default rates are made for networks: functions of the plane overflow at some of them within three steps.
TOGETHER = [name for name in PROBLEMS if problem_class(selection.parse(name)[0].name).kind != "function"]
SOURCE = DataSource(Path("unused"), download=False)


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    """Keeps all data sets in memory; a run, which doesn't alternate between problems, keeps two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resident, "_load", cache(resident._load.__wrapped__))
        yield


def is_there(optimizer: str) -> bool:
    """Whether the package of an optimizer is installed; the extra `zoo` need not be."""
    package = REGISTERED_OPTIMIZERS[optimizer].package
    return not package or find_spec(package.replace("-", "_")) is not None


OPTIMIZERS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(not is_there(name), reason=f"needs the package {REGISTERED_OPTIMIZERS[name].package}"),
    )
    for name in REGISTERED_OPTIMIZERS
]

#: An optimizer sees parameters and gradients alone. These problems have them of all shapes (vectors, matrices,
#: kernels, embeddings of which a batch uses some rows), and a loss that is made of derivatives itself.
EXEMPLARY_PROBLEMS = ["cifar_resnet[data=digits,depth=8,width=8,augment=false]", "char_rnn", "pinn"]
#: A problem sees nothing of an optimizer but how it asks for the loss: once a step, again within a step, and with a
#: gradient that is differentiated again.
EXEMPLARY_OPTIMIZERS = ["adam", "lbfgs", "adahessian"]
#: Of the embeddings only rows have a gradient; few optimizers can take that.
SPARSE = "matrix_factorisation[sparse=true]"

#: Checks that say themselves that they don't apply: by default only the one for optimizers that evaluate other weights
#: than they train.
SKIPPED_OF_OPTIMIZERS: dict[str, set[str]] = {
    "lbfgs": {"zero_rate", "groups", "switches", "linear"},
    "rprop": {"zero_rate", "groups", "switches"},
    "muon": {"switches", "linear"},
    "sparse_adam": {"switches", "linear"},
    "sophia": {"switches", "linear"},
    "adahessian": {"switches", "linear"},
    "sam": {"switches", "linear"},
    "ademamix": {"switches", "linear"},
    "schedule_free_sgd": set(),
    "schedule_free_adamw": set(),
}
#: The same of problems, by their kinds; batch normalisation couples the examples of a residual network besides.
SKIPPED_OF_PROBLEMS = {
    "function": {"disjoint", "coupling"},
    "quadratic": {"disjoint", "minimum"},
    "network": {"minimum"},
}
COUPLED = {"cifar_resnet", "frozen_features"}


def faults(findings: Iterable[Finding], checks: tuple[str, ...], skipped: set[str]) -> list[str]:
    """Everything that is wrong with the findings on one thing: what failed, and checks that didn't take place."""
    found = {finding.check: finding for finding in findings}
    wrong = [str(finding) for finding in found.values() if finding.outcome == "failed"]
    wrong += [f"{name} wasn't checked" for name in checks if name not in found]
    wrong += [
        f"{name} is {'' if name in skipped else 'not '}expected to be skipped: {finding}"
        for name, finding in found.items()
        if (finding.outcome == "skipped") != (name in skipped)
    ]
    return wrong


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizer_passes_its_checks_and_trains_exemplary_problems(optimizer: str) -> None:
    skipped = SKIPPED_OF_OPTIMIZERS.get(optimizer, {"switches"})
    found = faults(check(optimizer), OPTIMIZER_CHECKS, skipped)
    assert found + faults_together((problem, optimizer) for problem in EXEMPLARY_PROBLEMS) == []


@pytest.mark.processes
@pytest.mark.parametrize("problem", PROBLEMS)
def test_problem_passes_its_checks_and_is_trained_by_exemplary_optimizers(problem: str) -> None:
    """A worker process takes part in one of the checks."""
    if reason := missing(problem):
        pytest.skip(reason)
    name = selection.parse(problem)[0].name
    skipped = SKIPPED_OF_PROBLEMS[problem_class(name).kind] | ({"coupling"} if name in COUPLED else set())
    found = faults(check(problem, source=SOURCE), PROBLEM_CHECKS, skipped)
    optimizers = [name for name in EXEMPLARY_OPTIMIZERS if problem in TOGETHER and is_there(name)]
    assert found + faults_together((problem, optimizer) for optimizer in optimizers) == []


def test_a_failed_missing_or_skipped_check_is_a_fault() -> None:
    findings = [Finding("a", "ok", ""), Finding("b", "failed", "no step"), Finding("c", "skipped", "no rate")]
    found = faults(findings, ("a", "b", "c", "d"), {"a"})
    assert [line.split()[0] for line in found] == ["failed", "d", "a", "c"]
    assert faults(findings[::2], ("a", "c"), {"c"}) == []


def test_optimizers_for_sparse_gradients_train_on_them() -> None:
    assert faults_together([(SPARSE, optimizer) for optimizer in ("sgd", "adagrad", "sparse_adam")]) == []


@pytest.mark.slow
@pytest.mark.parametrize("problem", [problem for problem in TOGETHER if problem not in EXEMPLARY_PROBLEMS])
def test_problem_is_trained_by_all_optimizers(problem: str) -> None:
    if reason := missing(problem):
        pytest.skip(reason)
    assert faults_together((problem, name) for name in REGISTERED_OPTIMIZERS if is_there(name)) == []


def test_exemplary_optimizers_ask_for_the_loss_in_all_ways() -> None:
    specs = [REGISTERED_OPTIMIZERS[name] for name in EXEMPLARY_OPTIMIZERS]
    assert [(spec.needs_closure, spec.second_backward) for spec in specs] == [
        (False, False), (True, False), (False, True),
    ]  # fmt: skip


def faults_together(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """What is wrong with three steps of each optimizer on its problem."""
    found = []
    for problem, optimizer in pairs:
        try:
            wrong = fault_together(problem, optimizer)
        except Exception as error:
            wrong = one_line(error)
        if wrong:
            found.append(f"{optimizer} on {problem}: {wrong}")
    return found


def fault_together(problem: str, optimizer: str) -> str:
    """Three steps on eight examples at a time stay finite, and cost what the ledger says, within the budget."""
    found = make_trainable(problem, optimizer, source=SOURCE, examples=8)
    reason = inapplicable(found)
    if bool(reason) != nothing_to_step(found, optimizer):
        return f"expected to have {'something' if reason else 'nothing'} to step: {reason or 'it steps'}"
    if reason:
        return ""
    size = found.cell.batch_size
    with suppress_side_effects():
        stepper = found.stepper(budget=40 * size)
        while stepper.steps < 3 and stepper.ledger.affords_gradient(size) and stepper.step():
            pass
        with stepper.evaluating():
            loss = evaluate(found.problem, stepper.model, found.data.valid).loss
    if not stepper.steps:
        return "no step"
    if not has_finite_parameters(stepper.model) or not math.isfinite(loss):
        return f"not finite after {stepper.steps} steps, of loss {loss}"
    if not THIRDS * size * stepper.steps <= stepper.ledger.thirds <= THIRDS * stepper.ledger.budget:
        return f"{stepper.steps} steps cost {stepper.ledger.thirds} thirds of {THIRDS * stepper.ledger.budget}"
    return ""


def nothing_to_step(found: Trainable, optimizer: str) -> bool:
    """Muon is for matrices that aren't embeddings, SparseAdam for sparse embeddings; all others are for everything."""
    modules = list(found.problem.model().modules())
    embeddings = [module for module in modules if type(module).__name__ == "Embedding"]
    if optimizer == "sparse_adam":
        return not any(module.sparse for module in embeddings)
    tables = {id(module.weight) for module in embeddings}
    return optimizer == "muon" and not any(p.ndim == 2 and id(p) not in tables for p in modules[0].parameters())


@cache
def missing(problem: str) -> str:
    """What a problem needs that isn't there, if anything."""
    [chosen] = selection.parse(problem)
    try:
        make_problem(chosen.name, dict(chosen.parameters)).load_data(SOURCE)
    except UserError as error:
        return str(error)
    return ""


def inapplicable(found: Trainable) -> str:
    try:
        make_optimizer(
            found.cell.optimizer, found.problem.model(), found.cell.optimizer.defaults, run_facts(found.cell)
        )
    except Inapplicable as reason:
        return str(reason)
    return ""


def test_what_is_inapplicable_has_its_reason() -> None:
    """Of the ten optimizers of the suite none is; Muon has no matrix in the valley."""
    assert "muon has no parameters to step: all are in rest" in inapplicable(
        make_trainable("quadratic_valley", "muon", source=SOURCE)
    )
    assert inapplicable(make_trainable("quadratic_valley", "adam", source=SOURCE)) == ""
