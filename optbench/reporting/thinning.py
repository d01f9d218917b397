"""Fewer points of a curve for the page, without moving its ends or its extremes."""

from __future__ import annotations

import numpy as np

#: Curves of a page have about so many points: more than a figure on a screen can tell apart.
POINTS = 64


def thinned(*series: np.ndarray, points: int = POINTS) -> np.ndarray:
    """The places to keep of series of one length (a median and its band, say), in order.

    Places are cut into equal parts, and of each part those are kept at which a series has its lowest and highest
    finite value; and the first, the last, and those beside a gap (a value that isn't finite). So extremes stay
    where they are, in the whole and in each part. All are kept of series no longer than `points`.
    """
    length = len(series[0])
    if length <= points:
        return np.arange(length)
    kept = {0, length - 1}
    for values in series:
        finite = np.isfinite(values)
        kept.update(np.flatnonzero(finite[1:] != finite[:-1]).tolist())
        kept.update((np.flatnonzero(finite[1:] != finite[:-1]) + 1).tolist())
        for part in np.array_split(np.arange(length), max(points // (2 * len(series)), 1)):
            known = part[finite[part]]
            if len(known):
                kept.update((int(known[values[known].argmin()]), int(known[values[known].argmax()])))
    return np.array(sorted(kept))
