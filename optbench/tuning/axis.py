"""Learning rates along a logarithmic axis: those that cover a range, and those next to the best one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from optbench.optimizers.search_space import Range
from optbench.tuning.trial import Trial

#: New rates are at least this far from those that were tried, in decades.
CLOSEST = 0.1
#: A rate beyond all that were tried is at most this far from them, in decades.
FARTHEST = 0.5


def spread(rates: Range, default: float, count: int) -> list[float]:
    """Returns the rates that, with the default, cover a range from end to end: `count` rates in all.

    Below the default they have equal distances, and above it. If the default lies outside of the range, the others
    cover it without the default.

    Args:
        rates: The range, on a logarithmic scale.
        default: The default rate.
        count: Number of rates, the default among them; at least 2.
    """
    if not rates.contains(default):
        shares = np.linspace(0, 1, count - 1) if count > 2 else np.array([0.5])
        return [rates.at(float(share)) for share in shares]
    place = rates.position(default)
    below = min(max(round((count - 1) * place), 1 if place > 0 else 0), count - (2 if place < 1 else 1))
    parts = [*np.linspace(0, place, below + 1)[:-1], *np.linspace(place, 1, count - below)[1:]]
    return [rates.at(float(share)) for share in parts]


def between(tried: Mapping[float, Trial], best: Trial) -> Iterator[float]:
    """Yields rates next to the best one: between it and its neighbours, first towards the better one, or beyond.

    Args:
        tried: The trials by their rate.
        best: The best of them.
    """
    rates, rate = sorted(tried), float(best.hyperparameters["lr"])
    place = rates.index(rate)
    distance = min(10**FARTHEST, (rates[-1] / rates[0]) ** (1 / (len(rates) - 1)) if len(rates) > 1 else math.inf)
    sides = []
    for neighbour, step in ((place + 1, 1), (place - 1, -1)):
        if 0 <= neighbour < len(rates):
            sides.append((tried[rates[neighbour]].value, math.sqrt(rate * rates[neighbour])))
        else:
            sides.append((-math.inf, rate * distance**step))
    for _, new in sorted(sides):
        if min(abs(math.log10(new / other)) for other in rates) >= CLOSEST:
            yield new
