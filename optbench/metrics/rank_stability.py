"""How the ranking moves with what one might as well have chosen: target, budget, seeds, problems."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from optbench.metrics.compared import compared_runs
from optbench.metrics.losses import seed_losses, task_ranks
from optbench.results.stored import CELL, GROUP

#: Shares of the run budget at which the ranking is looked at.
SHARES = (0.25, 0.5, 0.75, 1.0)
COLUMNS = ["variation", "level", "optimizer", "rank", "mean_rank", "tau", "tasks", "note", "beside"]
#: What `tau` compares with: the unvaried ranking, or that by the same losses at the end.
AS_IT_IS, AT_THE_END = "the ranking as it is", "validation loss at 100 % of the budget"


def rank_stability(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    cells: pd.DataFrame,
    times: pd.DataFrame | None = None,
    metric: str = "test_metric",
) -> pd.DataFrame:
    """One row for each variation, level and optimizer, beside the ranking as it is (`variation` = `none`).

    `rank` is the place by `mean_rank` (over `tasks`, of the median of `metric`), `tau` Kendall's τ_b between this
    ranking and that of `beside`, 1 being the same order: the one as it is, or, for budgets, that by the same losses at
    the end, so that only the budget differs. Variations: `target` ranks by the cost until each
    target of `times` (the frame of `time_to_target`), `budget` by the validation loss at a share of the run budget
    (constant learning rates only: the middle of a schedule is no result), `seed` and `problem` leave one out.
    What can't be varied is missing, and `note` of the unvaried ranking says why.
    """
    losses = seed_losses(runs, cells, metric)
    base = _ranking(task_ranks(losses))
    parts = [base.assign(variation="none", level="", tau=1.0, beside=AS_IT_IS)]
    notes: list[str] = []
    for variation, levels in (
        ("target", _targets(times, runs, cells)),
        ("budget", _budgets(runs, curves, cells)),
        ("seed", _without(losses, "seed")),
        ("problem", _without(losses, "problem")),
    ):
        rankings = [(level, _ranking(ranks)) for level, ranks in levels]
        other, beside = base, AS_IT_IS
        if variation == "budget" and rankings:
            other, beside = rankings[-1][1], AT_THE_END
        parts += [
            ranking.assign(variation=variation, level=level, tau=_tau(other, ranking), beside=beside)
            for level, ranking in rankings
        ]
        if not rankings:
            notes.append(f"{variation}: {_WHY_NOT[variation]}")
    table = pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)
    table["note"] = np.where(table["variation"] == "none", "; ".join(notes), "")
    return table


_WHY_NOT = {
    "target": "no target that a run has reached",
    "budget": "no evaluations within a run at a constant learning rate",
    "seed": "one seed can't be left out",
    "problem": "one problem can't be left out",
}


def _ranking(ranks: pd.DataFrame) -> pd.DataFrame:
    """Places by mean rank of the frame of `task_ranks`, ties sharing the better one."""
    frame = ranks.groupby("optimizer", observed=True)["rank"].mean().rename("mean_rank").reset_index()
    frame["rank"] = frame["mean_rank"].rank(method="min").astype("Int64")
    frame["tasks"] = len(ranks[GROUP].drop_duplicates())
    return frame.sort_values(["mean_rank", "optimizer"], ignore_index=True)


def _tau(base: pd.DataFrame, other: pd.DataFrame) -> float:
    """Kendall's τ_b of the optimizers that are in both; missing where all are tied, or below two."""
    both = base.merge(other, on="optimizer")
    if len(both) < 2 or both["mean_rank_x"].nunique() < 2 or both["mean_rank_y"].nunique() < 2:
        return np.nan
    return float(stats.kendalltau(both["mean_rank_x"], both["mean_rank_y"]).statistic)


def _without(losses: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    levels = sorted(losses[column].unique())
    for level in levels if len(levels) > 1 else []:
        yield f"without {'seed ' if column == 'seed' else ''}{level}", task_ranks(losses[losses[column] != level])


def _targets(times: pd.DataFrame | None, runs: pd.DataFrame, cells: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    if times is None or times.empty:
        return
    keys = ["cell_id", "seed", "tuned"]
    times = times.merge(compared_runs(runs, cells)[keys], on=keys)
    reached = times["reached"].fillna(False).astype(bool)
    times = times.assign(loss=times["cost_to_target"].astype(float).where(reached, np.inf))
    for name, part in times.groupby("target_name", observed=True, sort=False):
        # Where nobody gets there, there is nobody to rank.
        some = np.isfinite(part["loss"]).groupby([part[key] for key in GROUP], observed=True).transform("any")
        if some.any():
            yield str(name), task_ranks(part[some.to_numpy()])


def _budgets(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    keys = ["cell_id", "seed", "tuned"]
    constant = (curves["schedule"] == "constant") & (curves["kind"] == "run")
    points = curves.loc[constant, [*keys, "cost", "valid_loss"]]
    chosen = compared_runs(runs, cells)
    chosen = chosen.loc[chosen["schedule"] == "constant", [*CELL, *keys, "status"]]
    budget = cells.drop_duplicates("cell_id").set_index("cell_id")["run_budget"].astype(float)
    points = points.assign(share=points["cost"] / points["cell_id"].map(budget).to_numpy(dtype=float))
    points = points.sort_values("cost", kind="stable")
    for share in SHARES:
        upto = points[points["share"] <= share + 1e-9]
        last = upto.groupby(keys, observed=True).agg(valid_loss=("valid_loss", "last"), n=("cost", "size"))
        ended = points.groupby(keys, observed=True)["share"].max().rename("end")
        frame = chosen.merge(last.join(ended), on=keys, how="left")
        # Of a run that goes on the start alone says nothing; one that failed at its start has failed.
        frame = frame[(frame["n"] > 1) | (frame["status"] != "ok")]
        if not (frame["n"] > 1).any():
            continue
        # A run that had failed by then is worse than every number; one that fails later is not yet.
        lost = (frame["status"] != "ok") & ~(frame["end"] > share)
        loss = frame["valid_loss"].where(np.isfinite(frame["valid_loss"]) & ~lost, np.inf)
        yield f"{100 * share:.0f} % of the budget", task_ranks(frame.assign(loss=loss.astype(float)))
