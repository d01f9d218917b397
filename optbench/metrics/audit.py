"""The undertuning audit: finds results that may reflect the tuning or the seeds rather than the optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import format_number
from optbench.metrics.compared import RUN, drop_copied_runs, select_runs
from optbench.metrics.inclusion import Inclusion, inclusions
from optbench.metrics.known_length import KnownLengths
from optbench.metrics.losses import require_columns, seed_losses
from optbench.metrics.verdicts import verdicts_against
from optbench.results.stored import CELL, STOPPED

#: The fewest finite trials that can bracket an optimum, for each hyperparameter that is tuned.
FEWEST_TRIALS = 3
#: A loss counts as worse if it is higher by more than this factor.
WORSE_FACTOR = 1.05
#: The last share of a tuning's cost, during which its best loss should no longer fall.
LAST = 0.25

COLUMNS = [*CELL, "cell_id", "finding", "reason"]


def audit(
    trials: pd.DataFrame,
    runs: pd.DataFrame,
    cells: pd.DataFrame,
    environments: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Returns one row per finding, in the order of the cells: the columns of `CELL`, `cell_id`, `finding`, `reason`.

    | `finding` | meaning |
    |---|---|
    | `edge` | the best rate lies at an edge of the declared range |
    | `few_trials` | fewer than `FEWEST_TRIALS` trials ended with a finite loss |
    | `still_falling` | the best loss still fell in the last quarter of the tuning's cost |
    | `default_not_beaten` | no trial beat the default rate, or the tuned rate is worse on fresh seeds |
    | `inclusion` | an optimizer lost on fresh seeds to one that it contains as a special case |
    | `selection` | the chosen rate is not that of the trial with the lowest validation loss |
    | `reused_seed` | trials trained a point twice on a seed, or a seed was used for both tuning and final runs |
    | `repeated_seed` | a run occurs twice; the first one is counted |
    | `seedless` | runs on different seeds are equal up to rounding |
    | `versions` | the trials and runs of a cell were computed with several versions of torch |
    | `known_length` | the optimizer knows the length of the training, and another one of the task does not |
    | `remark` | successful runs took no step, never changed the model, or have another remark |

    Args:
        trials: Frame of trials (see `optbench.load`).
        runs: Frame of runs.
        cells: Frame of cells.
        environments: The environments that computed trials and runs, by key; without them, versions are not compared.

    Raises:
        UserError: A frame lacks a column.
    """
    require_columns(trials, "trials", ["cell_id", "trial", "seed", "lr", "status", "valid_loss", "cost"])
    require_columns(runs, "runs", [*RUN, *CELL, "status", "valid_loss"])
    require_columns(cells, "cells", [*CELL, "cell_id", "edge", "trials", "lr_tuned", "lr_low", "lr_high"])
    # Concatenated frames may hold a cell or trial twice.
    trials, cells = trials.drop_duplicates(["cell_id", "trial"]), cells.drop_duplicates("cell_id")
    studies = {study.cell_id: study for study in _split_studies(trials)}
    findings: list[tuple[str, str, str]] = []
    for cell in cells[["cell_id", "edge", "trials", "lr_tuned", "lr_low", "lr_high"]].to_dict("records"):
        if cell["cell_id"] in studies:
            name = str(cell["cell_id"])
            findings += [(name, finding, reason) for finding, reason in _audit_tuning(cell, studies[name])]
    findings += [
        *_audit_inclusion(runs, cells),
        *_audit_fresh_seeds(runs),
        *_audit_seeds(trials, runs, cells),
        *_audit_versions(trials, runs, environments or {}),
        *_audit_lengths(runs, cells),
        *_audit_remarks(runs),
    ]
    table = pd.DataFrame(findings, columns=["cell_id", "finding", "reason"])
    about = cells[["cell_id", *CELL]].assign(place=range(len(cells)))
    table = table.merge(about, on="cell_id").sort_values(["place", "finding"], kind="stable", ignore_index=True)
    return table[COLUMNS]


