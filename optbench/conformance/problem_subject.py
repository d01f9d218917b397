"""The problem under test, with the cells, data and models that its checks need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from optbench.conformance.subject import Trainable, make_trainable
from optbench.planning.matrix import Cell
from optbench.problem.base import load_problem_data
from optbench.problem.data import Batch, Data, DataSource
from optbench.training.construct import make_model
from optbench.training.evaluation import Evaluation, evaluate

#: Number of examples per split on which the checks train.
EXAMPLES = 64


@dataclass
class ProblemSubject:
    """A problem under test on one device.

    Attributes:
        text: Selection of the problem, such as `mlp[width=64]` or `FILE.py:CLASS`.
        source: Where its data are read from.
        device: Where the checks run.
    """

    text: str
    source: DataSource
    device: str = "cpu"

    @cached_property
    def few(self) -> Trainable:
        """The problem with SGD and at most `EXAMPLES` examples per split."""
        return make_trainable(self.text, "sgd", self.device, source=self.source, examples=EXAMPLES)

    @cached_property
    def cell(self) -> Cell:
        """The problem's cell with SGD, at its smallest batch size."""
        return make_trainable(self.text, "sgd", self.device, source=self.source).cell

    @cached_property
    def data(self) -> Data:
        """All splits on the CPU."""
        return load_problem_data(self.few.problem, self.source)

    @cached_property
    def evaluation_draws(self) -> tuple[float, float] | None:
        """Two losses of the same weights and examples in evaluation mode, if they differ."""
        model, losses = self.model().eval(), []
        for seed in (0, 1):
            torch.manual_seed(seed)
            with torch.no_grad():
                losses.append(float(self.few.problem.loss(model, self.batch())))
        first, second = losses
        return None if first == second or math.isnan(first) else (first, second)

    @cached_property
    def training_draws(self) -> bool:
        """Whether the loss draws random numbers in training mode, as with dropout."""
        model, before = self.model().train(), torch.get_rng_state()
        with torch.no_grad():
            self.few.problem.loss(model, self.batch())
        return not torch.equal(before, torch.get_rng_state())

    def model(self, seed: int = 0) -> torch.nn.Module:
        """The untrained model with the initial weights of a seed."""
        return make_model(self.few.problem, self.cell, seed)

    def batch(self, examples: int = 16) -> Batch:
        """The first training examples, at most `examples`."""
        return next(self.few.data.train.chunks(min(examples, len(self.few.data.train))))

    def at_start(self) -> Evaluation:
        """Validation loss and metric of the untrained model."""
        return evaluate(self.few.problem, self.model().eval(), self.few.data.valid)
