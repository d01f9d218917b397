"""A lesson: what the learning rate and momentum do, on a valley that one can draw and on a network.

    python examples/lesson.py [FOLDER]

Nothing is tuned here: each optimizer has the rate in its brackets, and one of them is too high for the valley. Prints
its progress and a table, and writes two figures, FOLDER/lesson-paths.svg and FOLDER/lesson-loss.svg. 3 seeds, no
network access.
"""

import sys
from pathlib import Path

import optbench
from optbench.runner.progress import for_stderr

OPTIMIZERS = ["sgd[lr=0.001]", "sgd[lr=0.01]", "sgd[lr=0.1]", "momentum[lr=0.01]", "adam[lr=0.01]"]
VALLEY, NETWORK = "quadratic_valley", "mlp"


def main(
    results: Path, seeds: int = 3, run_budget: str = "5epochs", tuning_worth: float = 0, engine: str = "processes"
) -> optbench.Results:
    run = optbench.run(
        problems=[VALLEY, NETWORK], optimizers=OPTIMIZERS, batch_sizes=[50], seeds=seeds, run_budget=run_budget,
        tuning_worth=tuning_worth, results=results, name="lesson", engine=engine, outputs=False, progress=for_stderr(),
    )  # fmt: skip
    print(run, end="\n\n")  # it counts the runs that diverged
    table = run.runs.assign(diverged=run.runs["status"] == "diverged").groupby(["problem", "optimizer"], observed=True)
    print(table.agg(test_loss=("test_loss", "median"), runs=("seed", "size"), diverged=("diverged", "sum")).to_string())
    # A cross marks a run that diverged: SGD at 0.1 leaves the valley, though this rate suits it best on the network.
    for name, figure, problem in (("paths", "trajectories", VALLEY), ("loss", "loss_against_cost", NETWORK)):
        axes, _ = optbench.figure(run, figure, problem=problem)
        drawn = axes[0].figure if isinstance(axes, list) else axes.figure
        drawn.savefig(results / f"lesson-{name}.svg")
        print(f"figure  {results / f'lesson-{name}.svg'}")
    return run


if __name__ == "__main__":  # needed because worker processes import this file
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