def add_findings(board: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """Returns a leaderboard with a last column `audit`: the findings of each cell, separated by commas, or empty text.

    Args:
        board: The frame of `leaderboard`.
        findings: The frame of `audit`.
    """
    names = findings.groupby(CELL, observed=True, sort=False)["finding"].agg(lambda own: ", ".join(dict.fromkeys(own)))
    both = board.drop(columns="audit", errors="ignore").merge(names.rename("audit").reset_index(), on=CELL, how="left")
    return both.assign(audit=both["audit"].astype(object).fillna("").astype("str"))


@dataclass(frozen=True)
class _Study:
    """The trials of a cell in order; losses of failed trials are infinite."""

    cell_id: str
    loss: np.ndarray
    lr: np.ndarray
    cost: np.ndarray
    #: How many trials had a finite loss when a race stopped them.
    stopped: int
    #: How many hyperparameters differ between trials.
    dimensions: int

    @property
    def finite(self) -> int:
        return int(np.isfinite(self.loss).sum())

    @property
    def best(self) -> int:
        return int(np.argmin(self.loss))


def _split_studies(trials: pd.DataFrame) -> Iterator[_Study]:
    trials = trials.sort_values(["cell_id", "trial"], kind="stable")
    loss, lr, cost = (trials[name].to_numpy(dtype=float, na_value=math.nan) for name in ("valid_loss", "lr", "cost"))
    loss = np.where((trials["status"] == "ok").to_numpy() & np.isfinite(loss), loss, math.inf)
    stopped = (trials["status"] == STOPPED).to_numpy()
    names, starts = np.unique(trials["cell_id"].to_numpy(dtype=object).astype(str), return_index=True)
    columns = (np.split(values, starts)[1:] for values in (loss, lr, cost, stopped))
    tuned = [name for name in trials if name == "lr" or str(name).startswith("hp_")]
    texts = trials[tuned].astype(str)  # lists cannot be counted
    differing = (texts.groupby(trials["cell_id"].astype(str)).nunique() > 1).sum(axis=1)
    for name, own_loss, own_lr, own_cost, own_stopped in zip(names, *columns, strict=True):
        yield _Study(str(name), own_loss, own_lr, own_cost, int(own_stopped.sum()), int(differing[str(name)]))


def _audit_lengths(runs: pd.DataFrame, cells: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Finds optimizers with a schedule, or with what they need for one, among others with a constant learning rate."""
    found = KnownLengths(runs, cells).findings()
    for cell in cells[[*CELL, "cell_id"]].to_dict("records") if found else []:
        key = tuple(cell[name] for name in CELL)
        if key in found:
            yield str(cell["cell_id"]), "known_length", found[key]


def _audit_remarks(runs: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    if "error" not in runs:
        return
    remarks = runs[(runs["status"] == "ok") & (runs["error"].fillna("") != "")]
    for cell, own in remarks.groupby("cell_id", observed=True, sort=False):
        yield str(cell), "remark", f"{len(own)} of {(runs['cell_id'] == cell).sum()} runs: {own['error'].iloc[0]}"


def _audit_versions(
    trials: pd.DataFrame, runs: pd.DataFrame, environments: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str, str]]:
    """Finds cells whose records come from several versions of torch. Records of unknown origin are not judged."""
    torch = {key: (one.get("packages") or {}).get("torch") for key, one in environments.items()}
    parts = [
        frame[["cell_id", "environment"]].assign(what=f"{what} " + frame[number].astype(str))
        for frame, what, number in ((trials, "trial", "trial"), (runs, "seed", "seed"))
        if "environment" in frame and len(frame)
    ]
    if not parts:
        return
    records = pd.concat(parts, ignore_index=True)
    records = records.assign(torch=records["environment"].map(torch)).dropna(subset="torch")
    for cell, own in records.groupby("cell_id", observed=True, sort=False):
        if own["torch"].nunique() > 1:
            used = [
                f"torch {version} ({', '.join(dict.fromkeys(some['what']))})"
                for version, some in own.groupby("torch", sort=True)
            ]
            yield str(cell), "versions", f"it was computed with {' and '.join(used)}"


def _is_worse(loss: float, other: float) -> bool:
    """Whether `loss` exceeds `other` by more than `WORSE_FACTOR`; by that share of its size if it is not positive."""
    if other > 0:
        return loss > other * WORSE_FACTOR
    return loss - other > (WORSE_FACTOR - 1) * abs(other)


def _audit_tuning(cell: dict[Any, Any], study: _Study) -> Iterator[tuple[str, str]]:
    if cell["edge"]:
        yield (
            "edge",
            (
                f"the best rate lies at the {cell['edge']} edge of "
                f"{'all rates that were tried; the declared range is' if study.stopped else 'the declared range,'} "
                f"{format_number(cell['lr_low'], 3, True)} to {format_number(cell['lr_high'], 3, True)}"
            ),
        )
    required = FEWEST_TRIALS * max(1, study.dimensions)
    if (finite := study.finite + study.stopped) < required:
        several = f" for {study.dimensions} tuned hyperparameters" if study.dimensions > 1 else ""
        yield (
            "few_trials",
            f"{finite} of {len(study.loss)} trials ended with a finite loss (required{several}: {required})",
        )
    if not study.finite or study.stopped:  # the trials of a race are not in the order of their costs
        return
    if len(study.loss) > 1 and study.best == 0:
        yield (
            "default_not_beaten",
            f"none of the {len(study.loss) - 1} other trials had a lower validation loss than the default rate",
        )
    begun = np.cumsum(study.cost) - study.cost
    late = begun >= (1 - LAST) * study.cost.sum() - 1e-9
    late[-1] = True
    before = study.loss[~late].min(initial=math.inf)
    after = study.loss[late].min(initial=math.inf)
    if math.isfinite(before) and _is_worse(before, after):
        yield (
            "still_falling",
            (
                f"the best validation loss fell from {format_number(before)} to {format_number(after)} in the last "
                f"{100 * LAST:.0f} % of the tuning's cost"
            ),
        )
    chosen = cell["lr_tuned"]
    if pd.notna(chosen) and not math.isclose(chosen, study.lr[study.best], rel_tol=1e-6):
        yield (
            "selection",
            (
                f"the rate {format_number(chosen, 3, True)} was chosen, but the lowest validation loss is that of rate "
                f"{format_number(study.lr[study.best], 3, True)}"
            ),
        )


def _audit_inclusion(runs: pd.DataFrame, cells: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Finds tuned optimizers that lose on fresh seeds to one that they contain: their tuning could have chosen it.

    The tests of an optimizer against all that it contains on a task are one family, adjusted by Holm.
    """
    contained: dict[str, dict[str, Inclusion]] = {}
    for one in inclusions(runs, cells):
        contained.setdefault(one.cells[0], {})[one.cells[1]] = one
    for cell_id, others in contained.items():
        family = cells[cells["cell_id"].isin([cell_id, *others])]
        own = runs[runs["cell_id"].isin(family["cell_id"])]
        name = next(iter(others.values())).names[0]
        fresh = drop_copied_runs(select_runs(own, family)).assign(loss=_final_losses)
        median = fresh.groupby("cell_id", observed=True)["loss"].median()
        wins = verdicts_against(own, family, [name], "valid_loss").query("verdict == 'win'").set_index("optimizer")
        for other_id, one in others.items():
            other = one.names[1]
            if other in wins.index and _is_worse(median[cell_id], median[other_id]):
                yield (
                    cell_id,
                    "inclusion",
                    (
                        f"it contains {other} as a special case ({one.where}), but on {wins['n_pairs'][other]} fresh "
                        f"seeds its median validation loss is {format_number(median[cell_id])}, and that of {other} is "
                        f"{format_number(median[other_id])} (p = {format_number(wins['p_holm'][other], 2)}): its "
                        "tuning has missed this point"
                    ),
                )


def _audit_fresh_seeds(runs: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Finds tuned rates that are worse than the default on seeds that selected neither."""
    # The two are compared only on seeds that both have.
    runs = drop_copied_runs(runs).assign(loss=_final_losses)
    wide = runs.pivot(index=["cell_id", "seed"], columns="tuned", values="loss")
    if not {True, False} <= set(wide.columns):
        return
    middle = wide.dropna().groupby(level="cell_id").median()
    for cell_id, tuned, default in zip(middle.index, middle[True], middle[False], strict=True):
        if math.isfinite(default) and _is_worse(tuned, default):
            outcome = f"of {format_number(tuned)}" if math.isfinite(tuned) else "that is not finite"
            yield (
                str(cell_id),
                "default_not_beaten",
                (
                    f"on fresh seeds, the tuned rate ends with a median validation loss {outcome}, the default rate "
                    f"with {format_number(default)}"
                ),
            )


def _final_losses(runs: pd.DataFrame) -> pd.Series:
    """Returns the validation losses of runs; infinite for those that failed."""
    loss = pd.to_numeric(runs["valid_loss"]).astype(float)
    return loss.where((runs["status"] == "ok") & np.isfinite(loss), np.inf)


def _audit_seeds(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    reported = set(zip(runs["cell_id"], runs["seed"], strict=True))
    tuning = pd.Series(list(zip(trials["cell_id"], trials["seed"], strict=True)), dtype=object)
    for cell_id, seed in sorted(set(tuning[tuning.isin(reported)])):
        yield str(cell_id), "reused_seed", f"seed {seed} was used for tuning and for a final run"
    # The points of a tuning share their seeds, but a point that is trained again on a seed has the same bits.
    names = [name for name in trials if name == "lr" or str(name).startswith("hp_")]
    again = pd.DataFrame({"at": tuning, **{name: trials[name].astype(str).to_numpy() for name in names}}).duplicated()
    for cell_id, seed in sorted(set(tuning[again])):
        yield str(cell_id), "reused_seed", f"several trials trained the same values on seed {seed}"
    repeated = runs[runs.duplicated(RUN, keep=False)]
    for (cell_id, seed, tuned), same in repeated.groupby(RUN, observed=True):
        alike = len(same[["status", "train_loss", "valid_loss", "test_loss"]].drop_duplicates()) == 1
        kind = "tuned" if tuned else "default"
        yield (
            str(cell_id),
            "repeated_seed",
            (
                f"the {kind} run on seed {seed} occurs {len(same)} times, with "
                f"{'the same' if alike else 'different'} losses; the first one is counted"
            ),
        )
    losses = seed_losses(runs, cells, "valid_loss")
    copies = losses[losses["copy_of"] != losses["seed"]].groupby(CELL, observed=True).size().rename("copies")
    for cell_id, number in cells.merge(copies.reset_index(), on=CELL)[["cell_id", "copies"]].itertuples(index=False):
        yield (
            str(cell_id),
            "seedless",
            f"{number} seed{'s repeat' if number != 1 else ' repeats'} another one and "
            f"{'are' if number != 1 else 'is'} not counted as {'observations' if number != 1 else 'an observation'}",
        )
