"""A race of trials: many points get a short part of their run, and the best ones are continued.

Every trial is a training of full length, schedules included, that pauses at some evaluations (successive halving:
Jamieson and Talwalkar 2016, Li et al. 2018). The first stage covers the search space: on a logarithmic axis of learning
rates by points of equal distance, the default among them, otherwise by the design of `design`. Each later stage
continues the best trials and tries new points, between the best one and its neighbours or where a sampler proposes
them. What trials do not spend, because they diverge or are not continued, buys further points.

All trials of a tuning have the same seed, so that points are compared and not the luck of their seeds. A stage is a
pure function of the stages before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from optbench.budget import THIRDS
from optbench.planning.matrix import Cell
from optbench.training.seeds import trial_seed
from optbench.tuning.new_points import NewPoints
from optbench.tuning.trial import Proposal, Trial, by_point, mean_loss

#: The name of this method among the pruners.
RACE = "race"
#: Shares of the run at which trials pause; the last one is its end.
STOPS = (1 / 8, 1 / 4, 1 / 2, 1.0)
#: Shares of the tuning budget for the first stage, and for each stage before the last one: to continue trials, and to
#: try new points. What is left goes to the last stage.
COVER, CONTINUE, REFINE = 0.29, (0.125, 0.19), (0.125, 0.0)
#: Rates per decade in the first stage, if the budget allows. More of them would be refined less.
PER_DECADE = 2
#: From this worth on, the two best points are trained on a second seed before one is selected.
SECOND_SEED_FROM = 6.0
#: The largest numbers of trials per run budget that the tuning is worth, for trials that cost next to nothing: if one
#: of them has a finite loss, and if none has.
MOST_TRIALS, MOST_FRUITLESS = 25, 5


def next_stage(cell: Cell, parts: Sequence[Trial], run_cost: int, study: int = 0) -> list[Proposal]:
    """Proposes the parts of trials that the current stage still has to train.

    Args:
        cell: The cell.
        parts: The trained parts in order: each a trial from its start to a pause, or to its end.
        run_cost: Cost of one training in example gradients.
        study: Number of the tuning, 0 for the first.

    Returns:
        The proposals; empty if the tuning is complete.
    """
    return Race(cell, run_cost, study).propose(parts)


class Race:
    """The stages of a race, each computed once: a sampler such as GP takes long to propose.

    Args:
        cell: The cell.
        run_cost: Cost of one training in example gradients.
        study: Number of the tuning, 0 for the first.
    """

    def __init__(self, cell: Cell, run_cost: int, study: int = 0) -> None:
        self._stage, self._done = _Stage(cell, run_cost, study, 0, {}), 0

    def propose(self, parts: Sequence[Trial]) -> list[Proposal]:
        """Proposes what `next_stage` does.

        Args:
            parts: The trained parts: those of the last call, and further ones.
        """
        while True:
            proposals = self._stage.proposals
            new = parts[self._done : self._done + len(proposals)]
            if not proposals or len(new) < len(proposals):
                return proposals[len(new) :]
            trained = {**self._stage.trained, **{trial.number: trial for trial in new}}
            self._stage = replace(self._stage, number=self._stage.number + 1, trained=trained)
            self._done += len(new)


@dataclass(frozen=True)
class _Stage:
    """One stage of a race.

    Attributes:
        cell: The cell.
        run_cost: Cost of one training in example gradients.
        study: Number of the tuning.
        number: Number of the stage, from 0.
        trained: By number, the trials as earlier stages left them.
    """

    cell: Cell
    run_cost: int
    study: int
    number: int
    trained: Mapping[int, Trial]

    @cached_property
    def proposals(self) -> list[Proposal]:
        """The parts that this stage trains."""
        if self.number == 0:
            points = [*enumerate(self._cover())]
            return self._proposals(points, self.stops[0] if len(points) > 1 else self.cell.evaluations)
        if self.number < len(self.stops):
            return self._regular()
        return self._spend_rest()

    @cached_property
    def stops(self) -> list[int]:
        """The evaluations at which trials pause: those that cost more than the one before."""
        stops: list[int] = []
        for share in STOPS:
            index = math.ceil(share * self.cell.evaluations)
            if stops and self._cost_at(index) <= self._cost_at(stops[-1]):
                stops[-1] = index
            else:
                stops.append(index)
        return stops

    def _cost_at(self, until: int) -> int:
        """Cost of a trial at an evaluation in thirds, if each step computes one gradient."""
        size, optimizer = self.cell.batch_size, self.cell.optimizer
        if until >= self.cell.evaluations and (optimizer.needs_closure or optimizer.second_backward):
            return THIRDS * self.run_cost  # what is left of a run depends on the steps
        steps = math.ceil(until * self.run_cost / (self.cell.evaluations * size))
        return THIRDS * size * max(1, min(steps, self.run_cost // size))

    @property
    def whole(self) -> int:
        """Cost of a complete trial. A rest that a batch size leaves of every run must not buy further trials."""
        return self._cost_at(self.cell.evaluations)

    @cached_property
    def rest(self) -> int:
        """What is left of the tuning budget, in thirds."""
        return math.floor(self.cell.worth * self.whole) - sum(map(self._charge, self.trained.values()))

    def _charge(self, trial: Trial) -> int:
        """What a trial uses up. One that raised an error costs next to nothing, and would buy others without end."""
        return max(trial.thirds, self._cost_at(self.stops[0])) if trial.status in ("error", "oom") else trial.thirds

    def _spent(self, number: int) -> int:
        return self.trained[number].thirds if number in self.trained else 0

    def _price(self, number: int, until: int) -> int:
        return max(0, self._cost_at(until) - self._spent(number))

    def _proposals(
        self, chosen: Sequence[tuple[int, dict[str, Any]]], until: int, repetition: int = 0
    ) -> list[Proposal]:
        """Makes proposals. Before its end, each has a limit: together they leave enough to complete one trial."""
        prices = [self._price(number, until) for number, _ in chosen]
        slack = max(0, self.rest - sum(prices) - self._to_finish(until))
        seed = trial_seed(repetition, self.study)
        proposals = []
        for (number, values), price in zip(chosen, prices, strict=True):
            limit = min(THIRDS * self.run_cost, self._spent(number) + price + slack // len(chosen))
            last = until >= self.cell.evaluations
            proposals.append(Proposal(number, seed, {**self._fixed, **values}, None, until, None if last else limit))
        return proposals

    def _to_finish(self, until: int) -> int:
        """What has to be left, when trials pause, to complete one of them, and for the second seed."""
        if until >= self.cell.evaluations:
            return self._reserve
        optimizer = self.cell.optimizer
        # A trial whose step does not fit in before the pause can't be continued: another one starts anew.
        several = optimizer.needs_closure or optimizer.second_backward
        return self._reserve + self.whole - (0 if several else self._cost_at(until))

    @property
    def _fixed(self) -> dict[str, Any]:
        """Values that are fixed while others are tuned."""
        optimizer = self.cell.optimizer
        return {name: value for name, value in optimizer.defaults.items() if name not in optimizer.search}

    @property
    def _new(self) -> NewPoints:
        return NewPoints(self.cell, self.study, [*self.trained.values()])

    # The first stage

    def _cover(self) -> list[dict[str, Any]]:
        first, worth = self._cost_at(self.stops[0]), self.cell.worth - self._reserve / self.whole
        share = COVER + sum(CONTINUE[: len(STOPS) - len(self.stops)])  # of stages that fall away
        count = 1 + math.floor(min(share * worth * self.whole - first, (worth - 1) * self.whole) / first)
        if self._new.axis is not None:
            decades = math.log10(self._new.axis.high / self._new.axis.low)
            count = min(count, 1 + math.ceil(PER_DECADE * decades))
        return self._new.cover(count)

    # Later stages

    def _regular(self) -> list[Proposal]:
        until, before = self.stops[self.number], self.stops[self.number - 1]
        alive = self._paused(before)
        if not alive:
            return self._spend_rest()
        place = self.number - 1 + len(STOPS) - len(self.stops)
        most, new, left = len(alive), 0, self.rest - self._to_finish(until)
        if until < self.cell.evaluations:
            budget = self.cell.worth * self.whole - self._reserve
            step = self._cost_at(until) - self._cost_at(before)
            most = max(1, math.floor(CONTINUE[place] * budget / step + 1e-9))
            new = math.floor(REFINE[place] * budget / self._cost_at(until) + 1e-9)
        kept = []
        for trial in alive[:most]:
            if (price := self._price(trial.number, until)) <= left:
                kept.append(trial)
                left -= price
        if not kept:
            return self._spend_rest()
        new = max(0, min(new, left // self._cost_at(until)))
        points = self._new.refine(new)
        chosen = [(trial.number, trial.hyperparameters) for trial in kept]
        if len(chosen) == 1 and not points:
            until = self.cell.evaluations  # without a rival, there is nothing to wait for
        return self._proposals([*chosen, *enumerate(points, len(self.trained))], until)

    def _paused(self, until: int | None = None) -> list[Trial]:
        """The paused trials, the best one first; those that pause at an evaluation if one is given."""
        paused = [
            trial
            for trial in self.trained.values()
            if trial.status == "paused" and math.isfinite(trial.loss) and until in (None, trial.until)
        ]
        return sorted(paused, key=lambda trial: (-trial.until, trial.loss, trial.number))

    def _spend_rest(self) -> list[Proposal]:
        """Spends what is left: to complete one trial, on new points, on paused trials, on further seeds."""
        known = any(math.isfinite(trial.loss) for trial in self.trained.values())
        if len(self.trained) >= (MOST_TRIALS if known else MOST_FRUITLESS) * self.cell.worth or all(
            trial.status in ("error", "oom") for trial in self.trained.values()
        ):
            return []
        kept = self.rest - self._reserve
        return self._complete_one() or self._spend(kept) or self._repeat() or self._spend(self.rest)

    def _complete_one(self) -> list[Proposal]:
        """Returns the best trial to be trained to its end, if none was."""
        end = self.cell.evaluations
        if any(trial.status == "ok" for trial in self.trained.values()):
            return []
        for trial in self._paused():
            if self._price(trial.number, end) <= self.rest:
                return self._proposals([(trial.number, trial.hyperparameters)], end)
        stopped = [t for t in self.trained.values() if t.status == "skipped" and math.isfinite(t.loss)]
        if not stopped or self.rest < self.whole:
            return []
        best = min(stopped, key=lambda trial: (-trial.until, trial.loss, trial.number))
        return self._proposals([(len(self.trained), best.hyperparameters)], end)

    def _spend(self, spare: int) -> list[Proposal]:
        """Returns new points that are trained to their end, or else a paused trial to be continued."""
        if self._repetitions:
            return []  # after the second seed, a new point would have no rival
        if spare >= self.whole and (points := self._new.refine(min(spare // self.whole, self.cell.round))):
            return self._proposals([*enumerate(points, len(self.trained))], self.cell.evaluations)
        for trial in self._paused():
            until = next(stop for stop in self.stops if stop > trial.until)
            if 0 < self._price(trial.number, until) <= spare:
                return self._proposals([(trial.number, trial.hyperparameters)], until)
        return []

    # Further seeds

    @property
    def _reserve(self) -> int:
        """What is kept for the second seed."""
        return 2 * self.whole if self.cell.worth >= SECOND_SEED_FROM and not self._repetitions else 0

    @property
    def _repetitions(self) -> int:
        """The number of further seeds on which the best two points were trained."""
        return max(map(len, self._points), default=1) - 1

    def _repeat(self) -> list[Proposal]:
        """Returns the best two points that reached their end on one more seed, if the budget allows."""
        ended = [p for p in self._points if len(p) == 1 + self._repetitions and math.isfinite(mean_loss(p))]
        best = sorted(ended, key=lambda point: (mean_loss(point), point[0].number))[:2]
        if self.cell.worth < SECOND_SEED_FROM or len(best) < 2 or self.rest < 2 * self.whole:
            return []
        chosen = enumerate([point[0].hyperparameters for point in best], len(self.trained))
        return self._proposals([*chosen], self.cell.evaluations, 1 + self._repetitions)

    @cached_property
    def _points(self) -> list[list[Trial]]:
        """The trials of each point, without those that were ended early: they may have been started anew."""
        return by_point([trial for trial in self.trained.values() if trial.status != "skipped"])
