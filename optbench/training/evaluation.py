"""Evaluation: loss and metric over a whole split in batches of fixed size, neither timed nor charged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from optbench.problem.base import Problem
from optbench.problem.data import Batch
from optbench.training.device_data import Split


@dataclass(frozen=True)
class Evaluation:
    """Loss and metric as means over all examples of a split."""

    loss: float
    metric: float


def evaluate(problem: Problem, model: nn.Module, split: Split) -> Evaluation:
    """Computes loss and metric over a split. The model has to be in evaluation mode."""
    with torch.inference_mode():
        loss, metric = compute_means(
            lambda batch: problem.evaluate(model, batch), split, problem.evaluation_batch
        ).tolist()
    return Evaluation(loss, metric)


def compute_means(measure: Callable[[Batch], tuple[Tensor, Tensor]], split: Split, batch_size: int) -> Tensor:
    """Computes the means of loss and metric over a split, in float64 (float32 on mps).

    Args:
        measure: Returns loss and metric as means over a batch: scalars, or one value per replica.
        split: The split.
        batch_size: Number of examples per call of `measure`.

    Returns:
        The means, of shape (2,) or (2, replicas).
    """
    wide = torch.float64 if split.device != "mps" else torch.float32
    total: Tensor | float = 0.0
    for batch in split.chunks(batch_size):
        total = total + torch.stack(measure(batch)).to(wide) * len(batch[0])
    assert isinstance(total, Tensor)
    return total / len(split)


def count_trainable_parameters(model: nn.Module) -> int:
    """Counts the weights that are currently trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def has_finite_parameters(model: nn.Module) -> bool:
    """Whether all parameters are finite."""
    return bool(torch.stack([torch.isfinite(p).all() for p in model.parameters()]).all())
