"""Averages of the weights over the steps of a training, which are evaluated in place of the last weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from optbench.optimizers.combined import CombinedOptimizer

#: Rounding of a share of the budget.
_ROUNDING = 1e-9


class Average:
    """The average of the weights after each step, as in `torch.optim.swa_utils.AveragedModel`.

    The first weights are taken over as they are. Buffers are not averaged. Before the first weights are averaged,
    evaluations use those of the training.

    Args:
        parameters: All parameters of a model, or those of several replicas, stacked along a first dimension.
        decay: The decay of an exponential average; 0 is the mean, in which all weights count the same.
        share: The share of the budget, at its end, whose steps are averaged.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float, share: float) -> None:
        self._parameters = [p for p in parameters if p.is_floating_point() or p.is_complex()]
        self._mean = [torch.empty_like(parameter.detach()) for parameter in self._parameters]
        self._share = share
        self._update = get_ema_multi_avg_fn(decay) if decay else get_swa_multi_avg_fn()
        #: Number of steps whose weights have been averaged.
        self.count = 0

    def update(self, spent: float) -> None:
        """Averages the present weights, if the averaging has begun.

        Args:
            spent: The share of the budget that is spent after the step, from 0 on.
        """
        if self._share < 1 and spent + self._share <= 1 + _ROUNDING:
            return
        if self.count:
            self._update(self._mean, [parameter.detach() for parameter in self._parameters], self.count)
        else:
            _copy(self._parameters, self._mean)
        self.count += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """A context in which the parameters have the averaged values."""
        if not self.count:
            yield
            return
        # Values are copied, not exchanged: a model may have views of its weights.
        trained = [parameter.detach().clone() for parameter in self._parameters]
        _copy(self._mean, self._parameters)
        try:
            yield
        finally:
            _copy(trained, self._parameters)

    @property
    def held_bytes(self) -> int:
        """Size of the averaged weights in bytes."""
        return sum(mean.numel() * mean.element_size() for mean in self._mean)

    @property
    def remark(self) -> str:
        """What readers have to know if there was nothing to average, or ""."""
        if self.count > 1:
            return ""
        return f"the weights were not averaged: the average has {self.count or 'no'} step"


def make_average(parameters: Iterable[Tensor], additions: Mapping[str, float]) -> Average | None:
    """Makes the average that hyperparameters describe; None if they describe none.

    Args:
        parameters: All parameters of a model or of stacked replicas.
        additions: Values of `average_decay` and `average_share`. Without a share, an exponential average has all steps.
    """
    decay, share = additions["average_decay"], additions["average_share"]
    return Average(parameters, decay, share or 1.0) if decay or share else None


def averages_weights(optimizer: Any) -> bool:
    """Whether an optimizer averages its weights itself, or evaluates other weights than it trains."""
    members = optimizer.members if isinstance(optimizer, CombinedOptimizer) else ()
    return (
        isinstance(optimizer, torch.optim.ASGD)
        or hasattr(optimizer, "train")
        or hasattr(optimizer, "eval")
        or any(map(averages_weights, members))
    )


@torch.no_grad()
def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
