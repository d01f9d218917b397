"""A paper's comparison: a claim planned before it is tested, a verdict with its interval, a figure and a table.

    python examples/paper_comparison.py [FOLDER]

The claim: Nesterov's momentum trains a deep autoencoder to a lower error than Adam does. (Sutskever et al. 2013, "On
the importance of initialization and momentum in deep learning", train larger ones in this way. Here it is an exercise:
docs/problems.md already has such a result. Plan your own claim before you know any result.) 12 paired seeds, no network
access. Measured: 40 s of processor time, and 57 s in all on two cores of an AMD EPYC that other programs used at the
same time (torch 2.14.1). Results, figure and tables are kept in FOLDER (default: results); a second call reads the
results and trains nothing.
"""

import math
import sys
from pathlib import Path

import optbench

CLAIMED, REFERENCE, PROBLEM, BATCH_SIZE = "nesterov", "adam", "autoencoder", 100


def main(
    results: Path, seeds: int = 12, run_budget: str = "40epochs", tuning_worth: float = 10, engine: str = "processes"
) -> optbench.Results:
    # 1. Plan before you know any result: the claim, the problem, the metric, the number of seeds. Adding seeds until
    # the result pleases makes more than 5 % of such claims wrong. A win or loss needs at least 6 pairs. 12 pairs
    # detect a mean difference of 0.9 standard deviations (of the paired differences) with a probability of 80 %.
    # For smaller differences, plan with the `more_seeds` of a small pilot.
    choices = {
        "problems": [PROBLEM],
        "optimizers": [CLAIMED, REFERENCE],
        "batch_sizes": [BATCH_SIZE],
        "seeds": seeds,
        "run_budget": run_budget,
        "tuning_worth": tuning_worth,
    }
    plan = optbench.plan(**choices)
    trainings = sum(plan.trainings(cell) for cell in plan.cells)
    print(f"claim   on {PROBLEM}, {CLAIMED} ends with a lower test metric (reconstruction error) than {REFERENCE}")
    print(f"plan    {seeds} paired seeds; with the tuning {trainings:.0f} trainings of {run_budget}\n", flush=True)

    # 2. Run. Both tune their learning rate with the same compute, on other seeds than those that are reported. A cell
    # that failed for a technical reason would count as the worst possible result: compute it again first. (Diverged
    # runs do count, as worst: they are results.)
    run = optbench.run(**choices, results=results, name="paper_comparison", engine=engine, outputs=False)
    if set(run.states().values()) != {"done"}:
        sys.exit(f"{run}: see run.runs['error'], then run again with retry_failed=True")

    # 3. Judge. `verdicts` has a row for each optimizer except the reference. `effect` is the mean ratio of the errors
    # (below 1 is better), printed as `ratio`; for metrics such as accuracy it is the mean difference (above 0 is
    # better), printed as `difference`.
    comparison = optbench.compare(run.folder, reference=REFERENCE)
    verdict = comparison.verdicts.iloc[0]
    print(comparison)

    # 4. Doubt. The audit lists results that may reflect the tuning rather than the optimizer: a best rate at the edge
    # of its range, a loss still falling when the tuning budget ran out, … Resolve these before you publish.
    audit = comparison.tables["audit"]
    print("\naudit   no findings" if audit.empty else f"\n{audit[['optimizer', 'reason']].to_string(index=False)}")

    # 5. Publish. The figure is matplotlib's and the table is pandas', to be adapted to the paper.
    figure, table = results / "paper_comparison.pdf", results / "paper_comparison.tex"
    axes, _ = optbench.figure(run, "loss_against_cost", PROBLEM)  # the second value is the frame that it shows
    axes.figure.savefig(figure, bbox_inches="tight")
    columns = ["optimizer", "reference", "verdict", "effect", "effect_low", "effect_high", "p_holm", "n_pairs"]
    comparison.verdicts[columns].to_latex(table, index=False, escape=True, float_format="%.3g")
    comparison.verdicts.to_csv(table.with_suffix(".csv"), index=False)
    print(f"figure  {figure}\ntable   {table}, all columns in {table.with_suffix('.csv')}")

    # 6. Say what was shown, and no more.
    shown = {"win": "ends lower than", "loss": "ends higher than", "tie": "ends within 5 % of"}
    relation = shown.get(verdict["verdict"], "cannot be told apart from")
    low, mean, high = verdict[["effect_low", "effect", "effect_high"]]
    effect = f"{mean:.2f} times its error, 95 % interval {low:.2f} to {high:.2f}"
    if math.isnan(mean):
        effect = "some runs diverged, so there is no mean effect"
    print(f"""
What may be said: on {PROBLEM} at batch size {BATCH_SIZE} with a run budget of {run_budget}, tuned with equal
compute, {CLAIMED} {relation} {REFERENCE}
({effect}; p = {verdict["p_holm"]:.2g}, {verdict["n_pairs"]} paired seeds).
What may not be said:
- that it is better on other problems, batch sizes or budgets: each can reverse the order;
- that it is faster: the cost counts gradients, not seconds;
- that it is better untuned: see test_metric_default in the leaderboard;
- that another split of the data or another tuning would agree: the interval covers other seeds only.""")
    return run


if __name__ == "__main__":  # needed because worker processes import this file
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
