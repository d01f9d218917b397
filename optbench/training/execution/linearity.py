"""Probes whether an optimizer's step is linear in the learning rate and treats each coordinate independently."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from torch import Tensor

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
    rates = [factor * float(choice.defaults["lr"]) for factor in _FACTORS]
    random = torch.Generator().manual_seed(0)
    replicas = len(rates)

    def draw() -> list[Tensor]:
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
        expected = step_separately(choice, rates, start, gradients)
        for name in ("zero", "difference"):
            ends = step_stacked(choice, rates, start, gradients, name == "zero")
            if all(
                _is_close(end - first, whole - first) for end, whole, first in zip(ends, expected, start, strict=True)
            ):
                return name
    except Exception:  # an optimizer that can't be probed is executed eagerly
        return None
    return None


def step_separately(
    choice: OptimizerChoice, rates: Sequence[float], start: Sequence[Tensor], gradients: Sequence[Sequence[Tensor]]
) -> list[Tensor]:
    """Steps each replica with an optimizer of its own.

    Args:
        choice: The optimizer.
        rates: One learning rate per replica.
        start: Parameters of shape (replicas, …).
        gradients: For each step, the gradients of all parameters, of the same shapes.

    Returns:
        The stacked parameters after the last step.
    """
    ends: list[list[Tensor]] = []
    for k, rate in enumerate(rates):
        model = torch.nn.ParameterList([part[k].clone() for part in start])
        optimizer = make_optimizer(choice, model, {**choice.defaults, "lr": rate})
        for gradient_parts in gradients:
            for parameter, gradient in zip(model, gradient_parts, strict=True):
                parameter.grad = gradient[k].clone()
            optimizer.step()
        ends.append([parameter.detach() for parameter in model])
    return [torch.stack(parts) for parts in zip(*ends, strict=True)]


def step_stacked(
    choice: OptimizerChoice,
    rates: Sequence[float],
    start: Sequence[Tensor],
    gradients: Sequence[Sequence[Tensor]],
    from_zero: bool,
) -> list[Tensor]:
    """Does the same with one `StackedStep`; `from_zero` is its argument.

    Raises:
        TypeError: The optimizer evaluates other weights than it trains.
    """
    others = {name: value for name, value in choice.defaults.items() if name != "lr"}
    parameters = [part.clone().requires_grad_() for part in start]
    stacked = StackedStep(choice, parameters, others, rates, from_zero)
    if hasattr(stacked.optimizer, "train") or hasattr(stacked.optimizer, "eval"):
        raise TypeError("the optimizer evaluates other weights than it trains")
    for gradient_parts in gradients:
        for parameter, gradient in zip(parameters, gradient_parts, strict=True):
            parameter.grad = gradient.clone()
        stacked.step()
    return [parameter.detach() for parameter in parameters]


def _is_close(change: Tensor, expected: Tensor) -> bool:
    """Whether every replica has moved, and by the expected change."""
    scale = expected.flatten(1).abs().amax(1)
    error = (change - expected).flatten(1).abs().amax(1)
    return bool(torch.all((error <= _TOLERANCE * scale) & (scale > 0)))
