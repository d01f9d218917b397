"""Checks of what an optimizer keeps: nothing outside of itself, and all of it in its state_dict."""

from __future__ import annotations

import copy
import random

import numpy as np
import torch

from optbench.conformance.finding import failed, skipped
from optbench.conformance.subject import OptimizerSubject, Trainable, equal, positions, taken
from optbench.errors import one_line
from optbench.importing import load_attribute
from optbench.training.evaluation_weights import switch

_STEPS = 4
#: What torch's change of precision in loaded state may change of weights of about 1.
_ROUNDING = 1e-7


def deterministic(subject: OptimizerSubject) -> str:
    """The same seed gives the same bits."""
    before = _settings()
    first, second = (_fresh(subject, seed=3) for _ in range(2))
    if equal(first, second):
        return "same seed, same bits"
    if _settings() != before:
        raise failed(
            "two trainings with one seed end at different weights: it draws from NumPy's generator or `random`",
            "draw random numbers from torch's global generator only",
        )
    raise failed(
        "two trainings with one seed end at different weights, and no generator is to blame: state that leaks between "
        "instances, or the clock",
        "see the finding on `isolated`; read no clock",
    )


def isolated(subject: OptimizerSubject) -> str:
    """An instance doesn't depend on what other instances did before, or do meanwhile."""
    alone = _fresh(subject)
    _fresh(subject, seed=5)
    if not equal(alone, _fresh(subject)):
        raise failed(
            "state leaks between instances: the same training ends elsewhere once another one has run",
            "keep state in self.state[p] or on self, not on the class or in the module; or declare `reset`, "
            "a function that forgets it before every construction",
        )
    ours, others = subject.net.stepper(1), subject.net.stepper(5)
    random_numbers = torch.get_rng_state()
    for _ in range(_STEPS):
        others_numbers = torch.get_rng_state()
        torch.set_rng_state(random_numbers)
        ours.step()
        random_numbers = torch.get_rng_state()
        torch.set_rng_state(others_numbers)
        others.step()
    torch.set_rng_state(random_numbers)
    if subject.choice.reset or subject.choice.needs_closure or _draws(subject):
        return "a training ends at the same weights after another one"
    if not equal(alone, positions(ours)):
        raise failed(
            "state is shared by instances: stepping two in turn gives other weights than one after the other",
            "keep state in self.state[p] or on self, not on the class or in the module",
        )
    return "a training ends at the same weights after another one, and beside one"


def _fresh(subject: OptimizerSubject, seed: int = 1) -> list[torch.Tensor]:
    return taken(subject.net.stepper(seed), _STEPS)


def _draws(subject: OptimizerSubject) -> bool:
    """Whether a step draws random numbers."""
    stepper = subject.net.stepper()
    before = torch.get_rng_state()
    stepper.step()
    return not torch.equal(before, torch.get_rng_state())


def global_state(subject: OptimizerSubject) -> str:
    """A step leaves settings of torch, and the seeds of all generators, as they are."""
    stepper = subject.net.stepper()
    names = ("default dtype", "gradient mode", "threads", "deterministic algorithms", "NumPy's generator", "`random`")
    before = _settings()
    taken(stepper, 2)
    changed = [name for name, a, b in zip(names, before, _settings(), strict=True) if a != b]
    if changed:
        raise failed(f"a step changes {', '.join(changed)}", "leave what belongs to the whole process as it is")
    if _draws(subject):
        ends = []
        for seed in (1, 2):
            stepper = subject.net.stepper()
            torch.manual_seed(seed)
            if not subject.choice.needs_closure:
                stepper.step()
            ends.append(torch.get_rng_state())
        if not subject.choice.needs_closure and torch.equal(*ends):
            raise failed(
                "a step seeds torch's global generator, so that dropout would repeat itself",
                "draw from a torch.Generator of your own, or from the global one without seeding it",
            )
    return "settings and generators stay as they are"


def _settings() -> tuple[object, ...]:
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        repr(np.random.get_state()),  # noqa: NPY002  (it is the global one that has to stay)
        random.getstate(),
    )


def saves(subject: OptimizerSubject) -> str:
    """A training that goes on from saved state ends where an uninterrupted one does."""
    whole = subject.net.stepper(1)
    taken(whole, 2)
    try:
        saved = copy.deepcopy(whole.optimizer.state_dict())
    except Exception as error:
        raise failed(f"state_dict() fails: {one_line(error)}", "keep tensors and plain values in self.state") from error
    resumed = subject.net.stepper(1)
    resumed.model.load_state_dict(whole.model.state_dict())
    try:
        resumed.optimizer.load_state_dict(saved)
    except Exception as error:
        raise failed(f"load_state_dict() fails: {one_line(error)}", "let it read what state_dict() gives") from error
    for stepper in (whole, resumed):
        stepper.batches = subject.net.stepper(9).batches
        stepper.steps = 2
        torch.manual_seed(0)
        taken(stepper, 2)
    if equal(positions(whole), positions(resumed)):
        return "goes on to the same bits from its state_dict()"
    off = max(float((a - b).abs().max()) for a, b in zip(positions(whole), positions(resumed), strict=True))
    if not off <= _ROUNDING:
        raise failed(
            f"after load_state_dict() it goes on to weights that are off by {off:.2g}",
            "keep all that a step reads in self.state or param_groups: attributes of self are not saved",
        )
    return "goes on from its state_dict() but for rounding: torch loads state in the parameters' precision"


