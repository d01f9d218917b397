"""Compares stacked steps with separate ones on the real model, for rules that depend on the size of a tensor.

The probe in `linearity` uses tensors of a few elements. An optimizer that treats large tensors in another way (8-bit
state, layer-wise norms, matrices above a size) passes it, although a stack of replicas is larger than each of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.training.construct import make_model
from optbench.training.device_data import ResidentData
from optbench.training.execution.linearity import step_separately, step_stacked
from optbench.training.seeds import TUNING_SEEDS

#: Maximum number of replicas of such an optimizer that are trained together, and the number that is compared. So a rule
#: that begins above some size begins within the comparison, if it begins at all.
MOST = 16
#: Number of steps, unless the model is large, and the number of element updates after which there are no more steps.
_STEPS, _FEWEST, _UPDATES = 120, 3, 2e8
#: Learning rates relative to the default.
_FACTORS = (1.0, 0.1, 3.7)
#: Number of batches whose gradients are used in turn.
_BATCHES = 3
#: Seeds that no trial or run uses.
_SEEDS = (TUNING_SEEDS - 3, TUNING_SEEDS - 4)
#: Tolerance relative to the distance covered. Both sides get the same gradients, so that rounding differs in the
#: optimizer alone; rules that depend on the size differ by far more.
_TOLERANCE = 1e-3


def require_likeness(cell: Cell, problem: Problem, data: ResidentData, replicas: int, from_zero: bool) -> None:
    """Steps real parameters with real gradients, stacked and one by one, and compares the results.

    Nothing is charged. The cost is that of a few gradients, and of some dozen steps of the optimizer.

    Args:
        cell: The cell.
        problem: Its problem.
        data: Its data on the device.
        replicas: Number of replicas in the stack.
        from_zero: See `StackedStep`.

    Raises:
        ArithmeticError: The results differ by more than rounding.
    """
    starts, gradients = zip(*(_draw(cell, problem, data, seed) for seed in _SEEDS), strict=True)
    rates = [_FACTORS[k % len(_FACTORS)] * float(cell.optimizer.defaults["lr"]) for k in range(replicas)]
    compared = min(replicas, len(_FACTORS) * len(_SEEDS))  # two models at three rates; the others are repetitions
    size = sum(part.numel() for part in starts[0]) * (replicas + compared)
    steps = [batch % _BATCHES for batch in range(max(_FEWEST, min(_STEPS, int(_UPDATES / size))))]

    def stack(parts: tuple[list[Tensor], ...], count: int) -> list[Tensor]:
        return [torch.stack([parts[k % len(parts)][place] for k in range(count)]) for place in range(len(parts[0]))]

    def stacks(count: int) -> tuple[list[Tensor], list[list[Tensor]]]:
        batches = [stack(tuple(own[batch] for own in gradients), count) for batch in range(_BATCHES)]
        return stack(starts, count), [batches[batch] for batch in steps]

    start, own = stacks(compared)
    expected = step_separately(cell.optimizer, rates[:compared], start, own)
    found = step_stacked(cell.optimizer, rates, *stacks(replicas), from_zero)
    for first, end, whole in zip(start, found, expected, strict=True):
        for k, rate in enumerate(rates[:compared]):
            if not _is_close(first[k], end[k], whole[k], len(steps), rate):
                raise ArithmeticError(
                    f"on tensors of {first[k].numel()} elements, as the model has, {replicas} replicas at once take "
                    "other steps than one by one"
                )


def _draw(cell: Cell, problem: Problem, data: ResidentData, seed: int) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Returns the trained parameters of a model, and their gradients for a few batches."""
    model = make_model(problem, cell, seed).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = []
    for batch in range(_BATCHES):
        places = torch.arange(cell.batch_size, device=cell.device) + batch * cell.batch_size
        loss = problem.loss(model, data.train.batch(places % len(data.train)))
        parts = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
        gradients.append([part.detach().to_dense() for part in parts])
    return [parameter.detach() for parameter in trained], gradients


def _is_close(start: Tensor, end: Tensor, expected: Tensor, steps: int, rate: float) -> bool:
    """Whether a replica has moved as expected, except for the rounding of its parameters in each step."""
    if not start.numel() or not bool(torch.isfinite(expected).all()):
        return True
    scale = float((expected - start).abs().max())
    rounding = (
        4 * steps * torch.finfo(start.dtype).eps * max(1.0, rate) * float(torch.max(start.abs(), expected.abs()).max())
    )
    return float((end - expected).abs().max()) <= _TOLERANCE * scale + rounding
