"""The points of a race: those that cover a search space, and later ones.

A logarithmic axis of learning rates is covered by points of equal distance, the default among them, and later rates lie
between the best one and its neighbours. Other spaces are covered by the design of `design`; later points are those that
a sampler proposes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optbench.optimizers.points import point_of
from optbench.optimizers.search_space import Range
from optbench.planning.matrix import Cell
from optbench.training.seeds import derive
from optbench.tuning.axis import between, spread
from optbench.tuning.design import design_points
from optbench.tuning.study import rebuild_study
from optbench.tuning.trial import Trial, best_trial
from optbench.tuning.untried import ask_untried

#: Decades below the range in which rates are tried if all trials diverge.
MOST_BELOW = 3


@dataclass(frozen=True)
class NewPoints:
    """Points that were not tried.

    Attributes:
        cell: The cell.
        study: Number of the tuning.
        trained: The trials by their numbers.
    """

    cell: Cell
    study: int
    trained: Sequence[Trial]

    @cached_property
    def axis(self) -> Range | None:
        """The range of the learning rate, if it alone is tuned, on a logarithmic scale, by the default sampler."""
        space = self.cell.optimizer.search
        rate = space.get("lr")
        alone = list(space) == ["lr"] and isinstance(rate, Range) and rate.log and not (rate.whole or rate.zero)
        return rate if alone and self.cell.sampler == "tpe" else None  # type: ignore[return-value]

    def cover(self, count: int) -> list[dict[str, Any]]:
        """Returns the points of the first stage, the default first.

        Args:
            count: The largest number of points.
        """
        default = dict(self.cell.optimizer.defaults)
        if count <= 1:
            return [default]
        if self.axis is not None:
            return [default, *({"lr": rate} for rate in spread(self.axis, default["lr"], count))]
        return [default, *self._design(count - 1)]

    def _design(self, count: int) -> list[dict[str, Any]]:
        space = self.cell.optimizer.search
        if self.cell.sampler == "random":
            return self._ask(count)
        points = design_points(self.cell, space, count)
        values = [
            {name: space[name].at(share) for name, share in zip(sorted(space), point, strict=True)} for point in points
        ]
        return [dict(point_of(space, one)) for one in values]

    def refine(self, count: int) -> list[dict[str, Any]]:
        """Returns new points next to the best one, or where the sampler proposes them.

        Args:
            count: The largest number of points; there are fewer if none is left.
        """
        best = best_trial(self.trained)
        if count < 1:
            return []
        if best is None and self.axis is not None:
            return self._below()
        if self.axis is None or best is None or "lr" not in best.hyperparameters:
            return self._ask(count)
        tried = {float(trial.hyperparameters["lr"]): trial for trial in self.trained[::-1]}
        return [{"lr": rate} for rate in itertools.islice(between(tried, best), count)]

    def _below(self) -> list[dict[str, Any]]:
        """Returns a rate one decade below all that were tried, if none of them had a finite loss; in the end, none."""
        rates = [float(trial.hyperparameters["lr"]) for trial in self.trained if "lr" in trial.hyperparameters]
        if self.axis is None or not rates or min(rates) < 2 * self.axis.low / 10**MOST_BELOW:
            return []
        return [{"lr": min(rates) / 10}]

    def _ask(self, count: int) -> list[dict[str, Any]]:
        """Asks the sampler for points; fewer if all points were tried, none after a grid.

        A quasi-random sequence goes on where the stages before have left it.
        """
        if self.cell.sampler == "grid":
            return []
        space, earlier = self.cell.optimizer.search, self.trained
        study = rebuild_study(self.cell, earlier, space, self.study)
        # On one seed, a point that is proposed again would have the same bits.
        known = [self.cell.optimizer.defaults, *(trial.hyperparameters for trial in earlier)]
        tried = {point_of(space, hyperparameters) for hyperparameters in known}
        points: list[dict[str, Any]] = []
        if self.cell.sampler == "quasi-random":
            further = [point for point in self._design(len(tried) + count) if point_of(space, point) not in tried]
            points = further[:count]
            tried |= {point_of(space, point) for point in points}
        for number in range(len(earlier) + len(points), len(earlier) + count):
            random = np.random.default_rng(derive(f"{self.cell.id}/{number}/study {self.study}", "untried"))
            if (values := ask_untried(study, space, tried, random)) is None:
                break
            points.append(values)
            tried.add(point_of(space, values))
        return points