def without_gradient(subject: OptimizerSubject) -> str:
    """A parameter that has no gradient (frozen, unused) is passed over."""
    stepper = subject.net.stepper()
    frozen = next(stepper.model.parameters()) if not subject.sparse else list(stepper.model.parameters())[-1]
    frozen.requires_grad_(False)
    before = frozen.detach().clone()
    try:
        taken(stepper, 3)
    except Exception as error:
        raise failed(
            f"a parameter without a gradient makes step() fail: {one_line(error)}",
            "pass over parameters whose .grad is None",
        ) from error
    if not torch.equal(before, frozen):
        raise failed("moves a parameter without a gradient", "pass over parameters whose .grad is None")
    return "passed over"


def groups(subject: OptimizerSubject) -> str:
    """Parameter groups have learning rates of their own."""
    choice, model = subject.choice, subject.net.stepper().model
    if choice.groups:
        made = subject.net.stepper().optimizer.param_groups
        return f"{len(made)} groups of its own, of {', '.join(str(len(group['params'])) for group in made)} parameters"
    if "lr" not in choice.defaults:
        raise skipped("it has no learning rate")
    stepper = subject.net.stepper()
    first, *rest = model.parameters()
    given = {**dict.fromkeys(choice.from_run, 10), **choice.arguments, **choice.defaults}
    try:
        optimizer = load_attribute(choice.constructor)([{"params": [first]}, {"params": rest}], **given)
    except Exception as error:
        raise skipped(f"takes one group only: {one_line(error)}") from error
    optimizer.param_groups[0]["lr"] = 0.0
    switch(optimizer, True)
    stepper.model, stepper.optimizer = model, optimizer
    before = first.detach().clone()
    taken(stepper, 3)
    if not torch.equal(before, first):
        raise failed(
            "a group with a learning rate of 0 moves: the rate is read from another group, or not at all",
            "read all settings from the group that a parameter is in",
        )
    return "each heeds its own rate"


def precisions(subject: OptimizerSubject) -> str:
    """It works in float32 and float64, and keeps parameters and state on the device and in the type that they have."""
    for dtype in ("float32", "float64"):
        if dtype == "float64" and subject.device == "mps":
            continue
        _precision(subject.on("ToyNet", dtype=dtype), dtype, subject.device)
    return f"float32 and float64 on {subject.device}"


def _precision(net: Trainable, dtype: str, device: str) -> None:
    stepper = net.stepper()
    before = positions(stepper)
    try:
        after = taken(stepper, 3)
    except Exception as error:
        raise failed(
            f"fails in {dtype} on {device}: {one_line(error)}", "make state with zeros_like(p), not with fixed types"
        ) from error
    for name, parameter in stepper.model.named_parameters():
        if str(parameter.dtype) != f"torch.{dtype}" or parameter.device.type != torch.device(device).type:
            raise failed(
                f"{name} is {parameter.dtype} on {parameter.device} after a step of {dtype} on {device}",
                "change parameters in place",
            )
    if equal(before, after) or not all(torch.isfinite(part).all() for part in after):
        raise failed(f"in {dtype} on {device} nothing moves, or not to finite weights", "mind epsilons below rounding")


def switches(subject: OptimizerSubject) -> str:
    """`train()` and `eval()` come together, and going there and back changes nothing."""
    stepper = subject.net.stepper()
    optimizer = stepper.optimizer
    has = [name for name in ("train", "eval") if callable(getattr(optimizer, name, None))]
    if not has:
        raise skipped("it evaluates the weights that it trains")
    if len(has) == 1:
        missing = "eval" if has == ["train"] else "train"
        raise failed(f"has {has[0]}() without {missing}()", "give it both: they are called around evaluations")
    trained = taken(stepper, 3)
    scale = max(1.0, *(float(p.abs().max()) for p in trained))
    optimizer.eval()  # type: ignore[attr-defined]
    evaluated = positions(stepper)
    optimizer.eval()  # type: ignore[attr-defined]
    if not equal(evaluated, positions(stepper)):
        raise failed("eval() twice gives other weights than eval() once", "remember the mode, and do nothing in it")
    optimizer.train()  # type: ignore[attr-defined]
    error = max(float((a - b).abs().max()) for a, b in zip(trained, positions(stepper), strict=True))
    if not error <= 1e-6 * scale:
        raise failed(
            f"train() after eval() gives weights that are off by {error:.2g}: evaluating would change the training",
            "let train() restore what eval() put aside",
        )
    return "both modes have the same weights" if equal(trained, evaluated) else "evaluates other weights than it trains"
