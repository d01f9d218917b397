"""Performance profiles: how often a solver is how far from the fastest one.

`times` has shape (…, solvers, problems): when each solver solved each problem, infinity where it
did not. NaN means that nothing is known, and is refused.
"""

from __future__ import annotations

import numpy as np

#: The largest ratio to the fastest that counts, as in AlgoPerf's competition rules.
RATIO_MAX = 4.0


def ratios(times: np.ndarray) -> np.ndarray:
    """Each time over that of the fastest solver of the same problem; infinity where it was not solved.

    r(s, p) = t(s, p) / min over s of t(s, p) (Dolan and Moré 2002). A problem that is solved at once
    (time 0) has ratio 1 for those who do so. Raises ValueError for a time that is NaN or negative.
    """
    times = np.asarray(times, dtype=float)
    if np.isnan(times).any() or (times < 0).any():
        raise ValueError("times must be known: infinite where a problem is not solved")
    fastest = times.min(axis=-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = times / fastest
    return np.where(np.isinf(times), np.inf, np.where(times == fastest, 1.0, ratio))


def area(times: np.ndarray, ratio_max: float = RATIO_MAX) -> np.ndarray:
    """AlgoPerf's benchmark score of each solver, from 0 to 1, of shape (…, solvers).

    1/(r_max − 1) · ∫ from 1 to r_max of ρ(r) dr, where ρ(r) is the share of all problems that the solver
    solves within r times the fastest (Dahl et al. 2023, section 4.5). ρ is a step function, so the integral is
    the mean over problems of max(0, r_max − r(s, p))/(r_max − 1), exactly, and not a sum over a grid.
    """
    ratio = ratios(times)
    return np.mean(np.clip((ratio_max - ratio) / (ratio_max - 1), 0.0, None), axis=-1)
