"""The plane functions against their formulas in NumPy, their minima and curvatures by finite differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime

from optbench.errors import UserError
from optbench.problem.data import DataSource, Plane
from optbench.problem.registry import make_problem
from optbench.problems.plane_functions import (
    Beale,
    Branin,
    PlaneFunction,
    Rastrigin,
    Rosenbrock,
    StyblinskiTang,
)

NOWHERE = DataSource(Path("/nonexistent"), download=False)
PROBLEMS = [
    Rosenbrock(),
    Rosenbrock(steepness=7.0),
    Rastrigin(),
    Rastrigin(ripple=3.0, x=-1.0, y=0.5),
    Beale(),
    Branin(),
    StyblinskiTang(),
    StyblinskiTang(x=2.0, y=-3.0),
]


def plain(problem: PlaneFunction, w: np.ndarray) -> float:
    """The textbook's formula as a loop."""
    x, y = map(float, w)
    if isinstance(problem, Rosenbrock):
        return (1 - x) ** 2 + problem.steepness * (y - x * x) ** 2
    if isinstance(problem, Rastrigin):
        return sum(v * v + problem.ripple * (1 - math.cos(2 * math.pi * v)) for v in (x, y))
    if isinstance(problem, Branin):
        b, c, t = 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
        return (y - b * x**2 + c * x - 6) ** 2 + 10 * (1 - t) * math.cos(x) + 10 - 0.39788735772973816
    if isinstance(problem, StyblinskiTang):
        return 0.5 * sum(v**4 - 16 * v**2 + 5 * v for v in (x, y)) + 2 * 39.166165703771412
    return sum((c - x + x * y**i) ** 2 for i, c in enumerate((1.5, 2.25, 2.625), start=1))


def hessian(problem: PlaneFunction, w: np.ndarray) -> np.ndarray:
    model = problem.model()
    batch = problem.load_data(NOWHERE).train

    def value(position: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(Wrapped(problem, model), {"model.position": position}, (batch,))

    return torch.func.hessian(value)(torch.from_numpy(w)).numpy()


class Wrapped(torch.nn.Module):
    def __init__(self, problem: PlaneFunction, model: torch.nn.Module) -> None:
        super().__init__()
        self.problem, self.model = problem, model

    def forward(self, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return self.problem.loss(self.model, batch)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_loss_and_gradient(problem: PlaneFunction) -> None:
    model, batch = problem.model(), problem.load_data(NOWHERE).train
    for w in [np.array(problem.plane.start), *np.random.default_rng(0).uniform(-2, 2, (5, 2))]:
        with torch.no_grad():
            model.position.copy_(torch.from_numpy(w))
        loss = problem.loss(model, batch)
        assert loss.item() == pytest.approx(plain(problem, w), rel=1e-12, abs=1e-12)
        (gradient,) = torch.autograd.grad(loss, [model.position])
        np.testing.assert_allclose(gradient, approx_fprime(w, lambda v: plain(problem, v)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_minimum_is_one_and_the_curvature_is_that_at_it(problem: PlaneFunction) -> None:
    minimum = np.array(problem.plane.minimum)
    assert plain(problem, minimum) == pytest.approx(0, abs=1e-12)
    assert problem.value(*problem.plane.minimum) == pytest.approx(0, abs=1e-20)
    eigenvalues = np.linalg.eigvalsh(hessian(problem, minimum))
    assert eigenvalues.min() > 0
    assert problem.curvature == pytest.approx(eigenvalues.max(), rel=1e-9)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_start_and_minimum_lie_in_the_domain(problem: PlaneFunction) -> None:
    for place in (problem.plane.start, problem.plane.minimum):
        for value, (low, high) in zip(place, problem.plane.domain, strict=True):
            assert low < value < high
    assert tuple(problem.model().position.tolist()) == problem.plane.start
    assert problem.target == pytest.approx(1e-3 * plain(problem, np.array(problem.plane.start)))


def test_stacked_losses_are_those_of_each_replica() -> None:
    positions = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (4, 2)))
    for problem in PROBLEMS:
        model = problem.model()
        found = problem.stacked_loss(model, {"position": positions}, ())
        assert found.tolist() == pytest.approx([plain(problem, w.numpy()) for w in positions])


@pytest.mark.parametrize(
    ("name", "parameters", "complaint"),
    [
        ("rosenbrock", {"steepness": 0}, "rosenbrock[steepness] = 0.0 is out of range (accepted: above 0"),
        ("rastrigin", {"ripple": -1}, "rastrigin[ripple] = -1.0 is out of range (accepted: 0 to"),
        ("rastrigin", {"x": 4}, "rastrigin[x] = 4.0 is out of range (accepted: between -3.5 and 3.5)"),
        ("beale", {"order": "random"}, "unknown order of beale 'random' (accepted: replacement, sequential, shuffled)"),
    ],
)
def test_bad_parameters(name: str, parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        make_problem(name, parameters)
    assert complaint in str(caught.value)


@dataclass(frozen=True)
class Sunk(Rosenbrock):
    """With a minimum of `depth`."""

    depth: float = -50.0

    def value(self, x: Any, y: Any) -> Any:
        return super().value(x, y) + self.depth


@pytest.mark.parametrize("depth", [-50.0, 7.0])
def test_values_are_measured_from_the_minimum_whatever_that_is(depth: float) -> None:
    plain_one, sunk = Rosenbrock(), Sunk(depth=depth)
    assert sunk.minimum_value == depth
    assert sunk.target == pytest.approx(plain_one.target)
    model, batch = sunk.model(), sunk.load_data(NOWHERE).train
    initial = sunk.metric(model, batch).item()
    assert initial == sunk.loss(model, batch).item() == pytest.approx(plain_one.loss(model, batch).item())
    stacked = sunk.stacked_loss(model, {"position": torch.tensor([[-1.2, 1.0], [1.0, 1.0]])}, batch)
    assert stacked.tolist() == pytest.approx([initial, 0], rel=1e-6)


def test_the_minimum_may_be_said_where_its_place_is_only_nearly_known() -> None:
    class Known(Sunk):
        minimum_value = -50.5  # type: ignore[assignment]

    assert Known().target == pytest.approx(Rosenbrock().target + 0.5e-3)


def test_a_function_may_be_made_of_those_of_torch() -> None:
    @dataclass(frozen=True)
    class Own(PlaneFunction):
        name = "own"
        plane = Plane(start=(2, 1), minimum=(0, 0), domain=((-3, 3), (-3, 3)))

        def value(self, x: Any, y: Any) -> Any:
            return torch.sin(x) ** 2 + y.cosh()

    assert Own().minimum_value == 1
    assert Own().target == pytest.approx(1e-3 * (np.sin(2) ** 2 + np.cosh(1) - 1), rel=1e-12)
