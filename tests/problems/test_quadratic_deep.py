"""The noisy quadratic with a network's spectrum, against its closed form in NumPy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from optbench.config.schema import Config
from optbench.errors import UserError
from optbench.planning.matrix import make_plan
from optbench.problem.data import DataSource
from optbench.problem.registry import make_problem
from optbench.problems.quadratic_deep import QuadraticDeep

NOWHERE = DataSource(Path("/nonexistent"), download=False)
VARIANTS = [QuadraticDeep(), QuadraticDeep(dim=3, examples=40, noise=2.0), QuadraticDeep(dim=25, noise=0.0)]


def hessian_of(problem: QuadraticDeep) -> np.ndarray:
    """From the outside: the gradient is linear, so its values at the unit vectors are the rows."""
    rows, origin = [], problem.batch(np.zeros((1, problem.dim)))
    for direction in np.eye(problem.dim):
        model = problem.model()
        model.position.data = torch.from_numpy(direction)
        problem.loss(model, origin).backward()
        rows.append(model.position.grad.numpy())
    return np.array(rows)


@pytest.mark.parametrize("problem", VARIANTS, ids=str)
def test_nine_eigenvalues_in_ten_are_small_and_the_others_large(problem: QuadraticDeep) -> None:
    found = np.linalg.eigvalsh(hessian_of(problem))
    large = max(problem.dim // 10, 1)
    assert ((found[:-large] > 0) & (found[:-large] < 1)).all()
    assert ((found[-large:] > 30) & (found[-large:] < 60)).all()
    assert problem.curvature == pytest.approx(found[-1], rel=1e-12)


def test_at_a_hundred_dimensions_they_are_those_of_deepobs() -> None:
    random = np.random.RandomState(42)
    drawn = np.concatenate((random.uniform(0.0, 1.0, 90), random.uniform(30.0, 60.0, 10)))
    assert np.linalg.eigvalsh(hessian_of(QuadraticDeep())) == pytest.approx(np.sort(drawn), rel=1e-9)


def test_no_eigenvector_is_near_an_axis() -> None:
    _, vectors = np.linalg.eigh(hessian_of(QuadraticDeep()))
    assert np.abs(vectors).max() < 0.5


@pytest.mark.parametrize("problem", VARIANTS, ids=str)
def test_loss_gradient_and_metric_follow_the_closed_form(problem: QuadraticDeep) -> None:
    random, hessian = np.random.default_rng(0), hessian_of(problem)
    points, position = problem.load_data(NOWHERE).train[0].numpy(), random.normal(size=problem.dim)
    batch = random.choice(points, size=17)
    model = problem.model()
    model.position.data = torch.from_numpy(position)
    loss = problem.loss(model, problem.batch(batch))
    loss.backward()
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(np.mean([(position - x) @ hessian @ (position - x) / 2 for x in batch]), 1e-10)
    assert model.position.grad.numpy() == pytest.approx(hessian @ (position - batch.mean(axis=0)), rel=1e-9, abs=1e-9)
    with torch.no_grad():
        everything = problem.batch(points)
        excess = problem.loss(model, everything).item() - np.mean([x @ hessian @ x / 2 for x in points])
        assert problem.metric(model, everything).item() == pytest.approx(excess, rel=1e-9)


def test_gradient_descent_is_the_power_of_a_matrix() -> None:
    """With all points a batch, k steps from w₀ end at (1 − ηA)ᵏ w₀, for the points are centred."""
    problem, rate, steps = QuadraticDeep(), 0.03, 40
    everything, model = problem.load_data(NOWHERE).train, problem.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        problem.loss(model, everything).backward()
        optimizer.step()
    values, vectors = np.linalg.eigh(hessian_of(problem))
    expected = vectors @ ((1 - rate * values) ** steps * (vectors.T @ np.ones(problem.dim)))
    assert model.position.detach().numpy() == pytest.approx(expected, rel=1e-9, abs=1e-11)


def test_the_noise_of_the_gradient_follows_the_curvature() -> None:
    """Of one point it is A ξ, with covariance noise² A²: along an eigenvector the deviation is noise times λ."""
    problem = QuadraticDeep(examples=4000)
    values, vectors = np.linalg.eigh(hessian_of(problem))
    gradients = problem.load_data(NOWHERE).train[0].numpy() @ hessian_of(problem)
    assert (gradients @ vectors).std(axis=0) == pytest.approx(problem.noise * values, rel=0.06)


def test_start_target_and_rates_come_from_the_hessian() -> None:
    problem, ones = QuadraticDeep(), np.ones(100)
    assert problem.model().position.tolist() == ones.tolist()
    assert problem.target == pytest.approx(1e-2 * ones @ hessian_of(problem) @ ones / 2, rel=1e-9)
    [cell] = make_plan(Config(problems=["quadratic_deep"], optimizers=["sgd"], batch_sizes=[10])).cells
    bounds = np.array(cell.optimizer.search["lr"].bounds)
    assert bounds == pytest.approx(np.array([4e-4, 4]) / np.linalg.eigvalsh(hessian_of(problem))[-1], rel=1e-9)


@pytest.mark.parametrize(
    ("parameter", "value"), [("dim", 1), ("dim", 5000), ("examples", 0), ("noise", -1.0), ("noise", math.nan)]
)
def test_values_out_of_range_are_refused_in_one_line(parameter: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"^quadratic_deep\[{parameter}\] = .*accepted: [^\n]*$"):
        make_problem("quadratic_deep", {parameter: value})
