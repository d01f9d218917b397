"""Computes targets from a pool of reference runs, to be frozen before anything is compared with them.

    python -m optbench.metrics.targets.freeze results/NAME --first-seed 10

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
from optbench.metrics.compared import select_runs

#: The share of the pool's cells that meet each target.
SHARES = {"easy": 0.75, "medium": 0.5, "hard": 0.25}


def freeze(runs: pd.DataFrame, cells: pd.DataFrame, first_seed: int = 0) -> dict[str, dict[str, Any]]:
    """Returns an entry of the targets file by problem label: what ¾, ½ and ¼ of the pool's cells reach.

    A cell counts with the median over seeds of its final validation metric; a failed cell is worse than every number.
    Entries are bound to the problem version of the pool. Problems of which too few cells reach any target have no
    entry.

    Args:
        runs: Frame of runs.
        cells: Frame of cells.
        first_seed: The first seed that counts. Use seeds that comparisons do not use.

    Raises:
        UserError: The pool does not record the version of a problem.
    """
    pool = select_runs(runs, cells)
    pool = pool[pool["seed"] >= first_seed]
    entries = {}
    for problem, own in pool.groupby("problem", observed=True):
        # A cell with runs: the budget of missing cells is unknown.
        about = cells[cells["cell_id"].isin(own["cell_id"])].iloc[0]
        if not about["problem_version"] or pd.isna(about["problem_version"]):
            raise UserError(
                f"the pool does not record the version of problem {problem}; run it again with this version of optbench"
            )
        higher = bool(about["metric_higher_is_better"])
        worst = -np.inf if higher else np.inf
        values = own["valid_metric"].astype(float).where(own["status"] == "ok").fillna(worst)
        medians = values.groupby(own["cell_id"], observed=True).median().to_numpy()
        # An order statistic, not a mean of two values, which could be infinite.
        best_first = np.sort(medians)[::-1] if higher else np.sort(medians)
        reached = {name: best_first[int(np.ceil(share * len(medians))) - 1] for name, share in SHARES.items()}
        targets = {name: _round_easier(value, higher) for name, value in reached.items() if np.isfinite(value)}
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


def _round_easier(value: float, higher: bool) -> float:
    """Rounds to three significant digits, towards the side on which the cells that define the target still meet it."""
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
