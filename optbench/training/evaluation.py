"""Evaluation: a loss and a metric over a whole split, in fixed batches, off the clock and the ledger."""

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
    """Means over all examples of a split."""

    loss: float
    metric: float


def evaluate(problem: Problem, model: nn.Module, split: Split) -> Evaluation:
    """Loss and metric over a split. The model has to be in evaluation mode."""
    with torch.inference_mode():
        loss, metric = means(lambda batch: problem.evaluate(model, batch), split, problem.evaluation_batch).tolist()
    return Evaluation(loss, metric)


def means(measure: Callable[[Batch], tuple[Tensor, Tensor]], split: Split, batch_size: int) -> Tensor:
    """Means of loss and metric over a split as (2, …), summed in float64 over batches of a fixed size.

    `measure` gives the means over a batch, as scalars or one for each replica. Gradients are not recorded.
    """
    wide = torch.float64 if split.device != "mps" else torch.float32
    total: Tensor | float = 0.0
    for batch in split.chunks(batch_size):
        total = total + torch.stack(measure(batch)).to(wide) * len(batch[0])
    assert isinstance(total, Tensor)
    return total / len(split)


def trainable_parameters(model: nn.Module) -> int:
    """The number of parameters (weights, not tensors) that are trained at present."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def parameters_finite(model: nn.Module) -> bool:
    """Whether no parameter has become infinite or NaN."""
    return bool(torch.stack([torch.isfinite(p).all() for p in model.parameters()]).all())
