"""Clipped gradients and averaged weights: equal to plain loops with torch's own functions, in every execution."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from optbench.budget import Ledger
from optbench.config.load import configure
from optbench.errors import UserError
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.training.clipping import Clipping
from optbench.training.device_data import load
from optbench.training.execution.capacity import estimate_replica_bytes
from optbench.training.execution.population import train_population
from optbench.training.execution.replica import Replica
from optbench.training.loop import Course, train
from optbench.training.stepper import UNCLIPPED, Stepper
from tests.support import normed
from tests.support.clipped import CLIPPED
from tests.support.own import OWN
from tests.support.passes import PASSES
from tests.support.tiny import TINY, TINY_NET

SOURCE = DataSource(Path("unused"), download=False)
NORMED = f"{normed.__file__}:Normed"
BUDGET = 400


def cell_of(problem: str, optimizer: str, **choices: Any) -> Cell:
    given = {"batch_sizes": [10], "devices": ["cpu"], "run_budget": f"{BUDGET}examples", "evaluations": 4, **choices}
    [cell] = make_plan(configure(problems=[problem], optimizers=[optimizer], **given)).cells
    return cell


def stepper_of(cell: Cell, seed: int = 0, budget: int = BUDGET) -> Stepper:
    return Stepper(cell, *load(cell.problem, SOURCE, cell.device), cell.optimizer.defaults, seed, Ledger(budget))


def record_batches(stepper: Stepper) -> list[Any]:
    """The list that receives the batches of a stepper."""
    seen: list[Any] = []
    draw = stepper._next_batch
    stepper._next_batch = lambda: seen.append(draw()) or seen[-1]  # type: ignore[func-returns-value, method-assign]
    return seen


def flat(model: nn.Module) -> np.ndarray:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy()


class TestPlainLoop:
    """One training by the stepper, and by a loop that a user would write."""

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize(
        ("name", "make"),
        [
            ("momentum", lambda params: torch.optim.SGD(params, lr=0.3, momentum=0.9)),
            ("adamw", lambda params: torch.optim.AdamW(params, lr=0.3, weight_decay=0.1)),
        ],
    )
    def test_clipped_and_averaged(self, name: str, make: Callable[[Any], torch.optim.Optimizer], seed: int) -> None:
        draw = np.random.default_rng(seed)
        norm, value, decay = draw.uniform(0.03, 0.1), draw.uniform(0.05, 0.2), draw.uniform(0.5, 0.95)
        exponential = f"average_decay={decay}"
        averaging = [exponential, "average_share=0.3", f"{exponential},average_share=0.5"][seed % 3]
        cell = cell_of(
            TINY_NET,
            f"{name}[lr=0.3,clip_norm={norm},clip_value={value},{averaging}"
            + (",weight_decay=0.1]" if name == "adamw" else "]"),
        )
        stepper = stepper_of(cell, seed)
        model, batches = copy.deepcopy(stepper.model), record_batches(stepper)
        optimizer = make(model.parameters())
        ema = get_ema_multi_avg_fn(decay) if "decay" in averaging else None
        averaged, begin = AveragedModel(model, multi_avg_fn=ema), {0: 0, 1: 28, 2: 20}[seed % 3]
        clipped = 0
        for step in range(40):
            assert stepper.step()
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batches[-1][0]), batches[-1][1])
            loss.backward()
            clip_grad_value_(model.parameters(), value)
            clipped += int(clip_grad_norm_(model.parameters(), norm) > norm)
            optimizer.step()
            if step >= begin:
                averaged.update_parameters(model)
            np.testing.assert_allclose(flat(stepper.model), flat(model), rtol=1e-5, atol=1e-6)
        assert clipped > 5
        with stepper.evaluating():
            np.testing.assert_allclose(flat(stepper.model), flat(averaged.module), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(flat(stepper.model), flat(model), rtol=1e-5, atol=1e-6)
        assert np.abs(flat(model) - flat(averaged.module)).max() > 1e-3

    def test_a_closure_is_clipped_in_each_of_its_calls(self) -> None:
        cell = cell_of(TINY_NET, "lbfgs[lr=0.5,line_search_fn=none,max_iter=3,clip_norm=0.1]")
        stepper = stepper_of(cell, budget=10**5)
        model, batches = copy.deepcopy(stepper.model), record_batches(stepper)
        given = {**cell.optimizer.fixed, "line_search_fn": None}
        optimizer = torch.optim.LBFGS(
            model.parameters(), lr=0.5, **{key: value for key, value in given.items() if key != "clip_norm"}
        )
        for _ in range(6):
            stepper.step()
            inputs, labels = batches[-1]

            def closure(inputs: Tensor = inputs, labels: Tensor = labels) -> Tensor:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(inputs), labels)
                loss.backward()
                clip_grad_norm_(model.parameters(), 0.1)
                return loss

            optimizer.step(closure)
        np.testing.assert_allclose(flat(stepper.model), flat(model), rtol=1e-5, atol=1e-6)

    def test_chunks_are_clipped_once_as_one_gradient(self) -> None:
        whole, chunked = (stepper_of(cell_of(TINY_NET, "sgd[lr=1,clip_norm=0.1]")) for _ in range(2))
        chunked._chunks = [3, 3, 4]
        for _ in range(10):
            whole.step()
            chunked.step()
        np.testing.assert_allclose(flat(chunked.model), flat(whole.model), rtol=1e-4, atol=1e-6)

    def test_a_differentiated_gradient_is_clipped_and_its_hessian_is_not(self) -> None:
        """The quadratic's diagonal is known: a Newton step by the clipped gradient, divided by it."""
        stepper = stepper_of(cell_of(f"{TINY}[condition=50]", f"{OWN}:Newton[clip_norm=0.01]"))
        batches = record_batches(stepper)
        for _ in range(3):
            before = stepper.model.position.detach().clone()
            stepper.step()
            gradient = torch.tensor([1.0, 50.0]) * (before - batches[-1][0].mean(0))
            clipped = gradient * min(1.0, 0.01 / (gradient.norm().item() + 1e-6))
            expected = before - clipped / torch.tensor([1.0, 50.0])
            np.testing.assert_allclose(stepper.model.position.detach(), expected, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("clipping", [Clipping(0.7, 0.0), Clipping(0.0, 0.3), Clipping(0.7, 0.3)])
    def test_a_sparse_gradient_is_clipped_as_the_dense_one(self, clipping: Clipping) -> None:
        random = torch.Generator().manual_seed(0)
        weight, words = torch.randn(6, 3, generator=random), torch.tensor([1, 4, 1, 1, 0])
        factors, ends = torch.randn(5, 3, generator=random), []
        for sparse in (True, False):
            table, other = nn.Embedding(6, 3, sparse=sparse), nn.Linear(3, 1, bias=False)
            table.weight.data, other.weight.data = weight.clone(), torch.ones(1, 3)
            (table(words) * factors * other.weight).sum().backward()
            parameters = [*table.parameters(), *other.parameters()]
            clipping.clip(parameters)
            assert table.weight.grad is not None
            assert table.weight.grad.is_sparse == sparse
            ends.append([parameter.grad.to_dense() for parameter in parameters])  # type: ignore[union-attr]
        for ours, dense in zip(*ends, strict=True):
            np.testing.assert_allclose(ours, dense, rtol=1e-6, atol=1e-7)


class TestPopulation:
    @pytest.mark.parametrize(
        "given",
        [
            "clip_norm=0.2",
            "clip_value=0.1",
            "average_decay=0.8",
            "average_share=0.5",
            "clip_norm=0.3,clip_value=0.1,average_decay=0.7,average_share=0.6",
        ],
    )
    @pytest.mark.parametrize(("problem", "name"), [(TINY_NET, "adam"), (f"{NORMED}[dropout=0]", "momentum")])
    def test_equals_single_trainings(self, given: str, problem: str, name: str) -> None:
        """Each replica is clipped by its own norm, and evaluated with its own average and its statistics."""
        cell = cell_of(problem, f"{name}[{given}]")
        problem_, data = load(cell.problem, SOURCE, cell.device)
        replicas = [Replica({"lr": rate}, seed) for rate, seed in ((0.1, 0), (0.01, 1), (0.03, 2))]
        stacked = train_population(cell, problem_, data, replicas, BUDGET, from_zero=True, test=True)
        for replica, record in zip(replicas, stacked, strict=True):
            single = train(cell, problem_, data, replica.hyperparameters, replica.seed, BUDGET, test=True)
            assert (record.status, record.cost, record.error) == (single.status, single.cost, single.error)
            assert record.optimizer_state_bytes == single.optimizer_state_bytes
            for ours, theirs in zip(record.points, single.points, strict=True):
                np.testing.assert_allclose(ours.valid_loss, theirs.valid_loss, rtol=1e-3)
                np.testing.assert_allclose(ours.train_loss, theirs.train_loss, rtol=1e-3)
            np.testing.assert_allclose(record.test_loss, single.test_loss, rtol=1e-3)

    def test_the_rule_of_execution_stacks_fixed_values_and_not_searched_ones(self) -> None:
        fixed = cell_of("mlp[data=digits]", "sgd[clip_norm=1,average_share=0.5]", batch_sizes=[32])
        assert fixed.execution.name == "population"
        table = {"t": {"base": "sgd", "search": {"clip_norm": [0, 1.0]}}}
        choices = {"problems": ["mlp[data=digits]"], "devices": ["cpu"], "batch_sizes": [32]}
        [searched] = make_plan(configure(optimizers=["t"], optimizer=table, **choices)).cells
        assert (searched.execution.name, searched.execution.reason) == (
            "eager", "tuning varies more than the learning rate",
        )  # fmt: skip


class TestAveraging:
    def test_batch_norm_has_statistics_of_the_averaged_weights(self) -> None:
        stepper = stepper_of(cell_of(f"{NORMED}[examples=150]", "sgd[lr=0.1,average_decay=0.9]"))
        for _ in range(15):
            stepper.step()
        trained = flat(stepper.model)
        with stepper.evaluating():
            assert np.abs(flat(stepper.model) - trained).max() > 1e-4
            inputs = stepper.data.train.batch(torch.arange(150))[0].double()
            first, linear, second = stepper.model[0], stepper.model[1], stepper.model[4]
            scaled = (inputs - inputs.mean(0)) / (inputs.var(0, correction=0) + first.eps).sqrt()
            scaled = scaled * first.weight.detach() + first.bias.detach()
            hidden = (scaled @ linear.weight.detach().double().T + linear.bias.detach().double()).relu()
            np.testing.assert_allclose(second.running_mean, hidden.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(flat(stepper.model), trained)

    def test_evaluations_are_those_of_the_average_and_training_is_not_changed(self) -> None:
        """The trained weights of a run whose weights are averaged are, bit by bit, those of one without."""
        ends = [stepper_of(cell_of(TINY_NET, text)) for text in ("sgd[lr=1]", "sgd[lr=1,average_share=1]")]
        means = []
        for stepper in ends:
            for _ in range(40):
                stepper.step()
                means.append(flat(stepper.model).astype(float))
                stepper.evaluate(stepper.data.valid)
        np.testing.assert_array_equal(flat(ends[0].model), flat(ends[1].model))
        with ends[1].evaluating():
            np.testing.assert_allclose(flat(ends[1].model), np.mean(means[40:], axis=0), rtol=1e-5, atol=1e-6)

    def test_weights_are_restored_if_an_evaluation_fails(self) -> None:
        stepper = stepper_of(cell_of(TINY_NET, "sgd[lr=1,average_decay=0.9]"))
        for _ in range(5):
            stepper.step()
        trained = flat(stepper.model)
        with pytest.raises(ZeroDivisionError), stepper.evaluating():
            raise ZeroDivisionError
        np.testing.assert_array_equal(flat(stepper.model), trained)

    def test_an_undone_step_is_not_averaged(self) -> None:
        stepper = stepper_of(cell_of(TINY_NET, f"{OWN}:Newton[average_decay=0.5]"), budget=30 + 29)
        assert stepper.step()
        assert not stepper.step()
        assert stepper.average is not None
        assert stepper.average.count == 1

    def test_an_average_of_less_than_two_steps_is_remarked(self) -> None:
        cell = cell_of(TINY_NET, "sgd[lr=0.1,average_share=0.02]")
        problem, data = load(cell.problem, SOURCE, cell.device)
        remark = "the weights were not averaged: the average has"
        assert train(cell, problem, data, {}, 0, BUDGET).error == f"{remark} 1 step"
        assert train(cell, problem, data, {}, 0, 95).error == f"{remark} no step"
        assert train(cell_of(TINY_NET, "sgd[lr=0.1,average_share=0.5]"), problem, data, {}, 0, BUDGET).error == ""

    @pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.7, 0.9, 1.0])
    def test_the_share_begins_at_the_step_that_it_names(self, share: float) -> None:
        stepper = stepper_of(cell_of(TINY_NET, f"sgd[average_share={share}]"))
        for _ in range(40):
            stepper.step()
        assert stepper.average is not None
        assert stepper.average.count == round(40 * share)

    def test_the_copy_counts_as_held_memory(self) -> None:
        plain, averaged = (stepper_of(cell_of(TINY_NET, text)) for text in ("adam", "adam[average_decay=0.9]"))
        for stepper in (plain, averaged):
            stepper.step()
        weights = 4 * flat(plain.model).size
        assert averaged.state_bytes() == (plain.state_bytes() or math.nan) + weights
        sizes = [
            estimate_replica_bytes(cell, *load(cell.problem, SOURCE, cell.device))
            for cell in (cell_of(TINY_NET, "adam"), cell_of(TINY_NET, "adam[average_decay=0.9]"))
        ]
        assert sizes[1] - sizes[0] == 2 * weights

    def test_an_optimizer_that_averages_is_refused_also_by_a_training(self) -> None:
        cell = cell_of(TINY_NET, f"{CLIPPED}:made_by_function[average_decay=0.9]")
        with pytest.raises(UserError, match="averages weights itself, so it can't be combined with average_decay"):
            stepper_of(cell)


