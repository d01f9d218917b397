"""Probes whether an optimizer's step is linear in the learning rate and treats each coordinate independently."""

from __future__ import annotations

import json

import torch

from optbench.planning.optimizer_choice import OptimizerChoice
from optbench.training.construct import make_optimizer
from optbench.training.execution.stacked_step import StackedStep

#: Learning rates of the probe, relative to the default.
_FACTORS = (0.01, 1.0, 3.7)
#: Number of steps: enough to reach a bound on a step, or on an adaptive step size, at one of the rates.
_STEPS = 40
_SHAPES = ((3, 4), (5,), (2, 3, 2), (2, 2, 2, 2))
_TOLERANCE = 1e-9
#: Results of the probe in this process by the optimizer's identity, since an optimizer is part of many cells.
_results: dict[str, str | None] = {}


def probe_linearity(choice: OptimizerChoice) -> str | None:
    """Probes how a `StackedStep` of this optimizer gives the same steps as separate optimizers.

    Args:
        choice: The optimizer.

    Returns:
        `zero` if `StackedStep` is correct with `from_zero`, `difference` if it is correct without, otherwise None.
    """
    identity = json.dumps(choice.identity, sort_keys=True)
    if identity not in _results:
        _results[identity] = _probe(choice)
    return _results[identity]


def _probe(choice: OptimizerChoice) -> str | None:
    others = {name: value for name, value in choice.defaults.items() if name != "lr"}
    rates = [factor * float(choice.defaults["lr"]) for factor in _FACTORS]
    random = torch.Generator().manual_seed(0)
    replicas = len(rates)

    def draw() -> list[torch.Tensor]:
        return [torch.randn(replicas, *shape, generator=random, dtype=torch.float64) for shape in _SHAPES]

    start, gradients = draw(), [draw() for _ in range(_STEPS)]
    for step, parts in enumerate(gradients):
        for gradient in parts:
            # Small and large gradients, so that a bound on a norm is reached.
            gradient.mul_(1e3 ** (step % 3 - 1))
            # The first coordinate keeps its sign, and the second one changes it at every step.
            gradient[..., 0].abs_()
            gradient[..., 1].abs_().mul_((-1) ** step)
    try:
        expected = _step_separately(choice, rates, start, gradients)
        for name in ("zero", "difference"):
            parameters = [part.clone().requires_grad_() for part in start]
            stacked = StackedStep(choice, parameters, others, rates, name == "zero")
            if hasattr(stacked.optimizer, "train") or hasattr(stacked.optimizer, "eval"):
                return None  # evaluates other weights than it trains
            for gradient_parts in gradients:
                for parameter, gradient in zip(parameters, gradient_parts, strict=True):
                    parameter.grad = gradient.clone()
                stacked.step()
            pairs = zip(parameters, expected, start, strict=True)
            if all(_is_close(p.detach() - first, whole - first) for p, whole, first in pairs):
                return name
    except Exception:  # an optimizer that can't be probed is executed eagerly
        return None
    return None


def _step_separately(
    choice: OptimizerChoice, rates: list[float], start: list[torch.Tensor], gradients: list[list[torch.Tensor]]
) -> list[torch.Tensor]:
    """Returns the stacked end points of one optimizer per learning rate."""
    ends: list[list[torch.Tensor]] = []
    for k, rate in enumerate(rates):
        model = torch.nn.ParameterList([part[k].clone() for part in start])
        optimizer = make_optimizer(choice, model, {**choice.defaults, "lr": rate})
        for gradient_parts in gradients:
            for parameter, gradient in zip(model, gradient_parts, strict=True):
                parameter.grad = gradient[k].clone()
            optimizer.step()
        ends.append([parameter.detach() for parameter in model])
    return [torch.stack(parts) for parts in zip(*ends, strict=True)]


def _is_close(change: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether every replica has moved, and by the expected change."""
    scale = expected.flatten(1).abs().amax(1)
    error = (change - expected).flatten(1).abs().amax(1)
    return bool(torch.all((error <= _TOLERANCE * scale) & (scale > 0)))
