"""Logistic regression against NumPy's and scikit-learn's."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression as Reference

from optbench.errors import UserError
from optbench.problem.data import Batch, DataSource
from optbench.problem.registry import make_problem
from optbench.problems.logistic_regression import LogisticRegression

NOWHERE = DataSource(Path("/nonexistent"), download=False)


def trained(problem: LogisticRegression, batch: Batch, steps: int = 60) -> torch.nn.Module:
    """In float64 to the bottom, by L-BFGS."""
    model = problem.model().double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = problem.loss(model, batch)
        loss.backward()
        return loss

    optimizer.step(closure)
    return model


@pytest.fixture(scope="module")
def digits() -> Batch:
    images, classes = LogisticRegression().load_data(NOWHERE).train
    return images.double(), classes


def test_all_classes_are_equally_likely_at_the_start(digits: Batch) -> None:
    problem = LogisticRegression(l2=3.0)
    assert problem.loss(problem.model().double(), digits).item() == pytest.approx(math.log(10), rel=1e-12)
    assert [tuple(p.shape) for p in problem.model().parameters()] == [(10, 64), (10,)]


@pytest.mark.parametrize("l2", [0.0, 0.7])
def test_loss_and_gradient_are_what_numpy_finds(l2: float, digits: Batch) -> None:
    problem, random = LogisticRegression(l2=l2), np.random.default_rng(0)
    chosen = torch.from_numpy(random.choice(len(digits[0]), 23))
    batch = tuple(part[chosen] for part in digits)
    weights, biases = random.normal(size=(10, 64)), random.normal(size=10)
    model = problem.model().double()
    for parameter, value in zip(model.parameters(), (weights, biases), strict=True):
        parameter.data = torch.from_numpy(value)
    loss = problem.loss(model, batch)
    loss.backward()
    x, y = batch[0].numpy().reshape(23, 64), batch[1].numpy()
    scores = x @ weights.T + biases
    likely = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    entropy = -np.mean([np.log(row[label]) for row, label in zip(likely, y, strict=True)])
    assert loss.item() == pytest.approx(entropy + l2 / 2 * (weights**2).sum(), rel=1e-9)
    wrong = likely - np.eye(10)[y]
    found = [parameter.grad.numpy() for parameter in model.parameters()]
    assert found[0] == pytest.approx(wrong.T @ x / 23 + l2 * weights, rel=1e-9, abs=1e-12)
    assert found[1] == pytest.approx(wrong.mean(axis=0), rel=1e-9, abs=1e-12)
    with torch.no_grad():
        reported, metric = problem.evaluate(model, batch)
        assert reported.item() == loss.item()
        assert metric.item() == problem.metric(model, batch).item() == pytest.approx(entropy, rel=1e-9)


def test_without_a_penalty_digits_have_no_minimum(digits: Batch) -> None:
    """For they can be told apart without an error: weights larger by a factor are always better."""
    problem = LogisticRegression(l2=0.0)
    model = trained(problem, digits)
    with torch.no_grad():
        assert torch.equal(model(digits[0]).argmax(1), digits[1])
        for parameter in model.parameters():
            parameter.mul_(1000)
        assert problem.loss(model, digits).item() < 1e-6


def test_its_minimum_is_that_of_scikit_learn(digits: Batch) -> None:
    """Whose C weighs the sum of the losses against half the sum of squares, biases left out there, too."""
    l2 = 0.05
    x, y = digits[0].numpy().reshape(len(digits[0]), 64), digits[1].numpy()
    reference = Reference(C=1 / (len(x) * l2), tol=1e-10, max_iter=1000).fit(x, y)
    model = trained(LogisticRegression(l2=l2), digits)
    assert model[1].weight.detach().numpy() == pytest.approx(reference.coef_, abs=1e-4)


def test_it_is_convex(digits: Batch) -> None:
    problem, random = LogisticRegression(l2=0.1), torch.Generator().manual_seed(1)
    models = [problem.model().double() for _ in range(3)]
    with torch.no_grad():
        for _ in range(5):
            for one, other, between in zip(*(model.parameters() for model in models), strict=True):
                one.copy_(torch.randn(one.shape, generator=random, dtype=torch.float64))
                other.copy_(torch.randn(one.shape, generator=random, dtype=torch.float64))
                between.copy_(0.3 * one + 0.7 * other)
            first, second, middle = (problem.loss(model, digits).item() for model in models)
            assert middle < 0.3 * first + 0.7 * second


def test_it_learns_digits_to_its_target(digits: Batch) -> None:
    problem = LogisticRegression()
    valid = problem.load_data(NOWHERE).valid
    found = problem.metric(trained(problem, digits), (valid[0].double(), valid[1])).item()
    assert problem.target is not None
    assert 0 < found < problem.target


def test_sizes_follow_the_data_and_replicas_are_chosen_for_small_ones() -> None:
    problem = LogisticRegression("mnist")
    assert problem.training_examples() == 55_000
    assert problem.model()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert LogisticRegression().stacks("cpu", 100)
    assert not problem.stacks("cpu", 10)
    assert problem.stacks("cuda", 10)


@pytest.mark.parametrize("l2", [-0.1, math.nan, math.inf])
def test_penalties_that_make_no_sense_are_refused_in_one_line(l2: float) -> None:
    with pytest.raises(UserError, match=r"^logistic_regression\[l2\] = .*accepted: (0 to 1e6|a number)\)$"):
        make_problem("logistic_regression", {"l2": l2})


def test_other_data_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"^unknown data of logistic_regression 'mnits'; did you mean 'mnist'"):
        make_problem("logistic_regression", {"data": "mnits"})
