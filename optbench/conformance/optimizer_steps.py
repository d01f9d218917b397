"""Checks of an optimizer's steps: it constructs, moves what it should, and heeds the learning rate.

Each check returns what it saw, and raises a `Verdict` where that isn't what a benchmark relies on.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from optbench.conformance.finding import failed, note, skipped
from optbench.conformance.subject import OptimizerSubject, positions, set_rates, taken
from optbench.errors import one_line
from optbench.optimizers.search_space import Range
from optbench.training.stepper import Stepper

#: Steps in which the quadratic's loss has to fall below half of what it was.
DESCENT_STEPS = 100
#: Units in the last place by which a step that goes away and comes back may miss its start.
_ROUNDING = 8
#: Rates of the search range at which that is tried, beside the default.
DESCENT_RATES = 9


def constructs(subject: OptimizerSubject) -> str:
    """It is a torch optimizer over every trained parameter, each in one group."""
    try:
        stepper = subject.net.stepper()
    except Exception as error:
        raise failed(
            f"can't be constructed over an embedding, a convolution and linear layers: {one_line(error)}",
            "accept `params` first, a default for all else, and parameters of 1, 2 and 4 dimensions; or give the "
            "rest to another class by parameter groups",
        ) from error
    if not isinstance(stepper.optimizer, torch.optim.Optimizer):
        raise failed(f"makes a {type(stepper.optimizer).__name__}", "derive it from torch.optim.Optimizer")
    own = [p for group in stepper.optimizer.param_groups for p in group["params"]]
    wanted = [p for p in stepper.model.parameters() if p.requires_grad]
    if sorted(map(id, own)) != sorted(map(id, wanted)):
        raise failed(
            f"its param_groups hold {len(own)} parameters, not the {len(wanted)} that it was given",
            "call super().__init__(params, defaults), and leave param_groups as that made them",
        )
    return f"{len(own)} parameters in {len(stepper.optimizer.param_groups)} groups"


def steps(subject: OptimizerSubject) -> str:
    """A step works as the optimizer is declared."""
    try:
        after = taken(subject.net.stepper(), 3)
    except Exception as error:
        for needed, fix in (
            ({"needs_closure": True}, "declare needs_closure = true, or write `def step(self, closure)`"),
            ({"second_backward": True}, "declare second_backward = true: gradients are then made with their graph"),
            ({"needs_closure": True, "second_backward": True}, "declare needs_closure and second_backward = true"),
        ):
            if _works(subject, needed):
                raise failed(f"step() fails as it is declared, and works otherwise: {one_line(error)}", fix) from error
        raise failed(f"step() fails: {one_line(error)}", "the traceback says where") from error
    # Compared with anything, NaN is different: every other check would accuse the optimizer of something else.
    if not all(torch.isfinite(p).all() for p in after):
        raise failed(
            "the weights are not finite after three steps at its default rate",
            "choose a smaller default; mind divisions by zero in the first step",
        )
    return "three steps on a small network"


def _works(subject: OptimizerSubject, needed: dict[str, bool]) -> bool:
    try:
        taken(subject.net.stepper(choice=replace(subject.choice, **needed)), 3)  # type: ignore[arg-type]
    except Exception:
        return False
    return True


def moves(subject: OptimizerSubject) -> str:
    """Every parameter moves, and stays finite."""
    stepper = subject.net.stepper()
    before = positions(stepper)
    after = taken(stepper, 5)
    names = [name for name, _ in stepper.model.named_parameters()]
    still = [name for name, a, b in zip(names, before, after, strict=True) if torch.equal(a, b)]
    if still:
        raise failed(
            f"{', '.join(still)} had gradients, and didn't move in five steps",
            "step all parameters of all param_groups whose gradient isn't None",
        )
    wild = [name for name, p in zip(names, after, strict=True) if not torch.isfinite(p).all()]
    if wild:
        raise failed(f"{', '.join(wild)} is not finite after five steps", "mind divisions by zero in the first step")
    return f"all {len(names)} parameters"


def descends(subject: OptimizerSubject) -> str:
    """At some rate that would be tried, the loss of a quadratic falls below half of what it was."""
    rates, ends = _rates(subject), []
    for rate in rates:
        stepper = subject.quadratic.stepper(hyperparameters={} if rate is None else {"lr": rate})
        start = _loss(subject, stepper)
        taken(stepper, DESCENT_STEPS)
        ends.append(_loss(subject, stepper))
        if ends[-1] < 0.5 * start:
            at = "" if rate is None else f" at lr = {rate:.2g}"
            return f"loss of a quadratic from {start:.3g} to {ends[-1]:.3g} in {DESCENT_STEPS} steps{at}"
    best = min((end if math.isfinite(end) else math.inf, place) for place, end in enumerate(ends))
    raise failed(
        f"a quadratic's loss of {start:.3g} is {best[0]:.3g} after {DESCENT_STEPS} steps at lr = {rates[best[1]]}, the "
        f"best of {len(rates)} rates",
        "check the sign of the step, and whether the range of the learning rate holds useful ones",
    )


def _loss(subject: OptimizerSubject, stepper: Stepper) -> float:
    batch = subject.quadratic.data.train.batch(torch.tensor([0], device=subject.device))
    with stepper.evaluating(), torch.no_grad():
        return float(subject.quadratic.problem.loss(stepper.model, batch))


def _rates(subject: OptimizerSubject) -> list[float | None]:
    """The default, then others of the search range, the large ones first."""
    choice = subject.quadratic.cell.optimizer
    if "lr" not in choice.defaults:
        return [None]
    tried: list[float | None] = [choice.defaults["lr"]]
    rate = choice.search.get("lr")
    if isinstance(rate, Range):
        tried += [rate.at(1 - (k + 0.5) / DESCENT_RATES) for k in range(DESCENT_RATES)]
    return tried


def zero_rate(subject: OptimizerSubject) -> str:
    """At a learning rate of zero, as a schedule sets it, nothing moves."""
    stepper = subject.net.stepper()
    if not set_rates(stepper.optimizer, 0.0):
        raise skipped("it has no learning rate")
    before = positions(stepper)
    try:
        after = taken(stepper, 3)
    except (ZeroDivisionError, ValueError) as error:
        raise failed(
            f"a rate of zero fails: {one_line(error)}", "schedules and warm-up start or end at zero; don't divide by it"
        ) from error
    moved = max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True))
    scale = max(float(a.abs().max()) for a in before)
    if moved > _ROUNDING * torch.finfo(before[0].dtype).eps * scale:
        raise failed(
            f"moves by up to {moved:.2g} at a learning rate of 0, so it ignores param_groups[…]['lr']: whatever is "
            "tuned would be noise",
            "read group['lr'] in every step, and multiply all of the step by it",
        )
    return "nothing moves"


def rate_matters(subject: OptimizerSubject) -> str:
    """Another learning rate gives other steps, also one that is set after the construction."""
    if "lr" not in subject.choice.defaults:
        raise skipped("it has no learning rate")
    rate, ends = float(subject.choice.defaults["lr"]), []
    for given, later in ((rate, rate), (rate / 2, rate / 2), (rate, rate / 2)):
        stepper = subject.net.stepper(hyperparameters={"lr": given})
        if later != given:
            set_rates(stepper.optimizer, later)
        ends.append(torch.cat([p.flatten().double() for p in taken(stepper, 3)]))
    if torch.equal(ends[0], ends[1]):
        raise failed("half of the learning rate gives the same steps", "use group['lr'] in step()")
    if torch.equal(ends[0], ends[2]):
        raise failed(
            "a learning rate that is set after the construction has no effect, so schedules have none",
            "read group['lr'] in every step; don't keep it from __init__",
        )
    return "half of the rate gives other steps, also where a schedule sets it"


def search_space(subject: OptimizerSubject) -> str:
    """What is tuned has its default within the range, and nothing is tuned of what has no range."""
    defaults = subject.choice.defaults
    if not subject.search:
        raise note("nothing is tuned, and nothing is charged for tuning")
    outside = [name for name, tried in subject.search.items() if name in defaults and not _holds(tried, defaults[name])]
    if outside:
        raise note(f"the default of {', '.join(outside)} is outside of its range, so the sampler can't be told of it")
    return "; ".join(f"{name} {tried}" for name, tried in subject.search.items())


def _holds(tried: object, value: object) -> bool:
    try:
        return bool(tried.contains(value))  # type: ignore[attr-defined]
    except TypeError:
        return False
