"""Performance profiles: the share of problems that a solver solves within a factor of the fastest solver.

`times` has shape (…, solvers, problems): the time at which each solver solved each problem, infinite if it did not.
NaN (unknown) is refused.
"""

from __future__ import annotations

import numpy as np

#: The largest ratio to the fastest that counts, as in AlgoPerf's competition rules.
RATIO_MAX = 4.0


def ratios(times: np.ndarray) -> np.ndarray:
    """Returns each time divided by that of the fastest solver of the same problem; infinite for an unsolved problem.

        r(s, p) = t(s, p) / min over s of t(s, p)  (Dolan and Moré 2002)

    Solvers that solve a problem at time 0 have ratio 1 on it.

    Args:
        times: Times of shape (…, solvers, problems).

    Raises:
        ValueError: A time is NaN or negative.
    """
    times = np.asarray(times, dtype=float)
    if np.isnan(times).any() or (times < 0).any():
        raise ValueError(
            "times contain NaN or negative numbers (accepted: numbers from 0, or infinity for an unsolved problem)"
        )
    fastest = times.min(axis=-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = times / fastest
    return np.where(np.isinf(times), np.inf, np.where(times == fastest, 1.0, ratio))


def area(times: np.ndarray, ratio_max: float = RATIO_MAX) -> np.ndarray:
    """Returns AlgoPerf's benchmark score of each solver, between 0 and 1.

        1/(r_max − 1) · ∫ ρ(r) dr  from 1 to r_max  (Dahl et al. 2023, section 4.5)

    ρ(r) is the share of all problems that the solver solves within r times the fastest. It is a step function, so the
    integral is exactly the mean over problems of max(0, r_max − r(s, p))/(r_max − 1).

    Args:
        times: Times of shape (…, solvers, problems).
        ratio_max: The largest ratio that counts.

    Returns:
        Scores of shape (…, solvers).
    """
    ratio = ratios(times)
    return np.mean(np.clip((ratio_max - ratio) / (ratio_max - 1), 0.0, None), axis=-1)
