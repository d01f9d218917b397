"""Samplers compared in search spaces of several dimensions, where the truth is known or can be measured.

    python -m tests.support.dimensions simulated SAMPLERS REPETITIONS WORTH…
    python -m tests.support.dimensions trained FILE SAMPLERS STUDIES WORTH…
    python -m tests.support.dimensions table FILE

SAMPLERS are names separated by commas. The first command tunes simulated losses whose optimum is known. The second one
tunes real trainings of a small network, trains each chosen point on fresh seeds, and appends the losses to FILE (JSON
lines); the third one prints the regrets of all rules in FILE: the mean loss of the chosen point over the best mean
loss of any point in FILE. All commands use the search spaces of the preset `recipe`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from optbench.training.seeds import derive
from optbench.tuning.race import RACE, Race
from optbench.tuning.rounds import next_round
from optbench.tuning.trial import Proposal, Trial, best_trial
from tests.support.truth import follow, summarise

OPTIMIZERS = ("adamw_recipe", "momentum_recipe")
PRUNERS = (RACE, "none")
#: Validation loss at the start of a simulated training, and the standard deviation of the logarithm of its last loss.
START, NOISE = 2.3, 0.03
#: Seeds on which chosen points are judged; neither trials nor runs have them.
FIRST_SEED, SEEDS = 5000, 10


def cell_of(optimizer: str, sampler: str, pruner: str, worth: float) -> Cell:
    """A cell that is tuned in all dimensions of a recipe."""
    config = configure(
        preset="recipe",
        problems=["mlp[data=digits]"],
        optimizers=[optimizer],
        batch_sizes=[32],
        run_budget="2epochs",
        devices=["cpu"],
        tuning={"sampler": sampler, "pruner": pruner, "worth": worth},
    )
    [cell] = make_plan(config).cells
    return cell


def tune(cell: Cell, train: Callable[[Sequence[Proposal]], list[Trial]], study: int) -> list[Trial]:
    """Returns the trials of a tuning, each as its last part left it.

    Args:
        cell: The cell.
        train: Trains proposals.
        study: Number of the tuning.
    """
    race, parts = Race(cell, cell.run_cost, study), list[Trial]()
    while proposals := race.propose(parts) if cell.pruner == RACE else next_round(cell, parts, cell.run_cost, study):
        parts += train(proposals)
    return list({part.number: part for part in parts}.values())


class Surface:
    """A simulated loss with one optimum, drawn at random, over the search space of a cell.

    The logarithm of the loss at the end is a quadratic function of the positions on the axes of the search space. The
    rate has the largest curvature and interacts with weight decay and with momentum; the other hyperparameters matter
    from hardly to as much as the rate. The loss cannot exceed the one at the start, except beyond a cliff, where
    trainings diverge. Early in a run higher rates are better, and the other hyperparameters matter less.

    Args:
        cell: The cell.
        number: Number of the surface, from which it is drawn.
    """

    def __init__(self, cell: Cell, number: int) -> None:
        self.cell, self.space = cell, cell.optimizer.search
        self.names = sorted(self.space)
        random, count = np.random.default_rng([len(self.names), number]), len(self.names)
        self.number, self.rate = number, self.names.index("lr")
        drawn = zip(self.names, random.uniform(0.15, 0.85, count), strict=True)
        # A part of an axis can stand for one value, such as 0.
        self.optimum = np.array([self.space[name].position(self.space[name].at(share)) for name, share in drawn])
        scales = np.exp(random.uniform(math.log(0.2), math.log(2.0), count))
        scales[self.rate] = math.exp(random.uniform(math.log(2.0), math.log(5.0)))
        turn = np.eye(count)
        for name in [name for name in self.names if name in ("beta1", "momentum", "decay_per_step")]:
            angle, other = random.uniform(-math.pi / 4, math.pi / 4), self.names.index(name)
            one = np.eye(count)
            one[[self.rate, other], [self.rate, other]] = math.cos(angle)
            one[self.rate, other], one[other, self.rate] = math.sin(angle), -math.sin(angle)
            turn = one @ turn
        self.axes = np.diag(scales) @ turn
        self.cliff, self.depth = random.uniform(0.12, 0.3), random.uniform(math.log(4), math.log(40))

    def excess(self, values: dict[str, Any], share: float = 1.0) -> float:
        """The logarithm of the loss over the lowest one, after a share of the run; infinite beyond the cliff."""
        position = np.array([self.space[name].position(values[name]) for name in self.names])
        offset = position - self.optimum
        if offset[self.rate] > self.cliff:
            return math.inf
        offset[self.rate] -= 0.1 * (1 - share)
        weights = np.full(len(offset), math.sqrt(share))
        weights[self.rate] = 1.0
        steep = float(((self.axes @ (weights * offset)) ** 2).sum())
        return self.depth * -math.expm1(-steep / self.depth)

    def curve(self, values: dict[str, Any], seed: int) -> np.ndarray:
        """The validation losses at all evaluations, on one seed."""
        shares = np.arange(self.cell.evaluations + 1) / self.cell.evaluations
        random = np.random.default_rng(derive(f"{sorted(values.items())}/{seed}/{self.number}", "noise"))
        own, steps = random.normal(), random.normal(size=len(shares))
        progress = shares**0.3
        noise = NOISE * progress * (own + 0.5 * steps)
        excess = np.array([0.0, *(self.excess(values, share) for share in shares[1:])])
        return np.array([START, *(START * np.exp(progress * (excess - self.depth) + noise))[1:]])

    def tune(self) -> dict[str, Any] | None:
        """Tunes this surface, and returns the chosen hyperparameters."""

        def train(proposals: Sequence[Proposal]) -> list[Trial]:
            return [follow(self.cell, one, self.curve(one.hyperparameters, one.seed)) for one in proposals]

        best = best_trial(tune(self.cell, train, self.number))
        return best.hyperparameters if best else None

    def regret(self) -> float:
        """The true loss of the chosen point over the lowest one."""
        chosen = self.tune()
        return math.exp(min(self.excess(chosen), self.depth) if chosen else self.depth)


def simulate(cell: Cell, repetitions: int) -> np.ndarray:
    """The regrets of a cell's tuning on simulated losses, which are the same for all samplers, pruners and worths."""
    return np.array([Surface(cell, number).regret() for number in range(repetitions)])


