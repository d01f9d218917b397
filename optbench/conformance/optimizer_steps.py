"""Checks of an optimizer's steps: construction, movement of all parameters, and use of the learning rate.

Each check returns a description of what it observed. It raises a `Verdict` if the observation is a mistake or worth a
note.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from optbench.conformance.finding import failure, note, skip
from optbench.conformance.place import describe_error
from optbench.conformance.subject import OptimizerSubject, are_equal, clone_parameters, set_rates, take_steps
from optbench.optimizers.search_space import Choices, Range
from optbench.training.stepper import Stepper

#: Number of steps in which the loss of the quadratic has to fall below half of its initial value.
DESCENT_STEPS = 100
#: Rounding errors, in units in the last place, that a step may make when it moves away and back.
_ROUNDING = 8
#: Number of learning rates of the search range at which descent is tested, in addition to the default.
DESCENT_RATES = 9


#: How often five further steps are taken if a parameter has not moved.
PATIENCE = 19


def constructs(subject: OptimizerSubject) -> str:
    """Checks that the result is a torch optimizer whose groups contain every trained parameter exactly once."""
    try:
        stepper = subject.net.stepper()
    except Exception as error:
        raise failure(
            "can't be constructed for a network with an embedding, a convolution and linear layers: "
            f"{describe_error(error)}",
            "accept `params` as first argument, give all others a default, and support parameters of 1, 2 and 4 "
            "dimensions; or assign the others to another class by parameter groups",
        ) from error
    if not isinstance(stepper.optimizer, torch.optim.Optimizer):
        raise failure(
            f"is a {type(stepper.optimizer).__name__}, not an optimizer", "derive it from torch.optim.Optimizer"
        )
    own = [p for group in stepper.optimizer.param_groups for p in group["params"]]
    trained = [p for p in stepper.model.parameters() if p.requires_grad]
    if sorted(map(id, own)) != sorted(map(id, trained)):
        raise failure(
            f"its param_groups contain {len(own)} parameters instead of the {len(trained)} that it received",
            "call super().__init__(params, defaults), and do not change param_groups afterwards",
        )
    groups = len(stepper.optimizer.param_groups)
    filled = [f"{key} = {stepper.facts[fact]} ({fact})" for key, fact in subject.choice.from_run.items()]
    return f"{len(own)} parameters in {groups} group{'' if groups == 1 else 's'}" + (
        f"; filled in from the run: {', '.join(filled)}" if filled else ""
    )


def steps(subject: OptimizerSubject) -> str:
    """Checks that steps work as the optimizer is declared."""
    try:
        after = take_steps(subject.net.stepper(), 3)
    except Exception as error:
        for needed, fix in (
            ({"needs_closure": True}, "declare needs_closure = true, or write `def step(self, closure)`"),
            ({"second_backward": True}, "declare second_backward = true: the graph of the gradients is then kept"),
            (
                {"needs_closure": True, "second_backward": True},
                "declare needs_closure = true and second_backward = true",
            ),
        ):
            if _works(subject, needed):
                raise failure(f"step() fails as declared: {describe_error(error)}", fix) from error
        raise failure(
            f"step() fails: {describe_error(error)}",
            "correct the line that is named; where a gradient is None, skip the parameter",
        ) from error
    # NaN differs from everything, so that every other check would report another fault.
    if not all(torch.isfinite(p).all() for p in after):
        raise failure(
            "the weights are not finite after three steps at its default rate",
            "choose a smaller default; avoid divisions by zero in the first step",
        )
    return "three steps on a small network"


def _works(subject: OptimizerSubject, needed: dict[str, bool]) -> bool:
    """Whether three steps work with these fields of the declaration changed."""
    try:
        take_steps(subject.net.stepper(choice=replace(subject.choice, **needed)), 3)  # type: ignore[arg-type]
    except Exception:
        return False
    return True


def moves(subject: OptimizerSubject) -> str:
    """Checks that every parameter moves and remains finite."""
    stepper = subject.net.stepper(steps=5 * (PATIENCE + 1))
    before = clone_parameters(stepper)
    after = take_steps(stepper, 5)
    names = [name for name, _ in stepper.model.named_parameters()]
    latest = after
    for _ in range(PATIENCE):  # some start slowly, or step parameters in turn
        still = [name for name, a, b in zip(names, before, latest, strict=True) if torch.equal(a, b)]
        if not still:
            break
        latest = take_steps(stepper, 5)
    else:
        raise failure(
            f"parameters with a gradient that did not move in {5 * (PATIENCE + 1)} steps: {', '.join(still)}",
            "update all parameters of all param_groups whose gradient is not None",
        )
    wild = [name for name, p in zip(names, after, strict=True) if not torch.isfinite(p).all()]
    if wild:
        raise failure(
            f"parameters that are not finite after five steps: {', '.join(wild)}",
            "look for a division by zero in the first step",
        )
    return f"all {len(names)} parameters move"


def descends(subject: OptimizerSubject) -> str:
    """Checks that the loss of a quadratic halves at the default learning rate or at one of the search range."""
    rates, ends = _rates(subject), []
    space = subject.quadratic.cell.optimizer.search.get("lr")
    special = isinstance(space, Range) and str(space) != str(subject.search.get("lr"))
    searched = f" (range on quadratics: {space})" if special else ""
    for rate in rates:
        given = {} if rate is None else {"lr": rate}
        stepper = subject.quadratic.stepper(hyperparameters=given, steps=DESCENT_STEPS)
        start = _loss(subject, stepper)
        take_steps(stepper, DESCENT_STEPS)
        ends.append(_loss(subject, stepper))
        if ends[-1] < 0.5 * start:
            at = "" if rate is None else f" at lr = {rate:.2g}{searched}"
            return f"the loss of a quadratic falls from {start:.3g} to {ends[-1]:.3g} in {DESCENT_STEPS} steps{at}"
    best = min((end if math.isfinite(end) else math.inf, place) for place, end in enumerate(ends))
    raise failure(
        f"the loss of a quadratic only goes from {start:.3g} to {best[0]:.3g} in {DESCENT_STEPS} steps at "
        f"lr = {rates[best[1]]}{searched}, the best of {len(rates)} learning rates",
        "check the sign of the step, and the search range of the learning rate",
    )


def _loss(subject: OptimizerSubject, stepper: Stepper) -> float:
    batch = subject.quadratic.data.train.batch(torch.tensor([0], device=subject.device))
    with stepper.evaluating(), torch.no_grad():
        return float(subject.quadratic.problem.loss(stepper.model, batch))


def _rates(subject: OptimizerSubject) -> list[float | None]:
    """Returns the default learning rate, then rates of the search range from large to small; [None] without a rate."""
    choice = subject.quadratic.cell.optimizer
    if "lr" not in choice.defaults:
        return [None]
    rates: list[float | None] = [choice.defaults["lr"]]
    space = choice.search.get("lr")
    if isinstance(space, Range):
        rates += [space.at(1 - (k + 0.5) / DESCENT_RATES) for k in range(DESCENT_RATES)]
    return rates


def zero_rate(subject: OptimizerSubject) -> str:
    """Checks that nothing moves while a schedule has set the learning rate to zero."""
    stepper = subject.net.stepper()
    if not set_rates(stepper.optimizer, 0.0):
        raise skip("it has no learning rate")
    try:
        # A first step may round or project the initial weights, whatever its rate.
        before = take_steps(stepper, 1)
        after = take_steps(stepper, 3)
    except (ZeroDivisionError, ValueError) as error:
        raise failure(
            f"fails at a learning rate of 0: {describe_error(error)}",
            "do not divide by the learning rate: schedules and warm-up start or end at zero",
        ) from error
    distance = max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True))
    scale = max(float(a.abs().max()) for a in before)
    if distance > _ROUNDING * torch.finfo(before[0].dtype).eps * scale:
        effect = "a schedule has no effect" if _uses_constructed_rate(subject) else "tuning would only compare noise"
        raise failure(
            f"moves by up to {distance:.2g} at a learning rate of 0, so it ignores param_groups[…]['lr']: {effect}",
            "read group['lr'] in every step, and multiply the whole step by it",
        )
    return "nothing moves at a learning rate of 0"


def _uses_constructed_rate(subject: OptimizerSubject) -> bool:
    """Whether another learning rate in the constructor gives other steps."""
    rate = subject.choice.defaults.get("lr")
    if rate is None:
        return False
    steppers = [subject.net.stepper(hyperparameters={"lr": float(rate) * factor}) for factor in (1.0, 0.5)]
    some, others = (take_steps(stepper, 3) for stepper in steppers)
    return not are_equal(some, others)


def rate_matters(subject: OptimizerSubject) -> str:
    """Checks that another learning rate gives other steps, also if it is set after the construction."""
    if "lr" not in subject.choice.defaults:
        raise skip("it has no learning rate")
    rate, ends = float(subject.choice.defaults["lr"]), []
    for given, later in ((rate, rate), (rate / 2, rate / 2), (rate, rate / 2)):
        stepper = subject.net.stepper(hyperparameters={"lr": given})
        if later != given:
            set_rates(stepper.optimizer, later)
        ends.append(torch.cat([p.flatten().double() for p in take_steps(stepper, 3)]))
    if torch.equal(ends[0], ends[1]):
        raise failure("halving the learning rate does not change the steps", "use group['lr'] in step()")
    if torch.equal(ends[0], ends[2]):
        raise failure(
            "a learning rate that is set after the construction has no effect, so schedules have no effect either",
            "read group['lr'] in every step; do not store it in __init__",
        )
    return "halving the learning rate changes the steps, even when a schedule changes it"


def search_space(subject: OptimizerSubject) -> str:
    """Shows the search space, with a note if it is empty or if a default lies outside its range."""
    defaults = subject.choice.defaults
    if not subject.search:
        raise note("no hyperparameter is tuned, and no tuning is charged")
    outside = [
        name for name, space in subject.search.items() if name in defaults and not _contains(space, defaults[name])
    ]
    if outside:
        raise note(f"the default of {', '.join(outside)} is outside its search range, so the sampler ignores trial 0")
    return "; ".join(f"{name} {space}" for name, space in subject.search.items())


def _contains(space: Range | Choices, value: object) -> bool:
    try:
        return space.contains(value)
    except TypeError:
        return False
