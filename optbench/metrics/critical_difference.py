"""Which optimizers can't be told apart over problems: mean ranks, Wilcoxon–Holm, and the groups they form."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.normalised import common_tasks
from optbench.statistics import ranks as rank_statistics

#: Below so many problems mean ranks can't be told apart: with 8 optimizers on 8 problems they would have to
#: differ by 3.7 of the 7 ranks that there are.
FEWEST_PROBLEMS = 10
COLUMNS = ["optimizer", "mean_rank", "groups", "friedman_p", "nemenyi", "problems", "note"]


def critical_difference(
    runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame, alpha: float = 0.05
) -> pd.DataFrame:
    """One row an optimizer, the best mean rank over problems first.

    A problem counts once: its score is the mean over its tasks of the median `normalised` score over seeds.
    `groups` are letters; optimizers that share one don't differ by the exact signed-rank test with Holm's
    adjustment over all pairs. `friedman_p` is that of F_F, `nemenyi` the difference of mean ranks that Nemenyi's test
    would ask for, for comparison only. Below `FEWEST_PROBLEMS` problems there are mean ranks and nothing else.
    """
    common = common_tasks(runs, curves, cells)
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
            joined = rank_statistics.cliques(ranked.mean(axis=0), rank_statistics.wilcoxon_holm(losses), alpha)
            table["groups"] = _letters(ranked.mean(axis=0), joined)
    if len(names) < 2:
        note = "; ".join(filter(None, [note, "one optimizer has nobody to differ from"]))
    elif problems < FEWEST_PROBLEMS:
        reason = f"a critical difference needs {FEWEST_PROBLEMS} problems, and these are {problems}"
        note = "; ".join(filter(None, [note, reason]))
    table["note"] = note
    return table.sort_values(["mean_rank", "optimizer"], na_position="last", ignore_index=True)


def _letters(mean_ranks: np.ndarray, joined: list[list[int]]) -> list[str]:
    """A letter for each group, in order of rank; an optimizer in no group has one of its own."""
    alone = [[index] for index in range(len(mean_ranks)) if not any(index in group for group in joined)]
    groups = sorted([*joined, *alone], key=lambda group: min(mean_ranks[index] for index in group))
    return [
        "".join(chr(ord("a") + place) for place, group in enumerate(groups) if index in group)
        for index in range(len(mean_ranks))
    ]
