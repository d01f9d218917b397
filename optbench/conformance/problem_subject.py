"""A problem that is checked, with what its checks need of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from optbench.conformance.subject import Trainable, trainable
from optbench.planning.matrix import Cell
from optbench.problem.base import loaded
from optbench.problem.data import Batch, Data, DataSource
from optbench.training.construct import make_model
from optbench.training.evaluation import Evaluation, evaluate

#: Examples with which a network is tried out.
EXAMPLES = 64


@dataclass
class ProblemSubject:
    """A problem that is checked on a device, by its selection."""

    text: str
    source: DataSource
    device: str = "cpu"

    @cached_property
    def few(self) -> Trainable:
        """With SGD and few of its examples."""
        return trainable(self.text, "sgd", self.device, source=self.source, examples=EXAMPLES)

    @cached_property
    def cell(self) -> Cell:
        return trainable(self.text, "sgd", self.device, source=self.source).cell

    @cached_property
    def data(self) -> Data:
        return loaded(self.few.problem, self.source)

    def model(self, seed: int = 0) -> torch.nn.Module:
        return make_model(self.few.problem, self.cell, seed)

    def batch(self, examples: int = 16) -> Batch:
        return next(self.few.data.train.chunks(min(examples, len(self.few.data.train))))

    def at_start(self) -> Evaluation:
        """Validation loss and metric of the untrained model."""
        return evaluate(self.few.problem, self.model().eval(), self.few.data.valid)
