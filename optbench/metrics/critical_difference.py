"""Mean ranks over problems, and the groups of optimizers that do not differ significantly (Wilcoxon–Holm)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.normalised import select_common_tasks
from optbench.statistics import ranks as rank_statistics

#: With fewer problems, mean ranks rarely differ significantly: 8 optimizers on 8 problems would have to differ by 3.7
#: of at most 7 ranks.
FEWEST_PROBLEMS = 10
COLUMNS = ["optimizer", "mean_rank", "groups", "friedman_p", "nemenyi", "problems", "note"]


def critical_difference(
    runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame, alpha: float = 0.05
) -> pd.DataFrame:
    """Returns one row per optimizer, the best mean rank over problems first.

    Every problem counts once: its score is the mean over its tasks of the median over seeds of `normalise_scores`.
    `groups` are letters; optimizers that share a letter do not differ by the exact signed-rank test with Holm's
    adjustment over all pairs. `friedman_p` is the p-value of F_F. `nemenyi` is the difference of mean ranks that
    Nemenyi's test requires, for comparison only. With fewer than `FEWEST_PROBLEMS` problems there are only mean ranks.

    Args:
        runs: Frame of runs.
        curves: Frame of curves, for the metric at the start.
        cells: Frame of cells.
        alpha: Significance level.
    """
    common = select_common_tasks(runs, curves, cells)
    names, note = common.optimizers, common.note
    scores = [np.median(stratum, axis=-1).mean(axis=1) for stratum in common.strata]
    losses = -np.array(scores).reshape(len(scores), len(names))
    problems = len(losses)
    table = pd.DataFrame({"optimizer": names, "problems": problems}, columns=COLUMNS)
    table = table.astype({"mean_rank": float, "friedman_p": float, "nemenyi": float})
    table["groups"] = table["note"] = ""
    if problems:
        ranked = rank_statistics.ranks(losses)
        table["mean_rank"] = ranked.mean(axis=0)
        if problems >= FEWEST_PROBLEMS and len(names) > 1:
            table["friedman_p"] = rank_statistics.friedman(ranked)[2]
            table["nemenyi"] = rank_statistics.critical_difference(len(names), problems, alpha)
            groups = rank_statistics.cliques(ranked.mean(axis=0), rank_statistics.wilcoxon_holm(losses), alpha)
            table["groups"] = _letters(ranked.mean(axis=0), groups)
    if len(names) < 2:
        note = "; ".join(filter(None, [note, "a critical difference needs two optimizers"]))
    elif problems < FEWEST_PROBLEMS:
        reason = f"a critical difference needs {FEWEST_PROBLEMS} problems (available: {problems})"
        note = "; ".join(filter(None, [note, reason]))
    table["note"] = note
    return table.sort_values(["mean_rank", "optimizer"], na_position="last", ignore_index=True)


def _letters(mean_ranks: np.ndarray, cliques: list[list[int]]) -> list[str]:
    """Returns the letters of each optimizer's groups, in order of rank; an optimizer without a group has its own."""
    alone = [[index] for index in range(len(mean_ranks)) if not any(index in group for group in cliques)]
    groups = sorted([*cliques, *alone], key=lambda group: min(mean_ranks[index] for index in group))
    return [
        "".join(chr(ord("a") + place) for place, group in enumerate(groups) if index in group)
        for index in range(len(mean_ranks))
    ]
