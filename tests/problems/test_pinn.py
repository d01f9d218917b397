"""The physics-informed network: its derivatives by other ways, its loss by quadrature, that it finds the solution."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from optbench.errors import UserError
from optbench.problem.data import DataSource
from optbench.problems.pinn import Pinn
from optbench.training.device_data import Split
from optbench.training.evaluation import evaluate

NOWHERE = DataSource(Path("/nonexistent"), download=False)
PROBLEMS = [Pinn(), Pinn(frequency=2, points=40), Pinn(frequency=7, boundary=3.0, layers=3, hidden=5)]


class Known(torch.nn.Module):
    """A function with its derivatives in the place of a network."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def derivatives(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first = torch.func.grad(self.function)
        return tuple(torch.func.vmap(f)(x) for f in (self.function, first, torch.func.grad(first)))


def solution(problem: Pinn, scale: float = 1.0, shift: float = 0.0) -> Known:
    k = problem.frequency
    return Known(lambda x: scale * (torch.sin(math.pi * x) + torch.sin(k * math.pi * x) / 2) + shift)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_derivatives_are_those_of_autograd(layers: int) -> None:
    model = Pinn(layers=layers, hidden=9).model()
    x = torch.rand(20, dtype=torch.float64, requires_grad=True)
    value = model(x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    for found, expected in zip(model.derivatives(x), (value, first, second), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_force_is_minus_the_second_derivative(problem: Pinn) -> None:
    x = np.random.RandomState(5).uniform(size=30)
    h = 1e-4
    bent = (problem.solution(x - h) - 2 * problem.solution(x) + problem.solution(x + h)) / h**2
    np.testing.assert_allclose(problem.force(x), -bent, rtol=1e-4, atol=1e-3 * problem.frequency**2)
    np.testing.assert_allclose(problem.solution(np.array([0.0, 1.0])), 0, atol=1e-12)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_solution_has_no_loss_and_no_error(problem: Pinn) -> None:
    loss, error = problem.evaluate(solution(problem), problem.load_data(NOWHERE).train)
    assert float(loss) < 1e-20
    assert float(error) < 1e-25


@pytest.mark.parametrize("problem", PROBLEMS)
def test_loss_and_error_of_another_function_are_integrals(problem: Pinn) -> None:
    """At the points of a fine grid means are integrals, here of 1.3 u + 0.2."""
    grid = (np.arange(20_000) + 0.5) / 20_000
    batch = tuple(map(torch.from_numpy, (grid, problem.force(grid), problem.solution(grid))))
    loss, error = problem.evaluate(solution(problem, 1.3, 0.2), batch)
    force2 = quad(lambda x: float(problem.force(np.array(x))) ** 2, 0, 1, limit=200)[0]
    solution2 = quad(lambda x: float(problem.solution(np.array(x))) ** 2, 0, 1, limit=200)[0]
    wrong = quad(lambda x: (0.3 * float(problem.solution(np.array(x))) + 0.2) ** 2, 0, 1, limit=200)[0]
    assert float(loss) == pytest.approx(0.3**2 * force2 / force2 + problem.boundary * 2 * 0.2**2, rel=1e-6)
    assert float(error) == pytest.approx(wrong / solution2, rel=1e-6)
    assert float(problem.loss(solution(problem, 1.3, 0.2), batch)) == float(loss)
    assert float(problem.metric(solution(problem, 1.3, 0.2), batch)) == float(error)


def test_it_is_evaluated_where_gradients_are_off() -> None:
    problem = Pinn()
    model, data = problem.model(), problem.load_data(NOWHERE)
    found = evaluate(problem, model, Split(data.valid, "cpu", False))
    assert found.loss == pytest.approx(float(problem.loss(model, data.valid)), rel=1e-12)
    assert found.metric == pytest.approx(float(problem.metric(model, data.valid)), rel=1e-12)


def test_replicas_at_once_have_the_losses_of_each() -> None:
    problem = Pinn(hidden=6)
    models = [problem.model() for _ in range(3)]
    batch = tuple(part[:8] for part in problem.load_data(NOWHERE).train)
    stacked, _ = torch.func.stack_module_state(models)

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = models[0]

        def forward(self) -> torch.Tensor:
            return problem.loss(self.model, batch)

    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(Loss(), {f"model.{n}": p for n, p in parameters.items()}, ())

    found = torch.func.vmap(loss)(stacked)
    torch.testing.assert_close(found, torch.stack([problem.loss(model, batch) for model in models]))


def test_gradients_can_be_differentiated() -> None:
    problem = Pinn(hidden=4)
    model = problem.model()
    batch = problem.load_data(NOWHERE).train
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(problem.loss(model, batch), parameters, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in gradients), parameters)
    assert all(torch.isfinite(part).all() and part.abs().max() > 0 for part in second)


def test_lbfgs_finds_the_solution() -> None:
    problem = Pinn(frequency=2, points=60, hidden=10)
    data = problem.load_data(NOWHERE)
    torch.manual_seed(0)
    model = problem.model()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=250, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = problem.loss(model, data.train)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(problem.metric(model, data.test)) < 1e-3


def test_replicas_are_stacked_where_that_gains() -> None:
    assert Pinn().stacks("cpu", 250)
    assert not Pinn().stacks("cpu", 500)
    assert not Pinn(hidden=128).stacks("cpu", 100)
    assert Pinn(hidden=128).stacks("cuda", 500)


@pytest.mark.parametrize("wrong", [
    {"frequency": 1}, {"frequency": 101}, {"points": 0}, {"hidden": 0}, {"layers": 0}, {"boundary": 0.0},
    {"boundary": math.inf}, {"boundary": math.nan},
])  # fmt: skip
def test_values_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    [parameter] = wrong
    with pytest.raises(UserError, match=rf"pinn\[{parameter}\] = .* is out of range"):
        Pinn(**wrong).check()  # type: ignore[arg-type]
