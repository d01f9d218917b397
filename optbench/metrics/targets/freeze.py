"""Makes targets from a pool of reference runs, to be frozen before anything is compared with them.

    python -m optbench.metrics.targets.freeze results/NAME --first-seed 3

prints an entry of `frozen.toml` for each problem of the results.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from optbench.errors import UserError
from optbench.metrics.compared import compared_runs

#: The share of the pool's cells that meet each target.
SHARES = {"easy": 0.75, "medium": 0.5, "hard": 0.25}


def freeze(runs: pd.DataFrame, cells: pd.DataFrame, first_seed: int = 0) -> dict[str, dict[str, Any]]:
    """By problem label an entry of the targets file: what ¾, ½ and ¼ of the pool's cells reach.

    A cell counts with the median over seeds, from `first_seed` on, of its final validation metric; one that
    failed is worse than every number. Entries are bound to the version of the problem that the pool ran: raises
    UserError where a pool doesn't record it. Take seeds that comparisons don't use. Problems of which no
    target is met by enough cells have no entry.
    """
    pool = compared_runs(runs, cells)
    pool = pool[pool["seed"] >= first_seed]
    entries = {}
    for problem, own in pool.groupby("problem", observed=True):
        # One that has run: of those that are still missing a cell's budget isn't known.
        about = cells[cells["cell_id"].isin(own["cell_id"])].iloc[0]
        if not about["problem_version"] or pd.isna(about["problem_version"]):
            raise UserError(f"the pool doesn't say which version of {problem} it ran; run it with this optbench")
        higher = bool(about["metric_higher_is_better"])
        worst = -np.inf if higher else np.inf
        values = own["valid_metric"].astype(float).where(own["status"] == "ok").fillna(worst)
        medians = values.groupby(own["cell_id"], observed=True).median().to_numpy()
        # An order statistic of the pool, not a mean of two: infinities must not reach it.
        best_first = np.sort(medians)[::-1] if higher else np.sort(medians)
        reached = {name: best_first[int(np.ceil(share * len(medians))) - 1] for name, share in SHARES.items()}
        targets = {name: _easier(value, higher) for name, value in reached.items() if np.isfinite(value)}
        if targets:
            sizes = ", ".join(map(str, sorted(own["batch_size"].unique())))
            source = (
                f"median final validation {about['metric_name']} that ¾ (easy), ½ (medium) and ¼ (hard) of a pool "
                f"reach: {own['optimizer'].nunique()} optimizers at batch sizes {sizes}, tuned, run budget "
                f"{about['run_budget']:g}, seeds {own['seed'].min()} to {own['seed'].max()}"
            )
            entries[str(problem)] = {
                "problem_version": about["problem_version"], "metric": about["metric_name"],
                "higher_is_better": higher, "source": source, "targets": targets,
            }  # fmt: skip
    return entries


def _easier(value: float, higher: bool) -> float:
    """The value to three significant digits, rounded to the side on which those who set it still meet it."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(abs(value))) - 2)
    whole = np.floor(value / unit * (1 + 1e-12)) if higher else np.ceil(value / unit * (1 - 1e-12))
    return float(f"{whole * unit:.3g}")


def main() -> None:
    """Prints the entries as TOML."""
    from optbench.results.load import load

    parser = argparse.ArgumentParser(prog="python -m optbench.metrics.targets.freeze")
    parser.add_argument("results", type=Path)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    results = load(arguments.results)
    print(tomli_w.dumps({"problems": freeze(results.runs, results.cells, arguments.first_seed)}), end="")


if __name__ == "__main__":
    main()