class Trainings:
    """Real tunings of one cell."""

    def __init__(self, cell: Cell) -> None:
        from optbench.problem.data import DataSource
        from optbench.training.device_data import load
        from optbench.training.execution.trainer import Trainer

        self.cell = cell
        source = DataSource(Path("unused"), download=False)
        self.trainer = Trainer(cell, *load(cell.problem, source, cell.device))

    def choose(self, study: int) -> dict[str, Any] | None:
        """The hyperparameters that a tuning chooses."""
        best = best_trial(tune(self.cell, self._train, study))
        return best.hyperparameters if best else None

    def judge(self, values: dict[str, Any]) -> float:
        """The mean loss of a point on fresh seeds; infinite if it diverged on one of them."""
        from optbench.training.execution.replica import Replica

        replicas = [Replica(values, FIRST_SEED + seed) for seed in range(SEEDS)]
        trainings = self.trainer.train(replicas, self.cell.run_cost)
        losses = [one.late_means(self.cell.evaluations)[0] if one.status == "ok" else math.inf for one in trainings]
        return float(np.mean(losses))

    def _train(self, proposals: Sequence[Proposal]) -> list[Trial]:
        from optbench.training.execution.replica import Replica

        end = self.cell.evaluations
        replicas = [Replica(p.hyperparameters, p.seed, p.observer, p.until, p.limit) for p in proposals]
        trials = []
        for proposal, training in zip(proposals, self.trainer.train(replicas, self.cell.run_cost), strict=True):
            until = proposal.until or end
            paused = until < end and training.status == "ok"
            trials.append(
                Trial(
                    proposal.number, proposal.hyperparameters, "paused" if paused else training.status,
                    training.points[0].valid_loss, training.late_means(until)[0], round(3 * training.cost),
                    {point.index: point.valid_loss for point in training.points}, until,
                )
            )  # fmt: skip
        return trials


def rules(samplers: str, worths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Sampler, pruner and worth of each rule; a grid is not raced."""
    for worth in map(float, worths):
        for sampler in samplers.split(","):
            yield from (
                {"sampler": sampler, "pruner": pruner, "worth": worth} for pruner in PRUNERS[sampler == "grid" :]
            )


def _describe(rule: dict[str, Any], regrets: np.ndarray) -> str:
    error = np.log(regrets).std(ddof=1) / math.sqrt(len(regrets))
    name = f"{rule['sampler']}, pruner {rule['pruner']}, worth {rule['worth']:g}, n = {len(regrets)}"
    mean = math.exp(float(np.log(regrets).mean()))
    return f"{name}: geometric mean {mean:.3f} (± {100 * error:.1f} %), {summarise(regrets)}"


def _print_simulated(samplers: str, repetitions: str, *worths: str) -> None:
    for rule in rules(samplers, worths):
        regrets = [simulate(cell_of(optimizer, **rule), int(repetitions)) for optimizer in OPTIMIZERS]
        print(_describe(rule, np.concatenate(regrets)), flush=True)


def _append_trained(file: str, samplers: str, studies: str, *worths: str) -> None:
    for rule in rules(samplers, worths):
        for optimizer in OPTIMIZERS:
            trainings = Trainings(cell_of(optimizer, **rule))
            for study in range(int(studies)):
                chosen = trainings.choose(study)
                loss = math.inf if chosen is None else trainings.judge(chosen)
                line = json.dumps({"optimizer": optimizer, **rule, "study": study, "loss": loss, "chosen": chosen})
                with Path(file).open("a", encoding="utf-8") as lines:
                    lines.write(f"{line}\n")


def _print_trained(file: str) -> None:
    import pandas as pd

    frame = pd.read_json(file, lines=True)
    frame["regret"] = frame["loss"] / frame.groupby("optimizer")["loss"].transform("min")
    for names, own in frame.groupby(["sampler", "pruner", "worth"], sort=False):
        print(_describe(dict(zip(("sampler", "pruner", "worth"), names, strict=True)), own["regret"].to_numpy()))


def main(command: str, *rest: str) -> None:
    """Runs one of the commands in the head of this file."""
    {"simulated": _print_simulated, "trained": _append_trained, "table": _print_trained}[command](*rest)


if __name__ == "__main__":
    main(*sys.argv[1:])
