"""The statistics of normalisation layers at an evaluation, against plain loops, for every optimizer and execution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optbench.budget import Ledger
from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.training.device_data import Split, load
from optbench.training.execution.population import train_population
from optbench.training.execution.replica import Replica
from optbench.training.loop import train
from optbench.training.norm_statistics import collecting_norms, fresh_statistics, statistics_of
from optbench.training.stepper import Stepper
from tests.support import normed
from tests.support.own import OWN

SOURCE = DataSource(Path("unused"), download=False)
NORMED = f"{normed.__file__}:Normed"


def cell_of(problem: str, optimizer: str, **choices: Any) -> Cell:
    choices = {"batch_sizes": [10], "devices": ["cpu"], **choices}
    [cell] = make_plan(configure(problems=[problem], optimizers=[optimizer], **choices)).cells
    return cell


def stepper_of(cell: Cell, steps: int = 5) -> Stepper:
    stepper = Stepper(cell, *load(cell.problem, SOURCE, cell.device), cell.optimizer.defaults, 0, Ledger(10**6))
    for _ in range(steps):
        stepper.step()
    return stepper


@pytest.mark.parametrize("optimizer", ["sgd", f"{OWN}:Averaging"])
def test_all_optimizers_are_evaluated_with_statistics_of_the_evaluated_weights(optimizer: str) -> None:
    """Of two layers with dropout between them, in float64: dropout is off, as it is in the evaluation."""
    stepper = stepper_of(cell_of(f"{NORMED}[examples=150]", optimizer))
    first, linear, second = stepper.model[0], stepper.model[1], stepper.model[4]
    with stepper.evaluating():
        inputs = stepper.data.train.batch(torch.arange(150))[0].double()
        assert not any(module.training for module in stepper.model.modules())
        np.testing.assert_allclose(first.running_mean, inputs.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(first.running_var, inputs.var(0), rtol=1e-5)
        weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
        scaled = (inputs - inputs.mean(0)) / (inputs.var(0, correction=0) + first.eps).sqrt()
        scaled = scaled * first.weight.detach() + first.bias.detach()
        hidden = (scaled @ weight.T + bias).relu()
        np.testing.assert_allclose(second.running_mean, hidden.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(second.running_var, hidden.var(0), rtol=1e-4, atol=1e-5)


def test_the_training_continues_as_if_nothing_had_been_evaluated() -> None:
    stepper = stepper_of(cell_of(NORMED, "sgd"))
    before = {name: tensor.clone() for name, tensor in stepper.model.state_dict().items()}
    momenta = [norm.momentum for _, norm in collecting_norms(stepper.model)]
    numbers = torch.get_rng_state()
    stepper.evaluate(stepper.data.valid)
    with pytest.raises(ZeroDivisionError), stepper.evaluating():
        raise ZeroDivisionError
    assert all(torch.equal(before[name], tensor) for name, tensor in stepper.model.state_dict().items())
    assert momenta == [norm.momentum for _, norm in collecting_norms(stepper.model)] == [0.1, 0.2]
    assert all(module.training for module in stepper.model.modules())
    assert torch.equal(numbers, torch.get_rng_state())


def test_equal_weights_have_equal_losses_whatever_the_optimizer_does_at_an_evaluation() -> None:
    """The second optimizer moves one weight by one unit in the last place when it is evaluated."""
    [plain], [nudged] = (
        stepper_of(cell_of(NORMED, optimizer)).evaluate(
            load(cell_of(NORMED, optimizer).problem, SOURCE, "cpu")[1].valid
        )
        for optimizer in ("sgd", f"{normed.__file__}:NudgedSGD")
    )
    assert plain[0].loss == pytest.approx(nudged[0].loss, rel=1e-5)


@pytest.mark.parametrize("examples", [250, 251, 252])
def test_one_example_more_than_a_chunk_is_no_chunk_of_its_own(examples: int) -> None:
    [[evaluation]] = stepper_of(cell_of(f"{NORMED}[examples={examples}]", "sgd")).evaluate(
        load(cell_of(f"{NORMED}[examples={examples}]", "sgd").problem, SOURCE, "cpu")[1].valid
    )
    assert np.isfinite(evaluation.loss)


def test_chunks_count_by_their_examples() -> None:
    """A mean over 7 examples in chunks of 2, 2 and 3; chunks that count alike would give another."""
    values = torch.tensor([0.0, 1.0, 2.0, 3.0, 10.0, 20.0, 30.0])[:, None]
    norm = nn.BatchNorm1d(1).eval()
    split = Split((values,), "cpu", channels_last=False)
    with fresh_statistics([norm], [*norm.buffers()], lambda batch: norm(batch[0]), split, evaluation_batch=3):
        assert norm.running_mean.item() == pytest.approx(values.mean().item())
        assert (norm.training, norm.momentum) == (False, 0.1)


def test_statistics_that_are_not_finite_are_replaced_too() -> None:
    norm = nn.BatchNorm1d(1).eval()
    norm.running_var.fill_(torch.inf)
    split = Split((torch.randn(20, 1),), "cpu", channels_last=False)
    with fresh_statistics([norm], [*norm.buffers()], lambda batch: norm(batch[0]), split, evaluation_batch=10):
        assert torch.isfinite(norm.running_var).all()
    assert torch.isinf(norm.running_var).all()


def test_statistics_that_training_does_not_change_are_kept() -> None:
    """A layer that the model's train() leaves in evaluation mode, one with a momentum of 0, and one without any."""

    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> Frozen:
            super().train(mode)
            self[0].eval()
            return self

    norms = nn.BatchNorm1d(2), nn.BatchNorm1d(2, momentum=0.0), nn.BatchNorm1d(2, track_running_stats=False)
    collecting = nn.BatchNorm1d(2)
    assert [norm for _, norm in collecting_norms(Frozen(*norms, collecting).train())] == [collecting]


