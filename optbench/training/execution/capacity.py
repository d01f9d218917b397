"""How many replicas of a training fit into the memory that is left."""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.machine.device import cores
from optbench.machine.memory import available_device_memory
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.problem.data import Batch
from optbench.training.construct import make_model
from optbench.training.device_data import ResidentData

#: The share of the memory that all workers together may fill with replicas.
_SHARE = 0.5
#: A replica's parameters lie in memory as such, in the model from which they were stacked, as gradients, as
#: what the optimizer moves, and up to five times as its state and in between.
_COPIES = 9
#: Beyond 32 MiB the C library maps the memory of all replicas' batches anew in each step, page by page.
_BATCHES = 2**25
#: What the forward pass keeps for the backward pass is there once more as the gradients of the same.
_ACTIVATIONS = 2


def replicas_that_fit(cell: Cell, problem: Problem, data: ResidentData) -> int | None:
    """A cautious estimate; None where the system doesn't say how much memory is left."""
    available = available_device_memory(cell.device)
    if available is None:
        return None
    workers = max(1, cores() // cell.threads) if cell.device == "cpu" else 1
    return int(_SHARE * available / workers / bytes_of_a_replica(cell, problem, data))


def replicas_that_gain(cell: Cell, data: ResidentData) -> int | None:
    """How many replicas at once are no slower for being so many; None for any number."""
    if cell.device != "cpu":
        return None
    return int(_BATCHES / sum(map(_bytes, data.train.batch(torch.arange(cell.batch_size)))))


def bytes_of_a_replica(cell: Cell, problem: Problem, data: ResidentData) -> int:
    """What one replica takes at most while it is stepped or evaluated: parameters, batch and activations."""
    model = make_model(problem, cell, 0).train()
    batch = data.train.batch(torch.arange(cell.batch_size, device=cell.device))
    weights = sum(_bytes(parameter) for parameter in model.parameters())
    kept = _kept_for_backward(problem, model, batch)
    evaluated = min(problem.evaluation_batch, len(data.train)) / cell.batch_size
    stepped = _ACTIVATIONS * kept + 2 * sum(map(_bytes, batch))
    return _COPIES * weights + int(max(stepped, evaluated * kept))


def _kept_for_backward(problem: Problem, model: torch.nn.Module, batch: Batch) -> int:
    """Bytes that one forward pass keeps for its backward pass, each storage counted once."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    # The loss is held until all is counted: a storage that is let go could come back as another one.
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = problem.loss(model, batch)
    del loss
    return sum(storages.values())


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
