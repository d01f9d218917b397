"""Evaluation: loss and metric over a whole split in batches of fixed size, neither timed nor charged."""

from __future__ import annotations

import functools
import operator
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
    # Not inference_mode: what a model caches in its first evaluation has to be usable in training.
    with torch.no_grad():
        loss, metric = evaluate_split(problem, lambda batch: measure_batch(problem, model, batch), split).tolist()
    return Evaluation(loss, metric)


def measure_batch(problem: Problem, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns mean loss and mean metric of a batch; its predictions in place of the metric if they are aggregated."""
    if problem.aggregates:
        return problem.loss(model, batch), problem.predict(model, batch)
    return problem.evaluate(model, batch)


def evaluate_split(
    problem: Problem,
    measure: Callable[[Batch], tuple[Tensor, Tensor]],
    split: Split,
    batch_size: int | None = None,
) -> Tensor:
    """Computes loss and metric of one model or of several replicas over a split, in float64 (float32 on mps).

    Args:
        problem: The problem.
        measure: Returns the pair of `measure_batch`, with a first dimension of replicas if there are several.
        split: The split.
        batch_size: Number of examples per call of `measure`; by default that of the problem.

    Returns:
        Loss and metric, of shape (2,) or (2, replicas).
    """
    wide = torch.float64 if split.device != "mps" else torch.float32
    losses: list[Tensor] = []
    metrics: list[Tensor] = []
    for batch in split.chunks(batch_size or problem.evaluation_batch):
        loss, metric = measure(batch)
        losses.append(loss.to(wide) * len(batch[0]))
        metrics.append(metric if problem.aggregates else sum_counts(metric, len(batch[0]), wide))
    if problem.aggregates:
        means = _score(problem, metrics, split, several=losses[0].dim() > 0).to(losses[0])
    else:
        means = _sum(metrics) / len(split)
    return torch.stack([_sum(losses) / len(split), means])


def _sum(parts: list[Tensor]) -> Tensor:
    return functools.reduce(operator.add, parts)


def sum_counts(means: Tensor, examples: int, dtype: torch.dtype) -> Tensor:
    """Returns the sums over examples that means belong to: whole numbers if the means are those of counts.

    A mean of 0 and 1 has been rounded: 0.95 in single precision times 300 is not 285. Sums that are whole within the
    rounding of their mean are therefore made whole, so that equal counts are equal in whichever batches they were.

    Args:
        means: Means over the examples, of any shape.
        examples: Number of examples.
        dtype: The type of the sums.
    """
    sums = means.to(dtype) * examples
    counts = sums.round()
    rounding = torch.finfo(means.dtype).eps if means.is_floating_point() else 0.0
    return torch.where((sums - counts).abs() <= rounding * sums.abs(), counts, sums)


def _score(problem: Problem, predictions: list[Tensor], split: Split, several: bool) -> Tensor:
    """Returns the metric of all predictions, or one per replica."""
    examples = next(split.chunks(len(split)))
    if several:
        return torch.tensor([float(problem.score(own, examples)) for own in torch.cat(predictions, dim=1)])
    return torch.as_tensor(problem.score(torch.cat(predictions), examples))


def count_trainable_parameters(model: nn.Module) -> int:
    """Counts the weights that are currently trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def has_finite_parameters(model: nn.Module) -> bool:
    """Whether all parameters are finite."""
    return bool(torch.stack([torch.isfinite(p).all() for p in model.parameters()]).all())
