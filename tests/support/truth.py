"""Recorded trainings of small cells on a dense grid of rates: the truth that tuning is measured by.

    python -m tests.support.truth record FILE [CELLS]
    python -m tests.support.truth regret FILE WORTH…
    python -m tests.support.truth compare FILE [RULE]… WORTH…
    python -m tests.support.truth hopeless FILE WORTH…

The first command records, for each cell, four rates per decade from a decade below its range to a decade above, on
six seeds: the validation loss at every evaluation. The second one replays the race on these curves, and prints the
regret: the true mean loss at the selected rate over the best true mean loss on the grid. The third one compares
rules of tuning on the same curves: all of `RULES`, or those that are named. The fourth one prints what would be saved
if trainings ended whose loss has not fallen since their start, and how often one of them would have won.
"""

from __future__ import annotations

import math
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from optbench.training.record import SCORED_AFTER, Point, Training, divergence_limit
from optbench.training.seeds import trial_seed
from optbench.tuning.race import RACE, SECOND_SEED_FROM, next_stage
from optbench.tuning.rounds import next_round
from optbench.tuning.trial import Proposal, Trial, best_trial

#: Rates per decade, decades beyond each end of the range, and seeds.
PER_DECADE, BEYOND, SEEDS = 4, 1, 6
#: Neither trials nor runs have these seeds.
_FIRST_SEED = 5000


def recorded_cells(**tuning: Any) -> list[Cell]:
    """The cells of the quick preset, with a narrower network on the enlarged digits."""
    problems = [
        {"select": "quadratic_valley", "run_budget": "10epochs"},
        {"select": "mnist_cnn[data=digits,width=8]", "run_budget": "3epochs"},
        {"select": "cifar_resnet[data=digits,depth=8,width=4,augment=false]", "run_budget": "3epochs"},
    ]
    config = configure(preset="quick", problems=problems, batch_sizes=[20, 100], devices=["cpu"], tuning=tuning)
    return list(make_plan(config).cells)


def rates_of(cell: Cell) -> np.ndarray:
    """The grid of rates of a cell, ascending."""
    low, high = np.log10(cell.optimizer.search["lr"].bounds) + np.array([-BEYOND, BEYOND])
    return 10 ** np.linspace(low, high, round(PER_DECADE * (high - low)) + 1)


def record(cell: Cell) -> np.ndarray:
    """The validation losses of a cell, (rates, seeds, evaluations + 1); infinite after a divergence."""
    from optbench.problem.data import DataSource
    from optbench.training.device_data import load
    from optbench.training.execution.replica import Replica
    from optbench.training.execution.trainer import Trainer

    trainer = Trainer(cell, *load(cell.problem, DataSource(Path("unused"), download=False), cell.device))
    rates = rates_of(cell)
    replicas = [Replica({"lr": float(rate)}, _FIRST_SEED + seed) for rate in rates for seed in range(SEEDS)]
    curves = np.full((len(replicas), cell.evaluations + 1), np.inf)
    for place, training in enumerate(trainer.train(replicas, cell.run_cost)):
        reached = 0
        for point in training.points:
            curves[place, reached : point.index + 1] = point.valid_loss  # a step can pass several evaluations
            reached = point.index + 1
        if training.status != "ok":
            curves[place, training.points[-1].index if training.points else 0 :] = np.inf
    return curves.reshape(len(rates), SEEDS, -1)


def judged(curves: np.ndarray, until: int) -> np.ndarray:
    """The losses by which trials are judged at an evaluation; curves have the evaluations last."""
    indices = np.arange(1, until + 1)
    losses: np.ndarray = curves[..., indices[indices > SCORED_AFTER * until]].mean(axis=-1)
    return losses


