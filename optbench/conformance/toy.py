"""Problems on which optimizers are checked: a small network with all kinds of parameters, and a quadratic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ToyNet(Problem):
    """Regression with an embedding, a convolution and two linear layers: parameters of 1, 2 and 4 dimensions."""

    name: ClassVar[str] = "toy_net"
    metric_name: ClassVar[str] = "mean absolute error"
    metric_higher_is_better: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, ...]] = (8,)
    run_budget: ClassVar[str] = "2epochs"

    dtype: str = "float64"
    sparse: bool = False

    def training_examples(self) -> int:
        return 32

    def model(self) -> nn.Module:
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self, sparse: bool) -> None:
                super().__init__()
                self.words = nn.Embedding(4, 16, sparse=sparse)
                self.mix = nn.Conv2d(1, 2, 3, padding=1)
                self.hidden, self.out = nn.Linear(32, 4), nn.Linear(4, 2)

            def forward(self, words: Tensor, images: Tensor) -> Tensor:
                mixed = self.mix(images + self.words(words).view(-1, 1, 4, 4))
                outputs: Tensor = self.out(torch.tanh(self.hidden(mixed.flatten(1))))
                return outputs

        return Net(self.sparse).to(getattr(torch, self.dtype))

    def load_data(self, source: DataSource) -> Data:
        import torch

        random = np.random.RandomState(0)

        def split(examples: int) -> Batch:
            words = torch.from_numpy(np.arange(examples) % 4)
            images = torch.from_numpy(random.standard_normal((examples, 1, 4, 4))).to(getattr(torch, self.dtype))
            return words, images, images.flatten(1)[:, :2] + 0.5 * words[:, None]

        return Data(split(32), split(8), split(8))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        words, images, targets = batch
        return (model(words, images) - targets).square().mean()

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        words, images, targets = batch
        error: Tensor = (model(words, images) - targets).abs().mean()
        return error


@dataclass(frozen=True)
class ToyQuadratic(Problem):
    """The quadratic ½ Σ a (w − w*)² over the entries w of a matrix, a vector and an embedding, with a from 1 to 4."""

    name: ClassVar[str] = "toy_quadratic"
    kind = "quadratic"
    metric_name: ClassVar[str] = "suboptimality"
    metric_higher_is_better: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, ...]] = (1,)
    run_budget: ClassVar[str] = "100examples"

    sparse: bool = False

    def training_examples(self) -> int:
        return 1

    def model(self) -> nn.Module:
        import torch
        from torch import nn

        model = nn.Module()
        model.matrix = nn.Parameter(torch.full((3, 4), 2.0, dtype=torch.float64))
        model.vector = nn.Parameter(torch.full((4,), -2.0, dtype=torch.float64))
        model.words = nn.Embedding(2, 4, sparse=self.sparse, dtype=torch.float64)
        with torch.no_grad():
            model.words.weight.fill_(2.0)
        return model

    def load_data(self, source: DataSource) -> Data:
        import torch

        split = (torch.zeros(1, 1, dtype=torch.float64),)
        return Data(split, split, split)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        import torch

        curvatures = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64, device=batch[0].device)
        rows = model.get_submodule("words")(torch.tensor([0, 1], device=batch[0].device))
        weights = (model.get_parameter("matrix"), model.get_parameter("vector"), rows)
        parts = [(curvatures * (weight - 0.5).square()).sum() for weight in weights]
        return 0.5 * torch.stack(parts).sum() + batch[0].sum()

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.loss(model, batch)

    @property
    def curvature(self) -> float:
        return 4.0
