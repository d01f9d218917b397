"""A new optimizer, from its update rule to a verdict: check it, then compare it with Adam and SGD at equal compute.

    python examples/own_optimizer.py [FOLDER]

Shows how to declare an optimizer with its search space, what `optbench.check` tests, and how to read verdicts: two
networks on scikit-learn's digits, 10 paired seeds, no network access. Measured: 26 s of processor time, and 31 s in all
on two cores of an AMD EPYC that other programs used at the same time (torch 2.14.1). Results are kept in FOLDER
(default: results); a second call reads them and trains nothing.
"""

import sys
from pathlib import Path

import torch

import optbench


# The decorator declares what the class itself does not show. `lr` is the range in which the learning rate is searched.
# Choose it before you see results, and as wide as those of the other optimizers (Adam: 1e-5 to 1e-1). `search` adds
# hyperparameters: (low, high) on a logarithmic scale, [value, …], or a `Range`, which allows a linear scale.
@optbench.optimizer(
    lr=(1e-5, 1e-1),
    search={"beta": optbench.Range(0.5, 0.99, log=False)},
    source="Bernstein et al. (2018), signSGD: Compressed Optimisation for Non-Convex Problems, Algorithm 2",
)
class Signum(torch.optim.Optimizer):
    """m ← β m + (1 − β) g;  w ← w − η sign(m): each coordinate moves by η, whatever the size of its gradient g.

    Source: Bernstein et al. (2018), "signSGD: Compressed Optimisation for Non-Convex Problems", Algorithm 2.
    """

    # Every argument needs a default. The first trial of the tuning uses these values.
    def __init__(self, params, lr=1e-3, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:  # read the rate from the group in every step: schedules change it
            for p in group["params"]:
                if p.grad is None:  # a frozen parameter
                    continue
                m = self.state[p].setdefault("m", torch.zeros_like(p))  # in the state, so that it can be saved
                m.lerp_(p.grad, 1 - group["beta"])
                p.sub_(group["lr"] * m.sign())


def main(
    results: Path, seeds: int = 10, run_budget: str = "5epochs", tuning_worth: float = 10, engine: str = "processes"
) -> optbench.Results:
    # 1. Check for anything that would make results unreliable: steps that ignore the learning rate, state shared
    # between instances, an incomplete state_dict(), … A failed check gives the reason and a fix.
    print("Is Signum sound?\n")
    findings = optbench.check(Signum)
    print(*findings, sep="\n")
    if any(finding.outcome == "failed" for finding in findings):
        sys.exit("Fix this first: its results would mean nothing.")

    # 2. Run. Each optimizer may spend the compute of `tuning_worth` trainings on its search space (Signum has two
    # numbers to tune, the others one), then it trains `seeds` times with the best setting. A list in brackets is a
    # sweep: networks with two hidden layers and with four.
    print("\nTuning and training on two networks …", flush=True)
    run = optbench.run(
        problems=["mlp[layers=[2,4]]"],
        optimizers=[Signum, "adam", "sgd"],
        batch_sizes=[50],
        seeds=seeds,
        run_budget=run_budget,
        tuning_worth=tuning_worth,
        results=results,
        name="own_optimizer",
        engine=engine,
        outputs=False,  # `optbench.report(run.folder)` writes tables, plots and the HTML page later
    )
    print(run)  # how many cells (an optimizer on a problem at a batch size) are complete, and whether some failed
    print("\nWhat the tuning chose, and the median test accuracy of the seeds\n")
    tuned = run.runs[run.runs["tuned"]].groupby(["problem", "optimizer"], observed=True, as_index=False)
    medians = tuned[["lr", "hp_beta", "test_metric"]].median()  # only Signum has a hyperparameter `beta`
    print(medians.to_string(index=False, float_format="%.3g", na_rep="–"))

    # 3. Conclude. Seeds are paired: on seed 3 all start from the same weights and see the same batches. An exact test
    # gives win, tie, loss or inconclusive; `more seeds` then estimates how many seeds a decision would need.
    print("\nVerdicts: difference in test accuracy (`effect` in the frame `verdicts`), 95 % interval\n")
    print(optbench.compare(run.folder, reference="adam"))
    print("\nEach verdict holds for its network, this batch size and this budget, not for optimizers in general.")
    return run


if __name__ == "__main__":  # needed because worker processes import this file
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