class Truth:
    """The recorded curves of one cell.

    Args:
        cell: The cell.
        curves: The array of `record`.
    """

    def __init__(self, cell: Cell, curves: np.ndarray) -> None:
        self.cell, self.curves, self.grid = cell, curves, np.log10(rates_of(cell))
        self.means = judged(curves, cell.evaluations).mean(axis=1)

    def regret(self, seed: int) -> float:
        """The regret of a tuning on one seed; that of a diverged rate is limited to ten times the initial loss."""
        best = best_trial(self.tune(seed))
        return self._over_best(math.inf if best is None else float(self._at(best.hyperparameters["lr"], self.means)))

    def grid_regret(self, seed: int) -> float:
        """The regret of the rate that is best on one seed, of all on the grid."""
        return self._over_best(float(self.means[judged(self.curves[:, seed], self.cell.evaluations).argmin()]))

    def _over_best(self, loss: float) -> float:
        return min(loss, 10 * float(self.curves[..., 0].min())) / float(self.means.min())

    def tune(self, seed: int) -> list[Trial]:
        """Replays a tuning, by the rule of the cell's pruner, and returns its trials."""
        parts: list[Trial] = []
        propose = next_stage if self.cell.pruner == RACE else next_round
        while proposals := propose(self.cell, parts, self.cell.run_cost):
            parts += [self._train(proposal, seed) for proposal in proposals]
        return list({part.number: part for part in parts}.values())

    def spent_without_hope(self, seed: int, share: float) -> float:
        """The share of a tuning's budget that trials cost after `hopeless_after` a share of the run."""
        cost, window = 0.0, math.ceil(share * self.cell.evaluations)
        for trial in self.tune(seed):
            after = hopeless_after(np.array(list(trial.reports.values())), window)
            cost += trial.thirds * (1 - after / trial.until) if after else 0.0
        return cost / (3 * self.cell.worth * self.cell.run_cost)

    def _at(self, rate: float, values: np.ndarray) -> np.ndarray:
        """Interpolates log-losses between the two nearest rates; next to an infinite one, the nearer rate counts."""
        place = int(np.clip(np.searchsorted(self.grid, math.log10(rate)) - 1, 0, len(self.grid) - 2))
        share = (math.log10(rate) - self.grid[place]) / (self.grid[place + 1] - self.grid[place])
        share = min(max(share, 0.0), 1.0)
        below, above = values[place], values[place + 1]
        finite = np.isfinite(below) & np.isfinite(above)
        with np.errstate(invalid="ignore"):
            between = np.exp((1 - share) * np.log(below) + share * np.log(above))
        return np.where(finite, between, below if share < 0.5 else above)

    def _train(self, proposal: Proposal, seed: int) -> Trial:
        own = (seed + proposal.seed - trial_seed(0)) % self.curves.shape[1]
        return follow(self.cell, proposal, self._at(proposal.hyperparameters["lr"], self.curves[:, own]))


