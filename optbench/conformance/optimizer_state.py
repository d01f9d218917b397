"""Checks of an optimizer's state: none outside the instance, and all of it in its state_dict."""

from __future__ import annotations

import copy
import random

import numpy as np
import torch

from optbench.conformance.finding import RAISES, failure, skip
from optbench.conformance.place import describe_error
from optbench.conformance.subject import OptimizerSubject, Trainable, are_equal, clone_parameters, take_steps
from optbench.importing import load_attribute

_STEPS = 4
#: Tolerance for weights of about 1: torch casts loaded state to the precision of the parameters.
_ROUNDING = 1e-7


def deterministic(subject: OptimizerSubject) -> str:
    """Checks that two trainings with the same seed end at exactly the same weights."""
    before = _settings()
    first, second = (_train(subject, seed=3) for _ in range(2))
    if are_equal(first, second):
        return "the same seed gives exactly the same weights"
    if _settings() != before:
        raise failure(
            "two trainings with the same seed end at different weights: random numbers come from NumPy's global "
            "generator or from the module `random`",
            "draw random numbers from torch's global generator only",
        )
    raise failure(
        "two trainings with the same seed end at different weights, although no other random generator is used: state "
        "is shared between instances, or a step depends on the clock",
        "see the finding on `isolated`; do not read the clock",
    )


def isolated(subject: OptimizerSubject) -> str:
    """Checks that an instance is not affected by other instances, neither earlier nor simultaneous ones."""
    alone = _train(subject)
    _train(subject, seed=5)
    if not are_equal(alone, _train(subject)):
        raise failure(
            "state leaks between instances: the same training gives other weights after another training has run",
            "keep state in self.state[p] or in self, not in the class or the module; or declare `reset`, "
            "a function that clears it before every construction",
        )
    ours, others = subject.net.stepper(1), subject.net.stepper(5)
    random_state = torch.get_rng_state()
    for _ in range(_STEPS):
        other_random_state = torch.get_rng_state()
        torch.set_rng_state(random_state)
        ours.step()
        random_state = torch.get_rng_state()
        torch.set_rng_state(other_random_state)
        others.step()
    torch.set_rng_state(random_state)
    if subject.choice.reset or subject.choice.needs_closure or _draws_random_numbers(subject):
        return "a training gives the same weights after another one"
    if not are_equal(alone, clone_parameters(ours)):
        raise failure(
            "state is shared between instances: stepping two in turn gives other weights than one after the other",
            "keep state in self.state[p] or in self, not in the class or the module",
        )
    return "a training gives the same weights after or alongside another one"


def _train(subject: OptimizerSubject, seed: int = 1) -> list[torch.Tensor]:
    return take_steps(subject.net.stepper(seed), _STEPS)


def _draws_random_numbers(subject: OptimizerSubject) -> bool:
    """Whether a step draws from torch's global generator."""
    stepper = subject.net.stepper()
    before = torch.get_rng_state()
    stepper.step()
    return not torch.equal(before, torch.get_rng_state())


def global_state(subject: OptimizerSubject) -> str:
    """Checks that a step changes neither torch's global settings nor the seeds of random generators."""
    stepper = subject.net.stepper()
    names = ("default dtype", "gradient mode", "threads", "deterministic algorithms", "NumPy's generator", "`random`")
    before = _settings()
    take_steps(stepper, 2)
    changed = [name for name, a, b in zip(names, before, _settings(), strict=True) if a != b]
    if changed:
        raise failure(f"a step changes {', '.join(changed)}", "do not change settings of the whole process")
    if _draws_random_numbers(subject):
        ends = []
        for seed in (1, 2):
            stepper = subject.net.stepper()
            torch.manual_seed(seed)
            if not subject.choice.needs_closure:
                stepper.step()
            ends.append(torch.get_rng_state())
        if not subject.choice.needs_closure and torch.equal(*ends):
            raise failure(
                "a step seeds torch's global generator, so dropout would use the same mask in every step",
                "draw from a torch.Generator of your own, or from the global one without seeding it",
            )
    return "settings and random generators are unchanged"


def _settings() -> tuple[object, ...]:
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        repr(np.random.get_state()),  # noqa: NPY002  (the check is about the global generator)
        random.getstate(),
    )


def saves(subject: OptimizerSubject) -> str:
    """Checks that a training resumed from saved state ends at the same weights as an uninterrupted one."""
    whole = subject.net.stepper(1)
    take_steps(whole, 2)
    try:
        saved = copy.deepcopy(whole.optimizer.state_dict())
    except Exception as error:
        raise failure(
            f"state_dict() fails: {describe_error(error)}", "keep only tensors and plain values in self.state"
        ) from error
    resumed = subject.net.stepper(1)
    resumed.model.load_state_dict(whole.model.state_dict())
    try:
        resumed.optimizer.load_state_dict(saved)
    except Exception as error:
        raise failure(
            f"load_state_dict() fails: {describe_error(error)}",
            "make load_state_dict() accept the result of state_dict()",
        ) from error
    for stepper in (whole, resumed):
        stepper.batches = subject.net.stepper(9).batches
        stepper.steps = 2
        torch.manual_seed(0)
        take_steps(stepper, 2)
    if are_equal(clone_parameters(whole), clone_parameters(resumed)):
        return "resumes from its state_dict() with exactly the same weights"
    error_size = max(
        float((a - b).abs().max()) for a, b in zip(clone_parameters(whole), clone_parameters(resumed), strict=True)
    )
    if not error_size <= _ROUNDING:
        raise failure(
            f"a training resumed with load_state_dict() ends at weights that differ by up to {error_size:.2g}",
            "keep everything that a step reads in self.state or param_groups: attributes of self are not saved",
        )
    return "resumes from its state_dict() up to rounding: torch casts state to the parameters' precision"


def without_gradient(subject: OptimizerSubject) -> str:
    """Checks that parameters without a gradient (frozen or unused) are skipped."""
    stepper = subject.net.stepper()
    frozen = next(stepper.model.parameters()) if not subject.sparse else list(stepper.model.parameters())[-1]
    frozen.requires_grad_(False)
    before = frozen.detach().clone()
    try:
        take_steps(stepper, 3)
    except Exception as error:
        raise failure(
            f"{RAISES}: {describe_error(error)}",
            "skip parameters whose .grad is None",
        ) from error
    if not torch.equal(before, frozen):
        raise failure("changes a parameter without a gradient", "skip parameters whose .grad is None")
    return "parameters without a gradient are skipped"


def groups(subject: OptimizerSubject) -> str:
    """Checks that every parameter group uses its own learning rate."""
    choice, model = subject.choice, subject.net.stepper().model
    if choice.groups:
        sizes = [str(len(group["params"])) for group in subject.net.stepper().optimizer.param_groups]
        return f"{len(sizes)} groups of its own, with {', '.join(sizes)} parameters"
    if "lr" not in choice.defaults:
        raise skip("it has no learning rate")
    stepper = subject.net.stepper()
    first, *rest = model.parameters()
    given = {**dict.fromkeys(choice.from_run, 10), **choice.fixed, **choice.defaults}
    try:
        optimizer = load_attribute(choice.constructor)([{"params": [first]}, {"params": rest}], **given)
    except Exception as error:
        raise skip(f"accepts one group only: {describe_error(error)}") from error
    optimizer.param_groups[0]["lr"] = 0.0
    stepper.model, stepper.optimizer = model, optimizer
    stepper.set_training(True)
    before = first.detach().clone()
    take_steps(stepper, 3)
    if not torch.equal(before, first):
        raise failure(
            "a group with a learning rate of 0 moves: the rate is read from another group, or not at all",
            "read all settings from the parameter's own group",
        )
    return "every group uses its own learning rate"


def precisions(subject: OptimizerSubject) -> str:
    """Checks that it works in float32 and float64 without changing the type or device of the parameters."""
    for dtype in ("float32", "float64"):
        if dtype == "float64" and subject.device == "mps":
            continue
        _check_precision(subject.on("ToyNet", dtype=dtype), dtype, subject.device)
    return f"float32 and float64 on {subject.device}"


def _check_precision(net: Trainable, dtype: str, device: str) -> None:
    stepper = net.stepper()
    before = clone_parameters(stepper)
    try:
        after = take_steps(stepper, 3)
    except Exception as error:
        raise failure(
            f"fails in {dtype} on {device}: {describe_error(error)}",
            "create state with zeros_like(p) instead of a fixed data type",
        ) from error
    for name, parameter in stepper.model.named_parameters():
        if str(parameter.dtype) != f"torch.{dtype}" or parameter.device.type != torch.device(device).type:
            raise failure(
                f"{name} is {parameter.dtype} on {parameter.device} after a step in {dtype} on {device}",
                "change parameters in place",
            )
    if are_equal(before, after):
        raise failure(f"no parameter moves in {dtype} on {device}", "avoid epsilons below the rounding error")
    if not all(torch.isfinite(part).all() for part in after):
        raise failure(
            f"parameters are not finite after three steps in {dtype} on {device}",
            "avoid epsilons below the rounding error",
        )


def switches(subject: OptimizerSubject) -> str:
    """Checks that an optimizer has both `train()` and `eval()` or neither, and that evaluating changes nothing."""
    stepper = subject.net.stepper()
    optimizer = stepper.optimizer
    has = [name for name in ("train", "eval") if callable(getattr(optimizer, name, None))]
    if not has:
        raise skip("the optimizer has no train()/eval() methods")
    if len(has) == 1:
        missing = "eval" if has == ["train"] else "train"
        raise failure(f"has {has[0]}() but no {missing}()", "define both: they are called around evaluations")
    trained = take_steps(stepper, 3)
    scale = max(1.0, *(float(p.abs().max()) for p in trained))
    optimizer.eval()  # type: ignore[attr-defined]
    evaluated = clone_parameters(stepper)
    optimizer.eval()  # type: ignore[attr-defined]
    if not are_equal(evaluated, clone_parameters(stepper)):
        raise failure(
            "calling eval() twice gives other weights than calling it once",
            "store the mode, and do nothing in eval() if the optimizer is already in evaluation mode",
        )
    optimizer.train()  # type: ignore[attr-defined]
    error = max(float((a - b).abs().max()) for a, b in zip(trained, clone_parameters(stepper), strict=True))
    if not error <= 1e-6 * scale:
        raise failure(
            f"train() after eval() gives weights that differ by up to {error:.2g}: an evaluation changes the training",
            "let train() restore the weights that eval() replaced",
        )
    if are_equal(trained, evaluated):
        return "both modes use the same weights"
    return "evaluates other weights than it trains"
