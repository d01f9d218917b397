"""Running statistics of normalisation layers, measured at the weights that are evaluated.

Batch normalisation normalises evaluations by statistics of the activations. Those that it collects during training
are averages over past weights, with a momentum, and belong to the training weights. They favour methods with small
late steps, and are wrong for methods that evaluate other weights than they train (Defazio et al. 2024). Therefore every
evaluation of every optimizer measures them again, on the same training examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from optbench.problem.data import Batch
from optbench.training.device_data import Split

#: The buffers that hold statistics, and count the batches that they come from.
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
#: Smallest number of examples per chunk: one example has no variance.
_SMALLEST = 2


def collecting_norms(model: nn.Module) -> list[tuple[str, _NormBase]]:
    """Returns the names and layers that collect running statistics while the model trains.

    Layers that a model keeps in evaluation mode, and those with a momentum of 0, have statistics of their own, as in
    transfer learning; these are not measured.

    Args:
        model: A model in training mode.
    """
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, _NormBase)
        and module.training
        and module.running_mean is not None
        and module.momentum != 0.0
    ]


def statistics_of(norms: Sequence[_NormBase]) -> list[Tensor]:
    """Returns the buffers with the statistics of layers."""
    return [buffer for norm in norms for name in STATISTICS if isinstance(buffer := getattr(norm, name, None), Tensor)]


@contextmanager
def fresh_statistics(
    norms: Sequence[_NormBase],
    buffers: Sequence[Tensor],
    measure: Callable[[Batch], object],
    sample: Split,
    evaluation_batch: int,
) -> Iterator[None]:
    """A context in which layers have the statistics of a sample; those of the training are restored at the end.

    Each of them is the mean of its values over chunks of nearly equal size, weighted by their examples. A layer that is
    called several times counts each call, and one that is not reached keeps its statistics.

    Args:
        norms: The layers, of a model in evaluation mode.
        buffers: The buffers with their statistics, which may be stacked along a first dimension of replicas.
        measure: Runs the model on a batch.
        sample: Training examples.
        evaluation_batch: Largest number of examples per chunk, unless it is below 2.
    """
    if not norms:
        yield
        return
    saved = [buffer.clone() for buffer in buffers]
    try:
        _measure(norms, measure, sample, evaluation_batch)
        yield
    finally:
        for buffer, before in zip(buffers, saved, strict=True):
            buffer.copy_(before)


def _measure(
    norms: Sequence[_NormBase], measure: Callable[[Batch], object], sample: Split, evaluation_batch: int
) -> None:
    momenta = [norm.momentum for norm in norms]
    seen = dict.fromkeys(norms, 0)

    def weigh(norm: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Sets the weight of a call of a layer, before the call."""
        assert isinstance(norm, _NormBase)
        examples = len(inputs[0] if inputs else next(iter(named.values())))
        if not seen[norm]:
            # The first call replaces the statistics; a value that is not finite would survive its weight of 1.
            for statistic in (norm.running_mean, norm.running_var):
                if statistic is not None:
                    statistic.zero_()
        seen[norm] += examples
        norm.momentum = examples / seen[norm]

    chunks = -(-len(sample) // max(evaluation_batch, _SMALLEST))
    try:
        with ExitStack() as hooks, torch.no_grad():
            for norm in norms:
                norm.train()
                hooks.callback(norm.register_forward_pre_hook(weigh, with_kwargs=True).remove)
            for batch in sample.even_chunks(chunks):
                measure(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum
