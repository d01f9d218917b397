"""Support for optimizers that evaluate other weights than they train (schedule-free methods).

Batch normalisation keeps running statistics of the activations during training. At the evaluation weights the
activations differ, so the statistics are measured again there, as the authors of Schedule-Free recommend (Defazio et
al. 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from optbench.problem.base import Problem
from optbench.training.device_data import Split


def switch(optimizer: torch.optim.Optimizer, training: bool) -> None:
    """Switches the parameters to the training or the evaluation weights; most optimizers do not distinguish them.

    Args:
        optimizer: The optimizer.
        training: True for the training weights, False for the evaluation weights.
    """
    method = getattr(optimizer, "train" if training else "eval", None)
    if method is not None:
        method()


@contextmanager
def evaluation_weights(
    model: nn.Module, optimizer: torch.optim.Optimizer, problem: Problem, sample: Split
) -> Iterator[None]:
    """A context in which the model has the evaluation weights; the caller has to switch the optimizer back afterwards.

    If these differ from the training weights, running statistics are measured on `sample` and restored at the end. The
    state of the random generators is not changed.

    Args:
        model: The model.
        optimizer: The optimizer.
        problem: The problem.
        sample: Training examples for the running statistics.
    """
    norms: list[_NormBase] = []
    if hasattr(optimizer, "eval"):
        norms = [module for module in model.modules() if isinstance(module, _NormBase) and module.track_running_stats]
    if not norms:
        switch(optimizer, False)
        yield
        return
    trained = [parameter.detach().clone() for parameter in model.parameters()]
    switch(optimizer, False)
    if all(map(torch.equal, trained, model.parameters())):
        yield
        return
    saved = [{name: buffer.clone() for name, buffer in norm.named_buffers(recurse=False)} for norm in norms]
    _measure_statistics(model, norms, problem, sample)
    yield
    for norm, buffers in zip(norms, saved, strict=True):
        for name, buffer in norm.named_buffers(recurse=False):
            buffer.copy_(buffers[name])


def _measure_statistics(model: nn.Module, norms: list[_NormBase], problem: Problem, sample: Split) -> None:
    """Replaces running statistics by means over the sample, in batches of the evaluation's size."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # None: average over all batches
    model.train()
    devices = [sample.device] if sample.device.startswith("cuda") else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        for batch in sample.chunks(problem.evaluation_batch):
            problem.loss(model, batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
