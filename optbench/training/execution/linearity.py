"""Whether an optimizer's step is linear in its learning rate and the same for each coordinate alone."""

from __future__ import annotations

import json

import torch

from optbench.planning.optimizer_choice import OptimizerChoice
from optbench.training.construct import make_optimizer
from optbench.training.execution.stacked_step import StackedStep

#: Learning rates of the probe, as factors of the default.
_FACTORS = (0.01, 1.0, 3.7)
#: Enough for a bound on a step, or on a step size that adapts, to be met at one of the rates.
_STEPS = 40
_SHAPES = ((3, 4), (5,), (2, 3, 2), (2, 2, 2, 2))
_TOLERANCE = 1e-9
#: What was found in this process, by identity: an optimizer is in many cells.
_known: dict[str, str | None] = {}


def linearity(choice: OptimizerChoice) -> str | None:
    """`zero` or `difference`, by which way a `StackedStep` of this optimizer is right; None if by neither."""
    identity = json.dumps(choice.identity, sort_keys=True)
    if identity not in _known:
        _known[identity] = _probed(choice)
    return _known[identity]


def _probed(choice: OptimizerChoice) -> str | None:
    others = {name: value for name, value in choice.defaults.items() if name != "lr"}
    rates = [factor * float(choice.defaults["lr"]) for factor in _FACTORS]
    random = torch.Generator().manual_seed(0)
    replicas = len(rates)

    def draw() -> list[torch.Tensor]:
        return [torch.randn(replicas, *shape, generator=random, dtype=torch.float64) for shape in _SHAPES]

    start, gradients = draw(), [draw() for _ in range(_STEPS)]
    for step, drawn in enumerate(gradients):
        for gradient in drawn:
            # Small and large ones, so that a bound on a norm is met.
            gradient.mul_(1e3 ** (step % 3 - 1))
            # Of the first coordinates one keeps its sign and one changes it at every step.
            gradient[..., 0].abs_()
            gradient[..., 1].abs_().mul_((-1) ** step)
    try:
        expected = _one_by_one(choice, rates, start, gradients)
        for name in ("zero", "difference"):
            parameters = [part.clone().requires_grad_() for part in start]
            stacked = StackedStep(choice, parameters, others, rates, name == "zero")
            if hasattr(stacked.optimizer, "train") or hasattr(stacked.optimizer, "eval"):
                return None  # evaluates other weights than those that it steps
            for drawn in gradients:
                for parameter, gradient in zip(parameters, drawn, strict=True):
                    parameter.grad = gradient.clone()
                stacked.step()
            pairs = zip(parameters, expected, start, strict=True)
            if all(_near(p.detach() - first, whole - first) for p, whole, first in pairs):
                return name
    except Exception:  # an optimizer that can't be probed is trained as it is
        return None
    return None


def _one_by_one(
    choice: OptimizerChoice, rates: list[float], start: list[torch.Tensor], gradients: list[list[torch.Tensor]]
) -> list[torch.Tensor]:
    ends: list[list[torch.Tensor]] = []
    for k, rate in enumerate(rates):
        model = torch.nn.ParameterList([part[k].clone() for part in start])
        optimizer = make_optimizer(choice, model, {**choice.defaults, "lr": rate})
        for drawn in gradients:
            for parameter, gradient in zip(model, drawn, strict=True):
                parameter.grad = gradient[k].clone()
            optimizer.step()
        ends.append([parameter.detach() for parameter in model])
    return [torch.stack(parts) for parts in zip(*ends, strict=True)]


def _near(moved: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether every replica moved as expected, and moved at all."""
    scale = expected.flatten(1).abs().amax(1)
    error = (moved - expected).flatten(1).abs().amax(1)
    return bool(torch.all((error <= _TOLERANCE * scale) & (scale > 0)))
