"""Evaluation: a loss and a metric over a whole split, in fixed batches, off the clock and the ledger."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from optbench.problem import Problem
from optbench.resident import Split

#: Independent of the training batch, so that it can't change a reported figure.
EVALUATION_BATCH = 250


@dataclass(frozen=True)
class Evaluation:
    """Means over all examples of a split."""

    loss: float
    metric: float


def evaluate(problem: Problem, model: nn.Module, split: Split) -> Evaluation:
    """Loss and metric over a split, summed in float64.

    The model has to be in evaluation mode.
    """
    total = torch.zeros(2, dtype=torch.float64 if split.device != "mps" else torch.float32, device=split.device)
    count = 0
    with torch.inference_mode():
        for batch in split.chunks(EVALUATION_BATCH):
            size = len(batch[0])
            loss, metric = problem.evaluate(model, batch)
            total += torch.stack((loss.to(total.dtype), metric.to(total.dtype))) * size
            count += size
    loss_sum, metric_sum = total.tolist()
    return Evaluation(loss_sum / count, metric_sum / count)


def parameters_finite(model: nn.Module) -> bool:
    """Whether no parameter has become infinite or NaN."""
    return bool(torch.stack([torch.isfinite(p).all() for p in model.parameters()]).all())
