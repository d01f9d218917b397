"""Compares two optimizers on a quadratic and on digits: run, read with pandas, draw, and conclude.

    python docs/tutorial.py [FOLDER]

This takes less than a minute on two cores and needs no network. It leaves its results and a figure in FOLDER (default:
tutorial). A second call reads the results from there and computes nothing. Read the file from top to bottom: it is the
tutorial.
"""

import sys
from pathlib import Path

import optbench

# Each optimizer has twelve seeds. With two optimizers, six seeds could decide a clear case; more seeds show smaller
# differences.
SEEDS = 12


def main(folder: Path) -> None:
    # 1. Run. Each optimizer gets the same compute to tune its learning rate (that of 16 trainings), and the same for
    # every final run. `outputs=False` leaves out the tables, plots and page that `optbench.report` would write.
    results = optbench.run(
        problems=["quadratic_valley", "mlp[data=digits]"],
        optimizers=["adam", "momentum"],
        batch_sizes=[50],
        seeds=SEEDS,
        run_budget="5epochs",
        tuning_worth=16,
        results=folder,
        name="adam-momentum",
        outputs=False,
    )

    # 2. Read. `runs`, `trials`, `curves` and `cells` are flat pandas frames: one row per run, trial, point or cell.
    # Each cell has runs at the tuned rate and at the optimizer's default rate. The column `tuned` distinguishes them.
    runs = results.runs
    print("median test metric (the valley's is a distance to the minimum: lower is better; the digits' accuracy)\n")
    medians = runs.pivot_table("test_metric", ["problem", "optimizer"], "tuned", "median", observed=True)
    print(medians.to_string(float_format="%.3g"))

    trials = results.trials
    best = trials.loc[trials.groupby(["problem", "optimizer"], observed=True)["valid_loss"].idxmin()]
    print("\nlearning rates that the tuning found\n")
    print(best[["problem", "optimizer", "lr", "valid_loss"]].to_string(index=False, float_format="%.3g"))

    # Seeds are paired: seed 3 has the same initial weights and the same order of examples for both optimizers. So
    # differences are taken seed by seed. This shows more than two separate means.
    tuned = runs[runs["tuned"]].pivot_table("test_metric", ["problem", "seed"], "optimizer", observed=True)
    better = (tuned["momentum"] > tuned["adam"]).groupby("problem", observed=True).mean()
    print(f"\non digits momentum has the higher accuracy in {better['mlp']:.0%} of the seeds")

    # 3. Draw. Every figure of the report is a function of the results. It returns matplotlib axes, which you can change
    # further, and the frame with the values that they show.
    axes, shown = optbench.figure(results, "lr_sensitivity", "mlp")
    for axis in axes:  # one per optimizer
        axis.grid(visible=True, alpha=0.3)
    file = folder / "lr_sensitivity.png"
    axes[0].figure.savefig(file, dpi=150)
    print(f"\nfigure  {file}: the {len(shown)} learning rates that were tried on digits, and what each led to")

    # 4. Conclude. An exact test of the paired seeds, adjusted for the number of optimizers, gives the verdict win, tie,
    # loss or inconclusive. "Inconclusive" is not a tie: it means that these seeds do not decide. The verdict also gives
    # the number of additional seeds that are likely to decide.
    print("\nwhat may be concluded")
    for row in optbench.compare(results.directory.folder, reference="adam").verdicts.itertuples():
        claim = {
            "win": f"{row.optimizer} is better than {row.reference}",
            "loss": f"{row.optimizer} is worse than {row.reference}",
            "tie": f"{row.optimizer} is as good as {row.reference}",
            "inconclusive": f"these seeds don't tell {row.optimizer} and {row.reference} apart",
        }[row.verdict]
        print(f"- {row.problem}, batch {row.batch_size}: {claim} (p = {row.p_holm:.2g}, {row.n_pairs} paired seeds)")
    print("for these sizes, this budget and these batch sizes; not for optimizers in general")


if __name__ == "__main__":  # worker processes import this file
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "tutorial"))
