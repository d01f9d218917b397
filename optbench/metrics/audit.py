"""The undertuning audit: which figures say more about the tuning, or the seeds, than about the optimizer."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import significant
from optbench.metrics.compared import RUN
from optbench.metrics.losses import require, seed_losses
from optbench.results.stored import CELL, GROUP

#: Fewer finite trials than this can't bracket an optimum.
FEWEST_TRIALS = 3
#: A loss is lower, for the audit, if it is so by more than this factor.
MARKED = 1.05
#: The last part of a tuning's cost in which its best should no longer fall.
LAST = 0.25

COLUMNS = [*CELL, "cell_id", "finding", "reason"]
#: What an optimizer contains if this hyperparameter is tuned with it (Choi et al. 2019, section 3.2), by names.
_CONTAINS = [
    (re.compile(r"(sgd|momentum|nesterov)\b|momentum_"), "hp_momentum", re.compile(r"sgd\b")),
    (re.compile(r"adamw?(\b|_)"), "hp_eps", re.compile(r"(sgd|momentum)(\b|_)")),
    (re.compile(r"nadam(\b|_)"), "hp_eps", re.compile(r"(sgd|momentum|nesterov)(\b|_)")),
]


def audit(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """One row a finding, in order of the cells: the columns of `CELL`, `cell_id`, `finding`, `reason`. Empty if
    there is none.

    | `finding` | what was found |
    |---|---|
    | `edge` | the best rate lies at an edge of the declared range |
    | `few_trials` | fewer than `FEWEST_TRIALS` trials ended with a finite loss |
    | `still_falling` | the best loss still fell in the last quarter of the tuning's cost |
    | `default_not_beaten` | no trial beat the default rate, or the tuned rate is worse on fresh seeds |
    | `inclusion` | an optimizer that contains another one found a worse loss |
    | `selection` | the chosen rate isn't that of the trial with the lowest validation loss |
    | `reused_seed` | a seed served twice: for two trials, or for tuning and for the report |
    | `repeated_seed` | a run is there twice; the first was counted |
    | `seedless` | runs of different seeds are equal to the last bit |
    | `remark` | runs that succeeded took no step, never changed the model, or had their own schedule overwritten |
    """
    require(trials, "trials", ["cell_id", "trial", "seed", "lr", "status", "valid_loss", "cost"])
    require(runs, "runs", [*RUN, *CELL, "status", "valid_loss"])
    require(cells, "cells", [*CELL, "cell_id", "edge", "trials", "lr_tuned", "lr_low", "lr_high"])
    # The same cell or trial in two frames that were put together is no second one.
    trials, cells = trials.drop_duplicates(["cell_id", "trial"]), cells.drop_duplicates("cell_id")
    studies = {study.cell_id: study for study in _studies(trials)}
    found: list[tuple[str, str, str]] = []
    for cell in cells[["cell_id", "edge", "trials", "lr_tuned", "lr_low", "lr_high"]].to_dict("records"):
        if cell["cell_id"] in studies:
            name = str(cell["cell_id"])
            found += [(name, finding, reason) for finding, reason in _of_tuning(cell, studies[name])]
    found += [
        *_of_inclusion(trials, cells, studies),
        *_of_fresh_seeds(runs),
        *_of_seeds(trials, runs, cells),
        *_of_remarks(runs),
    ]
    table = pd.DataFrame(found, columns=["cell_id", "finding", "reason"])
    about = cells[["cell_id", *CELL]].assign(place=range(len(cells)))
    table = table.merge(about, on="cell_id").sort_values(["place", "finding"], kind="stable", ignore_index=True)
    return table[COLUMNS]


def marked(board: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """A leaderboard with a last column `audit`: the findings of each cell, with commas, or empty text."""
    names = findings.groupby(CELL, observed=True, sort=False)["finding"].agg(lambda own: ", ".join(dict.fromkeys(own)))
    both = board.drop(columns="audit", errors="ignore").merge(names.rename("audit").reset_index(), on=CELL, how="left")
    return both.assign(audit=both["audit"].astype(object).fillna("").astype("str"))


@dataclass(frozen=True)
class _Study:
    """A cell's trials in the order in which they were made; losses of failed ones are infinite."""

    cell_id: str
    loss: np.ndarray
    lr: np.ndarray
    cost: np.ndarray

    @property
    def finite(self) -> int:
        return int(np.isfinite(self.loss).sum())

    @property
    def best(self) -> int:
        return int(np.argmin(self.loss))


def _studies(trials: pd.DataFrame) -> Iterator[_Study]:
    trials = trials.sort_values(["cell_id", "trial"], kind="stable")
    loss, lr, cost = (trials[name].to_numpy(dtype=float, na_value=math.nan) for name in ("valid_loss", "lr", "cost"))
    loss = np.where((trials["status"] == "ok").to_numpy() & np.isfinite(loss), loss, math.inf)
    names, starts = np.unique(trials["cell_id"].to_numpy(dtype=object).astype(str), return_index=True)
    for name, *parts in zip(names, *(np.split(values, starts)[1:] for values in (loss, lr, cost)), strict=True):
        yield _Study(str(name), *parts)


