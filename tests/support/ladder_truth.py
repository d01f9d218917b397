"""Ladders with known laws: how often intervals of speed-ups, slopes and projections cover the truth.

    python -m tests.support.ladder_truth REPETITIONS SEEDS…

Losses follow saturating power laws of the compute, with noise that is shared by the optimizers on a seed and noise of
their own. The speed-up of one optimizer over the other one is a power of the horizon. The command prints, for each
number of seeds and for three and four horizons, the coverage of the intervals and the verdicts that are wrong.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optbench.metrics.projection import INSIDE, projection
from optbench.metrics.scaling import GROWS, HOLDS, MARGIN, SHRINKS, scaling, scaling_slopes
from tests.support.rows import cell_of, frame, run_of

#: Costs of neighbouring horizons differ by this factor.
FACTOR = 3.0
_FIRST = 1000.0


@dataclass(frozen=True)
class Law:
    """The true losses of two optimizers, `a` and the reference `adam`, and the speed-up of the first one.

    Attributes:
        limit: E of L = E + A c⁻ᵇ, with the compute c in units of the lowest horizon.
        scale: A.
        exponent: b.
        speedup: The speed-up at the lowest horizon.
        slope: Decades of speed-up per decade of the horizon.
        noise: Standard deviation of the logarithm of a loss.
    """

    limit: float
    scale: float
    exponent: float
    speedup: float
    slope: float
    noise: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> Law:
        """Draws a law; in half of them the speed-up is the same at all horizons."""
        limit = random.choice([0.0, random.uniform(0.05, 0.5)])
        slope = random.choice([0.0, random.uniform(-0.15, 0.15)])
        scale, exponent, speedup = random.uniform(0.8, 3), random.uniform(0.3, 0.8), random.uniform(0.8, 1.6)
        return cls(float(limit), scale, exponent, speedup, float(slope), random.choice([0.005, 0.01, 0.02]))

    def loss(self, optimizer: str, cost: np.ndarray) -> np.ndarray:
        """The loss after a cost, in example gradients."""
        share = cost / _FIRST
        effective = self.speedup * share ** (1 + self.slope) if optimizer == "a" else share
        return self.limit + self.scale * effective**-self.exponent

    def speedup_at(self, cost: np.ndarray) -> np.ndarray:
        """The true speed-up at a horizon."""
        return self.speedup * (cost / _FIRST) ** self.slope


def horizons(count: int) -> np.ndarray:
    """The run budgets of a ladder."""
    return _FIRST * FACTOR ** np.arange(count)


def frames_of(law: Law, count: int, seeds: int, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and cells of both optimizers on all horizons."""
    shared = random.normal(size=seeds) * math.sqrt(0.5)
    cells, runs = [], []
    for optimizer in ("adam", "a"):
        for budget in horizons(count):
            cell = cell_of(optimizer, f"p[run_budget={budget:g}examples]", run_budget=budget, ladder="p")
            own = random.normal(size=seeds) * math.sqrt(0.5)
            losses = law.loss(optimizer, budget) * np.exp(law.noise * (shared + own))
            cells.append(cell)
            runs += [
                run_of(cell, seed, cost=budget, test_loss=loss, train_loss=loss, valid_loss=loss)
                for seed, loss in enumerate(losses)
            ]
    return frame(runs, "runs"), frame(cells, "cells")


def simulate(count: int, seeds: int, repetitions: int, start: int = 0) -> Counter[str]:
    """Counts what was claimed and what was right: `speed-ups`, `slopes` and `projections`, each also `covered`.

    The truth of a projection is the mean over as many seeds, which is what a held-out rung shows. Verdicts are counted
    by name, and as `wrong`.
    """
    counts: Counter[str] = Counter()
    for place in range(repetitions):
        random = np.random.default_rng([count, seeds, start + place])
        law = Law.draw(random)
        runs, cells = frames_of(law, count, seeds, random)
        for row in scaling(runs, cells).to_dict("records"):
            counts["speed-ups"] += 1
            counts["speed-ups covered"] += (
                row["speedup_low"] <= law.speedup_at(row["run_budget"]) <= row["speedup_high"]
            )
        [slope] = scaling_slopes(runs, cells).to_dict("records")
        if np.isfinite(slope["slope"]):
            counts["slopes"] += 1
            counts["slopes covered"] += slope["slope_low"] <= law.slope <= slope["slope_high"]
            counts[slope["verdict"]] += 1
            counts["wrong"] += is_wrong(slope["verdict"], law.slope)
        for row in projection(runs, cells).dropna(subset="observed").to_dict("records"):
            counts["projections"] += 1
            counts["projections covered"] += row["test"] == INSIDE
    return counts


def is_wrong(verdict: str, slope: float) -> bool:
    """Whether a verdict contradicts the true slope."""
    return (
        (verdict == GROWS and slope <= 0)
        or (verdict == SHRINKS and slope >= 0)
        or (verdict == HOLDS and abs(slope) > math.log10(MARGIN))
    )


def main(arguments: list[str]) -> None:
    repetitions, *numbers = map(int, arguments)
    for count in (3, 4):
        for seeds in numbers:
            found = simulate(count, seeds, repetitions)
            shares = [
                f"{name} {found[f'{name} covered'] / found[name]:.3f} of {found[name]}"
                for name in ("speed-ups", "slopes", "projections")
            ]
            verdicts = ", ".join(f"{name} {found[name]}" for name in (HOLDS, GROWS, SHRINKS, "can't be told", "wrong"))
            print(f"{count} horizons, {seeds} seeds: {'; '.join(shares)}; {verdicts}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