def follow(cell: Cell, proposal: Proposal, curve: np.ndarray) -> Trial:
    """Returns the trial of a proposal whose validation losses are known.

    Args:
        cell: The cell.
        proposal: The proposal.
        curve: The losses at all evaluations, the one at the start first; infinite or NaN after a divergence.
    """
    evaluations, size, budget = cell.evaluations, cell.batch_size, cell.run_cost
    until = proposal.until or evaluations
    bad = np.flatnonzero(~(curve[: until + 1] <= divergence_limit(float(curve[0]))))
    ended = int(bad[0]) if len(bad) else until
    steps = min(math.ceil(ended * budget / (evaluations * size)), budget // size)
    status = "diverged" if len(bad) else "ok" if until == evaluations else "paused"
    pruned = _prune(proposal, curve, ended) if proposal.observer and status == "ok" else 0
    if pruned:
        status, ended, steps = "skipped", pruned, math.ceil(pruned * budget / (evaluations * size))
    loss = math.nan if len(bad) else float(judged(curve, until))
    reports = {index: float(curve[index]) for index in range(ended + 1) if math.isfinite(curve[index])}
    return Trial(
        proposal.number, proposal.hyperparameters, status, float(curve[0]), loss, 3 * size * steps, reports, ended
    )


def _prune(proposal: Proposal, curve: np.ndarray, ended: int) -> int:
    """The evaluation after which the proposal's observer stops its training, or 0."""
    assert proposal.observer is not None
    observe, training = proposal.observer(), Training({}, 0)
    for index in range(1, ended + 1):
        training.points = [Point(index, 0, 0.0, math.nan, float(curve[index]), math.nan, 0)]
        if observe(training):
            return index
    return 0


@dataclass(frozen=True)
class Rule:
    """A rule of tuning: settings of `[tuning]`, and the worth from which a race has a second seed."""

    tuning: dict[str, Any]
    second_seed_from: float = SECOND_SEED_FROM


#: Rules of tuning by name.
RULES = {
    "race": Rule({"pruner": RACE}),
    "race, one seed": Rule({"pruner": RACE}, math.inf),
    "race, two seeds": Rule({"pruner": RACE}, 1.0),
    "design": Rule({"pruner": "none"}),
    "random": Rule({"sampler": "random", "pruner": "none"}),
    "random, successive halving": Rule({"sampler": "random", "pruner": "successive-halving"}),
    "grid": Rule({"sampler": "grid", "pruner": "none"}),
}
#: A rule without a budget: all rates on the recorded grid, each trained to its end.
WHOLE_GRID = "whole grid"


def _record_all(file: Path, most: int | None) -> None:
    cells, curves = recorded_cells()[:most], []
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for cell, own in zip(cells, pool.map(record, cells), strict=True):
            curves.append(own)
            print(f"{len(curves)} of {len(cells)}: {_name(cell)}", flush=True)
            names = [_name(cell) for cell in cells[: len(curves)]]
            np.savez_compressed(file, cells=names, valid=np.stack(curves).astype(np.float32))


def _name(cell: Cell) -> str:
    return "|".join(map(str, cell.key))


def truths(file: Path, **tuning: Any) -> list[Truth]:
    """The recorded cells of first-order optimizers, to be tuned in some way."""
    stored = np.load(file)
    curves = dict(zip(stored["cells"].tolist(), stored["valid"].astype(float), strict=True))
    cells = [cell for cell in recorded_cells(**tuning) if not cell.optimizer.needs_closure and _name(cell) in curves]
    return [Truth(cell, curves[_name(cell)]) for cell in cells]


def summarise(regrets: np.ndarray) -> str:
    """Describes regrets in words."""
    low, high = np.quantile(regrets, [0.5, 0.95])
    return f"median {low:.3f}, mean {regrets.mean():.3f}, 95 % {high:.3f}, worst {regrets.max():.3f}"


def _print_regrets(file: Path, worths: list[float]) -> None:
    for worth in worths:
        known = truths(file, worth=worth, pruner=RACE)
        regrets = np.array([[truth.regret(seed) for seed in range(SEEDS)] for truth in known])
        print(f"worth {worth:g}, {len(known)} cells, {SEEDS} seeds: regret {summarise(regrets)}")
        names = np.array([truth.cell.optimizer.label for truth in known])
        medians = {str(name): float(np.median(regrets[names == name])) for name in dict.fromkeys(names)}
        print("  medians: " + ", ".join(f"{name} {median:.3f}" for name, median in medians.items()))


def _print_comparison(file: Path, names: list[str], worths: list[float]) -> None:
    for name in names or [*RULES, WHOLE_GRID]:
        if name == WHOLE_GRID:
            known = truths(file)
            regrets = np.array([truth.grid_regret(seed) for truth in known for seed in range(SEEDS)])
            print(f"{name}, one seed: {summarise(regrets)}; {np.mean([len(t.grid) for t in known]):.1f} rates per cell")
            continue
        rule = RULES[name]
        for worth in worths:
            known = truths(file, worth=worth, **rule.tuning)
            pairs = [(truth, seed) for truth in known for seed in range(SEEDS)]
            with patch("optbench.tuning.race.SECOND_SEED_FROM", rule.second_seed_from):
                regrets = np.array([truth.regret(seed) for truth, seed in pairs])
                tried = [len({t.hyperparameters["lr"] for t in truth.tune(seed)}) for truth, seed in pairs[::SEEDS]]
            print(f"{name}, worth {worth:g}: {summarise(regrets)}; {np.mean(tried):.1f} rates per cell", flush=True)


#: A loss that is not below this share of the one at the start has not fallen.
FALLEN = 0.99


def hopeless_after(curve: np.ndarray, window: int) -> int:
    """Returns the evaluation after which a loss has not been below its start for a number of evaluations; 0 if none.

    Args:
        curve: The losses at all evaluations, the one at the start first.
        window: The number of evaluations.
    """
    in_a_row = 0
    for index, loss in enumerate(curve[1:], 1):
        in_a_row = 0 if loss < FALLEN * curve[0] else in_a_row + 1
        if in_a_row == window:
            return index
    return 0


def _print_hopeless(file: Path, worths: list[float]) -> None:
    known = truths(file)
    for share in (1 / 8, 1 / 4, 1 / 2):
        winners = [
            truth.curves[judged(truth.curves[:, seed], truth.cell.evaluations).argmin(), seed]
            for truth in known
            for seed in range(SEEDS)
        ]
        window = math.ceil(share * known[0].cell.evaluations)
        lost = sum(hopeless_after(curve, window) > 0 for curve in winners)
        print(f"not below {FALLEN:g} times its start for {share:g} of the run: {lost} of {len(winners)} winners")
        for worth, pruner in [(worth, pruner) for worth in worths for pruner in (RACE, "none")]:
            saved = [
                truth.spent_without_hope(seed, share)
                for truth in truths(file, worth=worth, pruner=pruner)
                for seed in range(SEEDS)
            ]
            print(f"  worth {worth:g}, pruner {pruner}: {100 * np.mean(saved):.2f} % of the budget is spent later")


if __name__ == "__main__":
    command, path, *rest = sys.argv[1:]
    if command == "record":
        _record_all(Path(path), int(rest[0]) if rest else None)
    elif command == "compare":
        named = [name for name in rest if name in (*RULES, WHOLE_GRID)]
        _print_comparison(Path(path), named, [float(worth) for worth in rest if worth not in named])
    elif command == "hopeless":
        _print_hopeless(Path(path), [float(worth) for worth in rest])
    else:
        _print_regrets(Path(path), [float(worth) for worth in rest])