def _of_remarks(runs: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    if "error" not in runs:
        return
    remarks = runs[(runs["status"] == "ok") & (runs["error"].fillna("") != "")]
    for cell, own in remarks.groupby("cell_id", observed=True, sort=False):
        yield str(cell), "remark", f"{len(own)} of {(runs['cell_id'] == cell).sum()} runs: {own['error'].iloc[0]}"


def _worse(loss: float, other: float) -> bool:
    """Whether a loss is higher by more than `MARKED`; by that share of its size where losses aren't positive."""
    if other > 0:
        return loss > other * MARKED
    return loss - other > (MARKED - 1) * abs(other)


def _of_tuning(cell: dict[Any, Any], study: _Study) -> Iterator[tuple[str, str]]:
    if cell["edge"]:
        yield (
            "edge",
            (
                f"the best rate lies at the {cell['edge']} edge of the declared range, "
                f"{significant(cell['lr_low'], 3, True)} to {significant(cell['lr_high'], 3, True)}"
            ),
        )
    if study.finite < FEWEST_TRIALS:
        yield (
            "few_trials",
            f"{study.finite} of {len(study.loss)} trials ended with a finite loss; {FEWEST_TRIALS} are the least",
        )
    if not study.finite:
        return
    if len(study.loss) > 1 and study.best == 0:
        yield (
            "default_not_beaten",
            f"none of {len(study.loss) - 1} further trials had a lower validation loss than the default rate",
        )
    begun = np.cumsum(study.cost) - study.cost
    late = begun >= (1 - LAST) * study.cost.sum() - 1e-9
    late[-1] = True
    before = study.loss[~late].min(initial=math.inf)
    after = study.loss[late].min(initial=math.inf)
    if math.isfinite(before) and _worse(before, after):
        yield (
            "still_falling",
            (
                f"the best validation loss fell from {significant(before)} to {significant(after)} in the last "
                f"{100 * LAST:.0f} % of the tuning's cost"
            ),
        )
    chosen = cell["lr_tuned"]
    if pd.notna(chosen) and not np.isclose(chosen, study.lr[study.best], rtol=1e-6):
        yield (
            "selection",
            (
                f"the rate {significant(chosen, 3, True)} was chosen, but the lowest validation loss is that of "
                f"{significant(study.lr[study.best], 3, True)}"
            ),
        )


def _of_inclusion(
    trials: pd.DataFrame, cells: pd.DataFrame, studies: dict[str, _Study]
) -> Iterator[tuple[str, str, str]]:
    """A tuned optimizer that can imitate another one can't be worse, but by being tuned too little."""
    free = {
        column: set(trials.groupby("cell_id")[column].nunique().loc[lambda n: n > 1].index)
        for column in ("hp_momentum", "hp_eps")
        if column in trials
    }
    if not any(free.values()):
        return
    for _, group in cells[cells["cell_id"].isin(studies)].groupby(GROUP, observed=True):
        names = dict(zip(group["optimizer"].astype(str), group["cell_id"], strict=True))
        for name, cell_id in names.items():
            for pattern, column, contained in _CONTAINS:
                if not pattern.match(name) or cell_id not in free.get(column, ()):
                    continue
                for other, its_id in names.items():
                    loss, its = studies[cell_id].loss.min(), studies[its_id].loss.min()
                    if (
                        other != name
                        and contained.match(other)
                        and its_id not in free.get(column, ())
                        and _worse(loss, its)
                    ):
                        yield (
                            cell_id,
                            "inclusion",
                            (
                                f"it contains {other}, but found a validation loss of {significant(loss)} "
                                f"where {other} found {significant(its)}"
                            ),
                        )


def _of_fresh_seeds(runs: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Tuned rates that are worse than the default where neither was selected."""
    loss = pd.to_numeric(runs["valid_loss"]).astype(float)
    # Which of the two is worse is only said of seeds that both have.
    runs = runs.assign(loss=loss.where((runs["status"] == "ok") & np.isfinite(loss), np.inf)).drop_duplicates(RUN)
    wide = runs.pivot(index=["cell_id", "seed"], columns="tuned", values="loss")
    if not {True, False} <= set(wide.columns):
        return
    middle = wide.dropna().groupby(level="cell_id").median()
    for cell_id, tuned, default in zip(middle.index, middle[True], middle[False], strict=True):
        if math.isfinite(default) and _worse(tuned, default):
            what = f"{significant(tuned)}" if math.isfinite(tuned) else "no finite loss"
            yield (
                str(cell_id),
                "default_not_beaten",
                (
                    f"on fresh seeds the tuned rate ends with a median validation loss of {what}, the default with "
                    f"{significant(default)}"
                ),
            )


def _of_seeds(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    reported = set(zip(runs["cell_id"], runs["seed"], strict=True))
    tuning = pd.Series(list(zip(trials["cell_id"], trials["seed"], strict=True)), dtype=object)
    for cell_id, seed in sorted(set(tuning[tuning.isin(reported)])):
        yield str(cell_id), "reused_seed", f"seed {seed} is one that the tuning used, and is reported on"
    for cell_id, seed in sorted(set(tuning[tuning.duplicated()])):
        yield str(cell_id), "reused_seed", f"several trials used the seed {seed}"
    repeated = runs[runs.duplicated(RUN, keep=False)]
    for (cell_id, seed, tuned), same in repeated.groupby(RUN, observed=True):
        alike = len(same[["status", "train_loss", "valid_loss", "test_loss"]].drop_duplicates()) == 1
        kind = "tuned" if tuned else "default"
        yield (
            str(cell_id),
            "repeated_seed",
            (
                f"the {kind} run of seed {seed} is there {len(same)} times, with "
                f"{'the same' if alike else 'different'} losses; the first was counted"
            ),
        )
    losses = seed_losses(runs, cells, "valid_loss")
    copies = losses[losses["copy_of"] != losses["seed"]].groupby(CELL, observed=True).size().rename("copies")
    for cell_id, number in cells.merge(copies.reset_index(), on=CELL)[["cell_id", "copies"]].itertuples(index=False):
        yield str(cell_id), "seedless", f"{number} seeds repeat another one bit by bit: they are no new observations"
