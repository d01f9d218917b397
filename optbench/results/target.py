"""When a run reached its target: the first crossing of its running best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def first_crossing(
    at: Sequence[float], metric: Sequence[float | None], target: float, higher_is_better: bool
) -> float | None:
    """Where the running best of `metric` first meets `target`, linearly interpolated between the
    points `at`; None where it never does. Missing values are passed over."""
    sign = 1.0 if higher_is_better else -1.0
    values = sign * np.array([np.nan if value is None else value for value in metric], dtype=float)
    known = np.isfinite(values)
    if not known.any():
        return None
    places = np.asarray(at, dtype=float)[known]
    best = np.maximum.accumulate(values[known])
    reached = best >= sign * target
    if not reached.any():
        return None
    index = int(np.argmax(reached))
    if index == 0:
        return float(places[0])
    share = (sign * target - best[index - 1]) / (best[index] - best[index - 1])
    return float(places[index - 1] + share * (places[index] - places[index - 1]))