@pytest.mark.parametrize("text", ["clip_norm=0.1", "clip_value=0.1", "average_decay=0.9", "average_share=0.5"])
@pytest.mark.parametrize("optimizer", ["sgd", f"{OWN}:Newton", f"{PASSES}:Sharp"])
def test_costs_are_equal_to_the_third_of_an_example(optimizer: str, text: str) -> None:
    ledgers = []
    for chosen in (optimizer, f"{optimizer}[{text}]"):
        cell = cell_of(TINY, chosen)
        course = Course(cell, *load(cell.problem, SOURCE, cell.device), cell.optimizer.defaults, 0, BUDGET)
        course.advance(4)
        assert course.record.status == "ok", course.record.traceback
        ledgers.append((course.ledger.thirds, course.ledger.forwards, course.ledger.backwards))
    assert ledgers[0] == ledgers[1]


@pytest.mark.parametrize("text", ["clip_norm=0.1", "average_decay=0.9"])
def test_a_diverged_training_is_diverged(text: str) -> None:
    cell = cell_of(TINY_NET, f"{PASSES}:Overflowing[{text}]")
    record = train(cell, *load(cell.problem, SOURCE, cell.device), {"lr": 0.1}, 0, BUDGET)
    assert record.status == "diverged"


def test_an_optimizer_that_differentiates_the_loss_itself_cant_be_clipped() -> None:
    """Only then: without clipping, and with a closure that computes the gradients, it trains."""
    data = None
    for text, error in (("program=gl,clip_norm=1", UNCLIPPED), ("program=gl", ""), ("program=gh,clip_norm=1", "")):
        cell = cell_of(TINY_NET, f"{PASSES}:Program[{text}]")
        problem, data = load(cell.problem, SOURCE, cell.device)
        record = train(cell, problem, data, {"lr": 1e-3}, 0, BUDGET)
        assert (record.status, error in record.error) == ("error" if error else "ok", True), record.error
