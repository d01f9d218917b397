"""Steps whose loss and gradient are compiled with `torch.compile`; the optimizer is not compiled."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from optbench.problem.data import Batch
from optbench.training.stepper import Stepper


class CompiledStepper(Stepper):
    """A `Stepper` that compiles the loss at its construction, so that compilation is not timed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # fallback_random: dropout masks must be the same as in eager training.
        self._compiled = torch.compile(self.problem.loss, dynamic=False, options={"fallback_random": True})
        # Compile with a copy, since a forward pass may change buffers.
        model = copy.deepcopy(self.model)
        for size in set(self._chunks):
            batch = self.data.train.batch(torch.arange(size, device=self.data.device))
            self._loss(model, batch).backward()
        self._seed(self._training_seed)

    def _loss(self, model: nn.Module, batch: Batch) -> Tensor:
        loss: Tensor = self._compiled(model, batch)
        return loss
