"""A new problem in one class: points on two interleaved spirals, which a small network has to tell apart.

    python examples/own_problem.py [FOLDER]

Shows what a problem declares (data, model, loss, metric, target), what `optbench.check` tests, and how soon two
optimizers reach the target: 10 paired seeds, no network access. Measured: 44 s of processor time, and 55 s in all on
two cores of an AMD EPYC that other programs used at the same time (torch 2.14.1). Results are kept in FOLDER (default:
results); a second call reads them and trains nothing.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import optbench


# A frozen dataclass. Its fields are parameters that are chosen in brackets, and a list is a sweep:
#     optbench run --problem 'examples/own_problem.py:Spirals[turns=[1,1.5,2]]' --optimizer adam
@dataclass(frozen=True)
class Spirals(optbench.Problem):
    """Two interleaved spirals in the plane (Lang and Witbrock 1988), and a network with two hidden layers."""

    name = "spirals"
    batch_sizes = (50,)  # used by runs that do not name others
    run_budget = "30epochs"
    target = 0.95  # the accuracy on validation data that counts as solved

    turns: float = 1.5
    points: int = 2000
    noise: float = 0.6

    def load_data(self, source):
        random = np.random.RandomState(0)  # a fixed seed: the data must follow from the parameters alone
        label = random.randint(0, 2, self.points)
        radius = 2 * np.pi * self.turns * np.sqrt(random.uniform(0.02, 1, self.points))
        angle = radius + np.pi * label
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        x = (x + self.noise * random.standard_normal(x.shape)) / radius.std()
        # 60 % to train on, 20 % to choose the learning rate by, 20 % for the final figures; always the same split.
        return optbench.Data.split(torch.from_numpy(x).float(), torch.from_numpy(label).long(), valid=0.2, test=0.2)

    # Called for each training. The initial weights come from torch's generator, which optbench has seeded.
    def model(self):
        return nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))

    # `batch` holds some examples of each tensor given to `Data.split`; return means over it. The metric is an accuracy
    # unless you set `metric_name`, and for errors `metric_higher_is_better = False`.
    def loss(self, model, batch):
        x, label = batch
        return nn.functional.cross_entropy(model(x), label)

    def metric(self, model, batch):
        x, label = batch
        return (model(x).argmax(1) == label).float().mean()


def main(
    results: Path, seeds: int = 10, run_budget: str = "30epochs", tuning_worth: float = 10, engine: str = "processes"
) -> optbench.Results:
    # 1. Check: no example in two splits, a loss that is the mean over its batch, the same bits for the same seed, …
    print("Is the problem sound?\n")
    findings = optbench.check(Spirals)
    print(*findings, sep="\n")
    if any(finding.outcome == "failed" for finding in findings):
        sys.exit("Fix this first: results on it would mean nothing.")

    # 2. Run two optimizers, both with the compute of `tuning_worth` trainings for the tuning of their learning rate.
    print("\nTuning and training …", flush=True)
    choices = {"seeds": seeds, "run_budget": run_budget, "tuning_worth": tuning_worth, "evaluations": 30}
    where = {"results": results, "name": "own_problem", "engine": engine, "outputs": False}
    run = optbench.run(problems=[Spirals], optimizers=["adam", "momentum"], **choices, **where)
    print(run, end="\n\n")

    # 3. Read. How soon the target is reached tells more than final accuracies that are all high. The cost counts
    # example gradients (forward and backward on one example); it is missing where half of the seeds never get there.
    comparison = optbench.compare(run.folder, reference="adam")
    columns = ["optimizer", "lr", "test_metric", "target_reached", "cost_to_target", "audit"]
    print(comparison.leaderboard[columns].to_string(index=False, float_format="%.3g"))
    print("\nIs momentum better than Adam by final accuracy, and by cost to the target?\n")
    print(comparison, optbench.compare(run.folder, reference="adam", metric="cost_to_target"), sep="\n\n")
    return run


if __name__ == "__main__":  # needed because worker processes import this file
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
