"""The check of a two-dimensional function: whether its declared minimum is the lowest value."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize

from optbench.conformance.finding import failure, skip
from optbench.conformance.problem_subject import ProblemSubject
from optbench.problem.data import Batch
from optbench.problems.plane_functions import PlaneFunction

#: How far values may lie below the minimum, relative to the excess at the start: a thousandth of the target.
TOLERANCE = 1e-6
#: Number of grid points per axis, and of the lowest points from which a descent starts.
POINTS, DESCENTS = 41, 5
#: A function from a point (x, y) to the value there and the gradient, of shape (2,).
ValueAndGradient = Callable[[tuple[float, float]], tuple[float, np.ndarray]]


def minimum(subject: ProblemSubject) -> str:
    """Checks that no value lies below the declared minimum, on a grid over the domain and after descents from it."""
    problem = subject.few.problem
    if not isinstance(problem, PlaneFunction):
        raise skip("the problem is not a two-dimensional function")
    excess = _make_excess(problem, subject.batch(1))
    plane, declared = problem.plane, problem.minimum_value
    if not math.isfinite(declared):
        raise failure(
            f"the value at the declared minimum is {declared:g}", "set plane.minimum to a point with a finite value"
        )
    # The second term covers the rounding error of large values.
    tolerance = max(TOLERANCE * abs(excess(plane.start)[0]), 1e-12 * abs(declared))
    there = excess(plane.minimum)[0]
    if not abs(there) <= tolerance:
        raise failure(
            f"minimum_value is {declared:.7g}, but the value at plane.minimum is {declared + there:.7g}",
            "remove minimum_value: it is computed from plane.minimum",
        )
    point, lowest = _find_lowest(excess, problem)
    if lowest < -tolerance:
        x, y = point
        raise failure(
            f"the value at ({x:.7g}, {y:.7g}) is {declared + lowest:.7g}, below the declared minimum of {declared:.7g}",
            "set plane.minimum to the point of the lowest value, with all its digits",
        )
    return f"no value below {declared:.4g}"


def _make_excess(problem: PlaneFunction, batch: Batch) -> ValueAndGradient:
    """Returns the loss as a function of the point; NaN becomes infinity, so that a descent turns back."""
    model = problem.model()
    [position] = model.parameters()

    def evaluate(point: tuple[float, float]) -> tuple[float, np.ndarray]:
        with torch.no_grad():
            position.copy_(torch.tensor(point, dtype=torch.float64))
        loss = problem.loss(model, batch)
        [gradient] = torch.autograd.grad(loss, [position])
        value = float(loss.detach())
        return (np.inf if np.isnan(value) else value), np.nan_to_num(gradient.numpy())

    return evaluate


def _find_lowest(excess: ValueAndGradient, problem: PlaneFunction) -> tuple[tuple[float, float], float]:
    """Returns the lowest point of descents from the start, the declared minimum and the lowest grid points."""
    plane = problem.plane
    across, up = (np.linspace(low, high, POINTS) for low, high in plane.domain)
    grid = sorted((excess((x, y))[0], x, y) for x in across.tolist() for y in up.tolist())
    begins = [plane.start, plane.minimum, *((x, y) for _, x, y in grid[:DESCENTS])]
    ends = [minimize(excess, begin, jac=True, method="BFGS", options={"maxiter": 200}) for begin in begins]
    candidates = [(float(value), x, y) for value, x, y in (grid[0], *((end.fun, *end.x) for end in ends))]
    value, x, y = min(candidates)
    return (float(x), float(y)), value
