"""Running statistics of normalisation layers, measured at the weights that are evaluated.

Batch normalisation normalises evaluations by statistics of the activations. Those that it collects during training
are averages over past weights, with a momentum, and belong to the training weights. They favour methods with small
late steps, and are wrong for methods that evaluate other weights than they train (Defazio et al. 2024). Therefore every
evaluation of every optimizer measures them again, on the same training examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from optbench.problem.data import Batch
from optbench.training.device_data import Split

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


@contextmanager
def fresh_statistics(
    norms: Sequence[_NormBase],
    buffers: Sequence[Tensor],
    measure: Callable[[Batch], object],
    sample: Split,
    evaluation_batch: int,
) -> Iterator[None]:
    """A context in which layers have the statistics of a sample; those of the training are restored at the end.

    Each of them is the mean of its values over chunks of nearly equal size, weighted by their examples.

    Args:
        norms: The layers, of a model in evaluation mode.
        buffers: Their buffers, which may be stacked along a first dimension of replicas.
        measure: Runs the model on a batch.
        sample: Training examples.
        evaluation_batch: Largest number of examples per chunk, unless it is below 2.
    """
    saved = [buffer.clone() for buffer in buffers]
    try:
        _measure(norms, buffers, measure, sample, evaluation_batch)
        yield
    finally:
        for buffer, before in zip(buffers, saved, strict=True):
            buffer.copy_(before)


def _measure(
    norms: Sequence[_NormBase],
    buffers: Sequence[Tensor],
    measure: Callable[[Batch], object],
    sample: Split,
    evaluation_batch: int,
) -> None:
    momenta = [norm.momentum for norm in norms]
    chunks = -(-len(sample) // max(evaluation_batch, _SMALLEST))
    for buffer in buffers:
        buffer.zero_()  # a value that is not finite would survive the first chunk's weight of 1
    try:
        examples = 0
        for batch in sample.even_chunks(chunks):
            examples += len(batch[0])
            for norm in norms:
                norm.train()
                norm.momentum = len(batch[0]) / examples
            with torch.no_grad():
                measure(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum
