"""Evaluations of whole splits: counts that are divided once, metrics of all predictions, models that remember."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optbench import Data, DataSource, Problem
from optbench.config.load import configure
from optbench.errors import UserError
from optbench.planning.matrix import make_plan
from optbench.problem.data import Batch
from optbench.problem.registry import make_problem
from optbench.training.device_data import Split, load
from optbench.training.evaluation import evaluate_split, measure_batch, sum_counts
from optbench.training.execution.population import train_population
from optbench.training.execution.replica import Replica
from optbench.training.loop import train

SOURCE = DataSource(Path("unused"), download=False)
HERE = __file__


@dataclass(frozen=True)
class Signs(Problem):
    """A linear model of the sign of the first of two numbers."""

    name = "signs"
    run_budget = "2epochs"
    evaluation_batch = 25

    def load_data(self, source: DataSource) -> Data:
        x = torch.randn(297 + 200, 2, generator=torch.Generator().manual_seed(0))
        y = (x[:, 0] > 0.8).float()
        return Data((x[297:], y[297:]), (x[:297], y[:297]), (x[:50], y[:50]))

    def model(self) -> nn.Module:
        return nn.Linear(2, 1)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(batch[0]).squeeze(1), batch[1])

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return ((model(batch[0]).squeeze(1) > 0) == (batch[1] > 0)).float().mean()


@dataclass(frozen=True)
class F1(Signs):
    """The same, judged by F1, which is not a mean over examples."""

    name = "f1"
    metric_name = "F1"
    metric = Problem.metric

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(batch[0]).squeeze(1)

    def score(self, predictions: Tensor, batch: Batch) -> float:
        positive, real = predictions.numpy() > 0, batch[1].numpy() > 0
        return 2 * float((positive & real).sum()) / max(float(positive.sum() + real.sum()), 1.0)


@dataclass(frozen=True)
class Remembering(Signs):
    """Stores a tensor of its first forward pass, which is an evaluation."""

    name = "remembering"

    def model(self) -> nn.Module:
        class Model(nn.Linear):
            scale: Tensor | None = None

            def forward(self, x: Tensor) -> Tensor:
                if self.scale is None:
                    self.scale = x.new_ones(2)
                return super().forward(x * self.scale)

        return Model(2, 1)


@dataclass(frozen=True)
class Forces(Signs):
    """Differentiates with respect to its inputs, in evaluations too."""

    name = "forces"

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        with torch.enable_grad():
            x = batch[0].clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(model(x).square().sum(), [x], create_graph=model.training)
        return (slope.sum(1) - batch[1]).square().mean()


def cell_of(problem: str, **choices: Any) -> Any:
    choices = {"batch_sizes": [20], "devices": ["cpu"], "run_budget": "200examples", **choices}
    [cell] = make_plan(configure(problems=[f"{HERE}:{problem}"], optimizers=["sgd"], **choices)).cells
    return cell


@pytest.mark.parametrize("size", [1, 7, 25, 100, 250, 297])
def test_equal_counts_are_equal_in_batches_of_every_size(size: int) -> None:
    """All 298 counts of 297 examples, of which the first are right, or the last."""
    answers = torch.arange(297)
    for count in range(0, 298, 9):
        for right in (answers < count, answers >= 297 - count):
            split = Split((right.float(),), "cpu", channels_last=False)
            means = evaluate_split(Signs(), lambda batch: (batch[0].mean(), batch[0].mean()), split, size)
            assert means[1].item() == count / 297


def test_other_means_are_left_alone() -> None:
    values = torch.tensor([1e-9, 0.3333333, 2.499, 1e9 + 0.5], dtype=torch.float64)
    torch.testing.assert_close(sum_counts(values, 3, torch.float64), 3 * values, rtol=1e-15, atol=0)
    assert sum_counts(torch.tensor(2e-8), 250, torch.float64).item() == pytest.approx(5e-6)


@pytest.mark.parametrize("size", [7, 25, 297])
def test_a_metric_of_all_predictions_does_not_depend_on_batches(size: int) -> None:
    problem = F1()
    torch.manual_seed(0)
    model, split = problem.model(), load(cell_of("F1").problem, SOURCE, "cpu")[1].valid
    [(x, y)] = split.chunks(297)
    with torch.no_grad():
        means = evaluate_split(problem, lambda batch: measure_batch(problem, model, batch), split, size)
        positive = model(x).squeeze(1) > 0
        expected = 2 * (positive & (y > 0)).sum() / (positive.sum() + (y > 0).sum())
        loss = nn.functional.binary_cross_entropy_with_logits(model(x).squeeze(1), y)
    np.testing.assert_allclose(means, [loss, expected], rtol=1e-6)


def test_populations_aggregate_each_replicas_predictions() -> None:
    cell = cell_of("F1")
    problem, data = load(cell.problem, SOURCE, cell.device)
    singles = [train(cell, problem, data, {"lr": rate}, seed, 200, test=True) for seed, rate in enumerate((0.1, 1.0))]
    replicas = [Replica({"lr": rate}, seed) for seed, rate in enumerate((0.1, 1.0))]
    together = train_population(cell, problem, data, replicas, 200, from_zero=True, test=True)
    assert [one.test_metric for one in singles] == pytest.approx([one.test_metric for one in together])
    assert singles[0].test_metric != singles[1].test_metric


@pytest.mark.parametrize("problem", ["Remembering", "Forces"])
def test_models_that_cache_or_differentiate_in_an_evaluation_train(problem: str) -> None:
    cell = cell_of(problem)
    record = train(cell, *load(cell.problem, SOURCE, cell.device), {"lr": 0.1}, 0, 200, test=True)
    assert (record.status, record.error) == ("ok", "")
    assert np.isfinite(record.test_loss)


def test_a_problem_without_a_metric_is_refused() -> None:
    with pytest.raises(UserError, match="problem half has no metric: define metric"):
        make_problem(f"{HERE}:Half", {})


@dataclass(frozen=True)
class Half(F1):
    name = "half"
    score = Problem.score
