"""Estimates of how many replicas of a training fit into memory."""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.machine.device import cores
from optbench.machine.memory import available_device_memory
from optbench.optimizers.additions import AVERAGING
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.problem.data import Batch
from optbench.training.construct import make_model
from optbench.training.device_data import ResidentData

#: Share of the available memory that the replicas of all workers together may use.
_SHARE = 0.5
#: Copies of a replica's parameters in memory: the stacked ones, the original model, the gradients, the tensors that the
#: optimizer moves, and up to five for optimizer state and temporaries.
_COPIES = 9
#: Further copies if the weights are averaged: the average, and the weights of the training during an evaluation.
_AVERAGED_COPIES = 2
#: Maximum size of the batches of all replicas: above 32 MiB the C library maps memory again in each step.
_BATCHES = 2**25
#: Activations are stored for the backward pass, and their gradients take the same space.
_ACTIVATIONS = 2


def count_fitting_replicas(cell: Cell, problem: Problem, data: ResidentData) -> int | None:
    """Estimates, on the safe side, how many replicas fit into memory; None if the available memory is unknown."""
    available = available_device_memory(cell.device)
    if available is None:
        return None
    workers = max(1, cores() // cell.threads) if cell.device == "cpu" else 1
    return int(_SHARE * available / workers / estimate_replica_bytes(cell, problem, data))


def count_efficient_replicas(cell: Cell, data: ResidentData) -> int | None:
    """Returns the number of replicas above which training them together becomes slower; None if there is no limit."""
    if cell.device != "cpu":
        return None
    return int(_BATCHES / sum(map(_bytes, data.train.batch(torch.arange(cell.batch_size)))))


def estimate_replica_bytes(cell: Cell, problem: Problem, data: ResidentData) -> int:
    """Estimates the peak memory of one replica in bytes: parameters, batch and activations."""
    model = make_model(problem, cell, 0).train()
    batch = data.train.batch(torch.arange(cell.batch_size, device=cell.device))
    weights = sum(_bytes(parameter) for parameter in model.parameters())
    activations = _activation_bytes(problem, model, batch)
    batches = min(problem.evaluation_batch, len(data.train)) / cell.batch_size
    training = _ACTIVATIONS * activations + 2 * sum(map(_bytes, batch))
    additions = cell.optimizer.additions(cell.optimizer.defaults)
    copies = _COPIES + (_AVERAGED_COPIES if any(additions[name] for name in AVERAGING) else 0)
    return copies * weights + int(max(training, batches * activations))


def _activation_bytes(problem: Problem, model: torch.nn.Module, batch: Batch) -> int:
    """Returns the bytes that one forward pass saves for its backward pass, each storage counted once."""
    storages: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    # Keep the loss until the end: the address of a freed storage could be used again.
    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        loss = problem.loss(model, batch)
    del loss
    return sum(storages.values())


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
