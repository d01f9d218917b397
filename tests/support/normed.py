"""A network with batch norm, dropout between two layers, inputs of another scale, and an optimizer that nudges."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from optbench import Data, DataSource, Problem
from optbench.problem.data import Batch


@dataclass(frozen=True)
class Normed(Problem):
    """Three classes of inputs whose scale is far from 1."""

    name = "normed"
    run_budget = "2epochs"
    couples_examples = True

    examples: int = 200
    dropout: float = 0.5

    def load_data(self, source: DataSource) -> Data:
        x = 5 + 20 * torch.randn(self.examples + 80, 4, generator=torch.Generator().manual_seed(0))
        y = (x[:, :3] + x[:, 1:]).argmax(1)
        parts = slice(80, None), slice(40), slice(40, 80)
        train, valid, test = ((x[part], y[part]) for part in parts)
        return Data(train, valid, test)

    def model(self) -> nn.Module:
        dropout = nn.Dropout(self.dropout) if self.dropout else nn.Identity()
        second = nn.BatchNorm1d(16, momentum=0.2)
        return nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 16), nn.ReLU(), dropout, second, nn.Linear(16, 3))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return (model(batch[0]).argmax(1) == batch[1]).float().mean()


class NudgedSGD(torch.optim.SGD):
    """SGD that is evaluated with one weight that is one unit in the last place larger."""

    _held: Tensor | None = None

    @torch.no_grad()
    def eval(self) -> None:
        if self._held is None:
            weight = self.param_groups[0]["params"][0]
            self._held = weight.clone()
            weight.view(-1)[0] = torch.nextafter(weight.view(-1)[0], torch.tensor(9.0))

    @torch.no_grad()
    def train(self) -> None:
        if self._held is not None:
            self.param_groups[0]["params"][0].copy_(self._held)
            self._held = None
