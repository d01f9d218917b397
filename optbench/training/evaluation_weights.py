"""Optimizers that evaluate other weights than they train (schedule-free methods): their switches, and what models
keep of the weights that were trained.

Batch normalisation keeps running statistics of the activations that it saw while training. At other weights these
are others, so that they are measured again there, as the authors of Schedule-Free say (Defazio et al. 2024).
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
    """Puts the weights to train, or those to evaluate, into the parameters; nothing for most optimizers."""
    found = getattr(optimizer, "train" if training else "eval", None)
    if found is not None:
        found()


@contextmanager
def evaluation_weights(
    model: nn.Module, optimizer: torch.optim.Optimizer, problem: Problem, sample: Split
) -> Iterator[None]:
    """A context in which the parameters are those to evaluate. Afterwards the optimizer has to be switched back.

    If they differ from those that were trained, running statistics are means over `sample`, examples of the
    training set, and what they were is restored in the end. The random numbers of the training stay as they are.
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
    kept = [{name: buffer.clone() for name, buffer in norm.named_buffers(recurse=False)} for norm in norms]
    _measure(model, norms, problem, sample)
    yield
    for norm, buffers in zip(norms, kept, strict=True):
        for name, buffer in norm.named_buffers(recurse=False):
            buffer.copy_(buffers[name])


def _measure(model: nn.Module, norms: list[_NormBase], problem: Problem, sample: Split) -> None:
    """Replaces running statistics by means over the sample, in the batches of an evaluation."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    model.train()
    devices = [sample.device] if sample.device.startswith("cuda") else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        for batch in sample.chunks(problem.evaluation_batch):
            problem.loss(model, batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