class _Counting(nn.Module):
    """Counts its passes in training mode, as layers with statistics of their own do."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: Tensor
        self.register_buffer("passes", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.passes += 1
        return x


def test_other_layers_take_no_notice() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), _Counting()).eval()
    split = Split((torch.randn(20, 2),), "cpu", channels_last=False)
    with fresh_statistics([model[0]], [*model[0].buffers()], lambda batch: model(batch[0]), split, evaluation_batch=10):
        assert model[1].passes == 0


def test_a_population_has_the_statistics_of_single_trainings() -> None:
    cell = cell_of(f"{NORMED}[dropout=0]", "sgd", run_budget="600examples")
    problem, data = load(cell.problem, SOURCE, cell.device)
    rates = [0.01, 0.1, 0.3]
    singles = [train(cell, problem, data, {"lr": rate}, seed, 600, test=True) for seed, rate in enumerate(rates)]
    replicas = [Replica({"lr": rate}, seed) for seed, rate in enumerate(rates)]
    together = train_population(cell, problem, data, replicas, 600, from_zero=True, test=True)
    for single, stacked in zip(singles, together, strict=True):
        assert (single.status, stacked.status) == ("ok", "ok")
        losses = [[point.valid_loss for point in record.points] for record in (single, stacked)]
        np.testing.assert_allclose(*losses, rtol=1e-4)
        assert single.test_loss == pytest.approx(stacked.test_loss, rel=1e-4)


class _Branching(nn.Module):
    """Norms that are called twice, by some batches only, or never; one with a constant of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.some, self.never = (nn.BatchNorm1d(1) for _ in range(3))
        self.twice.register_buffer("gain", torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(x) + self.twice(input=x + 100)
        return self.some(x) if bool(x.isnan().any()) else x


def test_each_call_of_a_layer_counts_and_a_layer_that_is_not_reached_keeps_its_statistics() -> None:
    values = torch.arange(20.0)[:, None]
    model, split = _Branching().eval(), Split((values,), "cpu", channels_last=False)
    norms = [model.twice, model.some, model.never]
    with fresh_statistics(norms, statistics_of(norms), lambda batch: model(batch[0]), split, evaluation_batch=7):
        assert model.twice.running_mean.item() == pytest.approx((values.mean() + (values + 100).mean()).item() / 2)
        assert [norm.running_var.item() for norm in (model.some, model.never)] == [1.0, 1.0]
        assert model.twice.get_buffer("gain") == 2.0
    assert model.twice.running_mean.item() == 0.0
