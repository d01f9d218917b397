"""The check of a function of the plane: its minimum, from which all its values are measured, is one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize

from optbench.conformance.finding import failed, skipped
from optbench.conformance.problem_subject import ProblemSubject
from optbench.problem.data import Batch
from optbench.problems.plane_functions import PlaneFunction

#: How far values may be below the minimum, in parts of the excess at the start: a thousandth of the target.
TOLERANCE = 1e-6
#: Points of the grid along an axis, and how many of the lowest ones are descended from.
POINTS, DESCENTS = 41, 5


def minimum(subject: ProblemSubject) -> str:
    """Nothing is lower than the minimum of a function of the plane, on a grid over its domain and below it."""
    problem = subject.few.problem
    if not isinstance(problem, PlaneFunction):
        raise skipped("no function of the plane")
    excess = _excess(problem, subject.batch(1))
    plane, declared = problem.plane, problem.minimum_value
    if not math.isfinite(declared):
        raise failed(
            f"the minimum is {declared:g}", "write in plane.minimum where it is, a place where value is finite"
        )
    # Beside the start's excess there are the last digits of large values.
    tolerance = max(TOLERANCE * abs(excess(plane.start)[0]), 1e-12 * abs(declared))
    there = excess(plane.minimum)[0]
    if not abs(there) <= tolerance:
        raise failed(
            f"minimum_value is {declared:.7g}, and at plane.minimum the value is {declared + there:.7g}",
            "leave minimum_value out: it is that at plane.minimum",
        )
    place, lowest = _lowest(excess, problem)
    if lowest < -tolerance:
        x, y = place
        raise failed(
            f"at ({x:.7g}, {y:.7g}) the value is {declared + lowest:.7g}, below the minimum of {declared:.7g}",
            "write in plane.minimum where it is lowest, in all digits",
        )
    return f"no value below {declared:.4g} found"


Measured = Callable[[tuple[float, float]], tuple[float, np.ndarray]]


def _excess(problem: PlaneFunction, batch: Batch) -> Measured:
    """The loss at a place, and its gradient; infinite where it is no number, so that a descent turns back."""
    model = problem.model()
    [position] = model.parameters()

    def measured(place: tuple[float, float]) -> tuple[float, np.ndarray]:
        with torch.no_grad():
            position.copy_(torch.tensor(place, dtype=torch.float64))
        loss = problem.loss(model, batch)
        [gradient] = torch.autograd.grad(loss, [position])
        value = float(loss.detach())
        return (np.inf if np.isnan(value) else value), np.nan_to_num(gradient.numpy())

    return measured


def _lowest(excess: Measured, problem: PlaneFunction) -> tuple[tuple[float, float], float]:
    """The lowest place that descents find, from the start, the minimum and the lowest points of a grid."""
    plane = problem.plane
    across, up = (np.linspace(low, high, POINTS) for low, high in plane.domain)
    grid = sorted((excess((x, y))[0], x, y) for x in across.tolist() for y in up.tolist())
    begins = [plane.start, plane.minimum, *((x, y) for _, x, y in grid[:DESCENTS])]
    ends = [minimize(excess, begin, jac=True, method="BFGS", options={"maxiter": 200}) for begin in begins]
    found = [(float(value), x, y) for value, x, y in (grid[0], *((end.fun, *end.x) for end in ends))]
    value, x, y = min(found)
    return (float(x), float(y)), value
