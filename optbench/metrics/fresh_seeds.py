"""How cells ended on fresh seeds, and the order of optimizers over all tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.aggregate import middle_scores
from optbench.metrics.compared import directions, drop_copied_runs, drop_repeated_runs, limit_at_zero, merge_ties
from optbench.metrics.losses import seed_losses
from optbench.metrics.probability_of_improvement import probability_of_improvement
from optbench.metrics.ranking import higher_is_better
from optbench.results.stored import CELL, GROUP
from optbench.statistics.intervals import t_interval


def final_runs(choices: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Returns the final runs of chosen hyperparameters, as the runs to compare (`tuned`).

    Args:
        choices: The frame of `tuning_budget.apply_budget`.
        runs: Frame of runs.
    """
    runs = drop_repeated_runs(runs)
    kind = runs["cell_id"].map(choices.set_index("cell_id")["runs"]).to_numpy(dtype=object)
    own = np.where(runs["tuned"].astype(bool), "tuned", "default")
    return runs[kind == own].assign(tuned=True)


def match_seeds(final: pd.DataFrame, choices: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Keeps the final runs whose medians can be compared within a problem.

    Tuned cells have default runs on their first seeds only. Where such a cell is chosen at its default, the runs of all
    cells of its problem are kept on the seeds of these default runs only.

    Args:
        final: The frame of `final_runs`.
        choices: The frame of `tuning_budget.apply_budget`.
        runs: Frame of runs.
    """
    tuned = runs.loc[runs["tuned"].astype(bool), "cell_id"]
    default = choices.loc[choices["runs"] == "default", "cell_id"]
    few = final[final["cell_id"].isin(default) & final["cell_id"].isin(tuned)]
    seeds = {problem: set(own["seed"]) for problem, own in few.groupby("problem", observed=True)}
    places = zip(final["problem"], final["seed"], strict=True)
    return final[np.array([problem not in seeds or seed in seeds[problem] for problem, seed in places], dtype=bool)]


def measure_cells(runs: pd.DataFrame, cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns one row per cell that has final runs: how it ended, as the leaderboard has it.

    The columns are `CELL`, `cell_id`, `score` (the median loss over seeds, lower is better, infinite for failures),
    `value` (the median of the metric), `mean`, `mean_low`, `mean_high` (missing if a seed failed), `n_seeds`, `lr`,
    `others` and `test_loss` (the median). Equal scores of a problem are made the same number.

    Args:
        runs: The frame of `final_runs`.
        cells: Frame of cells, each of them once.
        metric: One of `metrics.METRICS`.
    """
    runs = drop_copied_runs(runs)
    losses = seed_losses(runs, cells, metric)
    higher = directions(cells)
    rows: list[dict[str, Any]] = []
    for key, part in losses.groupby(CELL, observed=True, sort=True):
        about: dict[str, Any] = dict(zip(CELL, key, strict=True))
        sign = -1.0 if higher_is_better(metric, bool(higher.get(about["problem"], False))) else 1.0
        values = sign * part["loss"].to_numpy(dtype=float)
        score = float(np.median(part["loss"]))
        whole = np.isfinite(values).all()
        low, high = t_interval(values) if whole else (math.nan, math.nan)
        score, value = (score, sign * score) if math.isfinite(score) else (math.inf, math.nan)
        rows.append(about | {
            "score": score, "value": value,
            "mean": float(values.mean()) if whole else math.nan, "mean_low": low, "mean_high": high,
            "n_seeds": len(part),
        })  # fmt: skip
    columns = [*CELL, "score", "value", "mean", "mean_low", "mean_high", "n_seeds"]
    table = pd.DataFrame(rows, columns=columns)
    table["score"] = merge_ties(table["score"], [table["problem"]])
    flags = {name: higher_is_better(metric, bool(higher.get(name, False))) for name in table["problem"]}
    bounds = pd.Series(table["mean_low"].to_numpy(dtype=float), table["problem"].astype(object))
    values = losses["loss"].to_numpy(dtype=float)
    table["mean_low"] = limit_at_zero(bounds, values, losses["problem"], pd.Series(flags, dtype=bool)).to_numpy()
    first = runs.drop_duplicates(CELL)[[*CELL, "lr", "cell_id"]]
    ended = pd.to_numeric(runs["test_loss"]).astype(float)
    ended = ended.where((runs["status"] == "ok") & np.isfinite(ended), np.inf).groupby(runs["cell_id"]).median()
    first = first.assign(test_loss=first["cell_id"].map(ended))
    others = cells.set_index("cell_id")["others_tuned"] if "others_tuned" in cells else pd.Series(dtype=object)
    first["others"] = first["cell_id"].map(others).astype(object).fillna("")
    for name in CELL:
        first[name] = first[name].astype(table[name].dtype)
    return table.merge(first, on=CELL, how="left")


def order_overall(
    improvement: pd.DataFrame, scores: pd.Series, median_ranks: pd.Series, names: Iterable[str]
) -> pd.DataFrame:
    """Returns optimizers in their order over all tasks: `optimizer`, `rank`, `score` and `median_rank`.

    `rank` is by the number of optimizers that are significantly better: those with a lower bound of the probability of
    improvement above one half. Equal ones share the better rank, and are ordered by their score and median rank.

    Args:
        improvement: The table `probability_of_improvement`.
        scores: Interquartile mean of the scores by optimizer.
        median_ranks: Median rank over tasks by optimizer; without one, an optimizer has no rank.
        names: The optimizers.
    """
    better = improvement[improvement["probability_low"] > 0.5].groupby("other", observed=True).size()
    table = pd.DataFrame({"optimizer": sorted(map(str, names))})
    table["score"] = table["optimizer"].map(scores).astype(float)
    table["median_rank"] = table["optimizer"].map(median_ranks).astype(float)
    rank = table["optimizer"].map(better).fillna(0).where(table["median_rank"].notna())
    table["rank"] = rank.rank(method="min").astype("Int64")
    order = ["rank", "score", "median_rank", "optimizer"]
    return table.sort_values(order, ascending=[True, False, True, True], na_position="last", ignore_index=True)


def compare_overall(
    runs: pd.DataFrame, curves: pd.DataFrame | None, cells: pd.DataFrame, measured: pd.DataFrame, metric: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the order of `order_overall` on final runs, and the table of improvements on which it rests.

    Args:
        runs: The frame of `final_runs`.
        curves: Frame of curves, for the scores; without it, equal optimizers are ordered by their median rank.
        cells: Frame of cells.
        measured: The frame of `measure_cells`.
        metric: One of `metrics.METRICS`.
    """
    improvement = probability_of_improvement(runs, cells, metric)
    by = [measured[name] for name in GROUP]
    ranks = merge_ties(measured["score"], by).groupby(by, observed=True).rank(method="min")
    medians = ranks.groupby(measured["optimizer"].astype(str)).median()
    names = measured["optimizer"].astype(str).unique()
    scores = pd.Series(dtype=float) if curves is None else middle_scores(runs, curves, cells)
    return order_overall(improvement, scores, medians, names), improvement
