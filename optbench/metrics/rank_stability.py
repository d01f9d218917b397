"""How the ranking changes with choices that could have been different: target, budget, seeds, problems."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from optbench.metrics.compared import drop_copied_runs, select_runs
from optbench.metrics.losses import seed_losses, task_ranks
from optbench.results.stored import CELL, GROUP

#: Shares of the run budget at which the ranking is computed.
SHARES = (0.25, 0.5, 0.75, 1.0)
COLUMNS = ["variation", "level", "optimizer", "rank", "mean_rank", "tau", "tasks", "note", "beside"]
#: The rankings that `tau` compares with: the main ranking, or the ranking by the same losses at the end.
MAIN_RANKING, FINAL_RANKING = "the ranking as it is", "validation loss at 100 % of the budget"


def rank_stability(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    cells: pd.DataFrame,
    times: pd.DataFrame | None = None,
    metric: str = "test_metric",
) -> pd.DataFrame:
    """Returns one row per variation, level and optimizer, in addition to the main ranking (`variation` = `none`).

    `rank` is the place by `mean_rank` over `tasks` of the median of `metric`. `tau` is Kendall's τ_b between this
    ranking and the one that `beside` names, 1 being the same order: the main ranking, or, for budgets, the ranking by
    the same losses at the end, so that only the budget differs. Impossible variations are missing, and `note` of the
    main ranking gives the reason. The variations:

    - `target`: the cost to each target.
    - `budget`: the validation loss at a share of the run budget, for constant learning rates only (the middle of a
      schedule is not a final state).
    - `seed`, `problem`: leave one out.

    Args:
        runs: Frame of runs.
        curves: Frame of curves.
        cells: Frame of cells.
        times: The frame of `time_to_target`.
        metric: One of `metrics.METRICS`.
    """
    losses = seed_losses(runs, cells, metric)
    base = _rank(task_ranks(losses))
    parts = [base.assign(variation="none", level="", tau=1.0, beside=MAIN_RANKING)]
    notes: list[str] = []
    for variation, levels in (
        ("target", _vary_target(times, runs, cells)),
        ("budget", _vary_budget(runs, curves, cells)),
        ("seed", _leave_out(losses, "seed")),
        ("problem", _leave_out(losses, "problem")),
    ):
        rankings = [(level, _rank(ranks)) for level, ranks in levels]
        other, beside = base, MAIN_RANKING
        if variation == "budget" and rankings:
            other, beside = rankings[-1][1], FINAL_RANKING
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
    "target": "no run has reached a target",
    "budget": "no evaluations during a run at a constant learning rate",
    "seed": "the only seed cannot be left out",
    "problem": "the only problem cannot be left out",
}


def _rank(ranks: pd.DataFrame) -> pd.DataFrame:
    """Ranks optimizers by their mean rank in the frame of `task_ranks`; ties share the better place."""
    frame = ranks.groupby("optimizer", observed=True)["rank"].mean().rename("mean_rank").reset_index()
    frame["rank"] = frame["mean_rank"].rank(method="min").astype("Int64")
    frame["tasks"] = len(ranks[GROUP].drop_duplicates())
    return frame.sort_values(["mean_rank", "optimizer"], ignore_index=True)


def _tau(base: pd.DataFrame, other: pd.DataFrame) -> float:
    """Returns Kendall's τ_b of the optimizers in both rankings; NaN with fewer than two, or if one is all tied."""
    both = base.merge(other, on="optimizer")
    if len(both) < 2 or both["mean_rank_x"].nunique() < 2 or both["mean_rank_y"].nunique() < 2:
        return np.nan
    return float(stats.kendalltau(both["mean_rank_x"], both["mean_rank_y"]).statistic)


def _leave_out(losses: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    levels = sorted(losses[column].unique())
    for level in levels if len(levels) > 1 else []:
        yield f"without {'seed ' if column == 'seed' else ''}{level}", task_ranks(losses[losses[column] != level])


def _vary_target(
    times: pd.DataFrame | None, runs: pd.DataFrame, cells: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame]]:
    if times is None or times.empty:
        return
    keys = ["cell_id", "seed", "tuned"]
    times = times.merge(drop_copied_runs(select_runs(runs, cells))[keys], on=keys).assign(copy_of=lambda t: t["seed"])
    reached = times["reached"].fillna(False).astype(bool)
    times = times.assign(loss=times["cost_to_target"].astype(float).where(reached, np.inf))
    for name, part in times.groupby("target_name", observed=True, sort=False):
        # Tasks on which no run reaches the target give no ranks.
        some = np.isfinite(part["loss"]).groupby([part[key] for key in GROUP], observed=True).transform("any")
        if some.any():
            yield str(name), task_ranks(part[some.to_numpy()])


def _vary_budget(runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    keys = ["cell_id", "seed", "tuned"]
    constant = (curves["schedule"] == "constant") & (curves["kind"] == "run")
    points = curves.loc[constant, [*keys, "cost", "valid_loss"]]
    chosen = drop_copied_runs(select_runs(runs, cells)).assign(copy_of=lambda own: own["seed"])
    chosen = chosen.loc[chosen["schedule"] == "constant", [*CELL, *keys, "copy_of", "status"]]
    budget = cells.drop_duplicates("cell_id").set_index("cell_id")["run_budget"].astype(float)
    points = points.assign(share=points["cost"] / points["cell_id"].map(budget).to_numpy(dtype=float))
    points = points.sort_values("cost", kind="stable")
    for share in SHARES:
        upto = points[points["share"] <= share + 1e-9]
        last = upto.groupby(keys, observed=True).agg(valid_loss=("valid_loss", "last"), n=("cost", "size"))
        ended = points.groupby(keys, observed=True)["share"].max().rename("end")
        frame = chosen.merge(last.join(ended), on=keys, how="left")
        # A run with only its first evaluation so far is left out, unless it failed at its start.
        frame = frame[(frame["n"] > 1) | (frame["status"] != "ok")]
        if not (frame["n"] > 1).any():
            continue
        # A run that has failed by then is worse than every number; one that fails later still counts.
        lost = (frame["status"] != "ok") & ~(frame["end"] > share)
        loss = frame["valid_loss"].where(np.isfinite(frame["valid_loss"]) & ~lost, np.inf)
        yield f"{100 * share:.0f} % of the budget", task_ranks(frame.assign(loss=loss.astype(float)))
