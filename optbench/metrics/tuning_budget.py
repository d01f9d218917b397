"""What a tuning budget would have found: the best trial of each cell among those that fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import format_number
from optbench.results.stored import CELL, GROUP, STOPPED

#: The largest number of trials in a budget.
MOST_TRIALS = 1_000_000_000
#: Statuses of cells whose tuning did not end: its length does not show the budget.
_UNFINISHED = ("missing", "error", "oom", "timeout")


@dataclass(frozen=True)
class Budget:
    """Limits of tuning an optimizer; None means no limit.

    `trials` limits the compute to that of so many complete trials: a race trains parts of many, for the compute of a
    few. `seconds` limits the time of all trials together (at the speed measured in isolation), and `memory_bytes` the
    peak allocation of a step plus the optimizer's state.
    """

    trials: int | None = None
    seconds: float | None = None
    memory_bytes: float | None = None


def choose_budgets(trials: pd.DataFrame, cells: pd.DataFrame) -> list[Budget]:
    """Returns the default budgets: no tuning, half of the compute that every finished cell has, and all of it.

    Half of a race finds nothing, so there it is left out. All races count as the longest one.

    Args:
        trials: Frame of trials.
        cells: Frame of cells.
    """
    frame = _order_trials(trials)
    tried = frame[["cell_id"]].assign(number=_count_complete(frame, cells))
    counts = _measure_lengths(tried, cells).groupby(tried["cell_id"], observed=True).max()
    if counts.empty:
        return []
    raced = counts.index.isin(list_races(trials, cells))
    counts = counts.where(~raced, counts[raced].max())
    finished = counts[counts.index.isin(cells.loc[~cells["status"].isin(_UNFINISHED), "cell_id"])]
    most = int((counts if finished.empty else finished).min())
    half = 1 if raced.any() else max(most // 2, 1)
    return [Budget(trials=number) for number in sorted({1, half, most})]


def convert_to_runs(budget: Budget, tried: pd.DataFrame, cells: pd.DataFrame) -> float:
    """Returns the compute of a budget's trials in run budgets: 0 without tuning, NaN if unknown.

    Args:
        budget: The budget.
        tried: The frame of `list_trials`.
        cells: Frame of cells.
    """
    if budget.trials is None or budget.trials == 1:
        return math.nan if budget.trials is None else 0.0
    whole = measure_worths(cells[cells["cell_id"].isin(tried.loc[tried["trial"] >= 0, "cell_id"])]).max()
    return float(np.fmin(budget.trials, whole))


def explain_large_budget(number: int, trials: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """Returns a note if no tuning had the compute of a number of trials, so that the answer is that of all of it.

    Args:
        number: Number of trials.
        trials: Frame of trials.
        cells: Frame of cells.
    """
    whole = float(measure_worths(cells[cells["cell_id"].isin(trials["cell_id"])]).max())
    if not number > _round_up(whole):
        return []
    runs = f"{format_number(whole, 3, True)} run{'s' * (whole != 1)}"
    return [
        f"the tunings have the compute of {runs}; what {number} would find is not known, so the answer is for {runs}"
    ]


def explain_small_budget(number: int, trials: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """Returns a note if races had more compute than a number of trials, so that only untuned results are known.

    Args:
        number: Number of trials.
        trials: Frame of trials.
        cells: Frame of cells.
    """
    worths = measure_worths(cells[cells["cell_id"].isin(list_races(trials, cells))]).dropna()
    if worths.empty or number >= worths.min():
        return []
    least, most = (format_number(float(worth), 3, True) for worth in (worths.min(), worths.max()))
    runs = f"{least} runs" if least == most else f"{least} to {most} runs"
    return [f"the tunings have the compute of {runs} (accepted: --trials 1, or at least {math.ceil(worths.min())})"]


def measure_worths(cells: pd.DataFrame) -> pd.Series:
    """Returns the tuning budget of each cell in run budgets, by `cell_id`; missing if it is unknown.

    Args:
        cells: Frame of cells, each of them once.
    """
    names = ["tuning_budget", "run_budget"]
    tuning, run = (pd.to_numeric(cells[name]).astype(float) for name in names)
    return pd.Series((tuning / run).to_numpy(), index=cells["cell_id"].astype(object)).round(9)


def list_trials(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per trial, in the order of the tuning.

    The columns are `CELL`, `cell_id`, `lr`, `trial`, `loss` (infinite if the trial failed), `regret` (log(loss/lowest
    loss of the task); missing unless both are positive), `number` (from 1, of complete trials that have the compute up
    to its end), `length` (that of the whole tuning, or of what an unfinished one has done), `race` (whether it is one),
    `seconds` (of tuning at its end) and `memory`. Cells without trials have one row, `trial` −1: their optimizer has
    nothing to tune, which fits into every number of trials and takes no time.

    Args:
        trials: Frame of trials.
        runs: Frame of runs, for step times and memory.
        cells: Frame of cells.
    """
    frame = _order_trials(trials)
    loss = pd.to_numeric(frame["valid_loss"]).astype(float)
    speed = pd.to_numeric(runs["step_ms"]) * pd.to_numeric(runs["steps"]) / pd.to_numeric(runs["cost"]) / 1000
    per_cost = speed.astype(float).groupby(runs["cell_id"], observed=True).median()
    spent = frame.groupby("cell_id", observed=True)["cost"].cumsum().astype(float)
    tried = frame[[*CELL, "cell_id", "lr", "trial"]].assign(
        loss=loss.where((frame["status"] == "ok") & np.isfinite(loss), np.inf),
        number=_count_complete(frame, cells),
        seconds=spent * frame["cell_id"].map(per_cost).to_numpy(dtype=float),
    )
    raced = list_races(frame, cells)
    tried = tried.assign(
        loss=_mean_over_seeds(frame, tried["loss"], raced),
        length=_measure_lengths(tried, cells),
        race=tried["cell_id"].isin(raced).to_numpy(dtype=bool),
    )
    tried = _join_races(tried, measure_worths(cells.drop_duplicates("cell_id")))
    untuned = cells.loc[_has_nothing_to_tune(cells, runs, frame), [*CELL, "cell_id"]]
    untuned = untuned.assign(lr=math.nan, trial=-1, loss=math.nan, number=0, length=0, race=False, seconds=0.0)
    table = pd.concat([part for part in (tried, untuned) if len(part)] or [tried], ignore_index=True)
    best = table.groupby(GROUP, observed=True)["loss"].transform("min")
    # Ratios need positive losses; otherwise regret is undefined and missing.
    ratio = table["loss"].where(table["loss"] > 0) / best.where((best > 0) & np.isfinite(best))
    return table.assign(
        regret=np.log(ratio.astype(float)), memory=table["cell_id"].map(_memory(runs)).to_numpy(dtype=float)
    )


def _order_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Returns each trial once, in the order of its tuning."""
    return trials.drop_duplicates(["cell_id", "trial"]).sort_values(["cell_id", "trial"], kind="stable")


def _round_up(worths: Any) -> Any:
    """Returns the number of complete trials that have a compute in run budgets."""
    return np.ceil(np.round(worths, 9))


def _count_complete(frame: pd.DataFrame, cells: pd.DataFrame) -> pd.Series:
    """Returns the number of complete trials with the compute up to the end of each trial (see `_order_trials`).

    It is not above the trial's place, also where trials cost slightly more than a run. Only the first is untuned.
    """
    place = frame.groupby("cell_id", observed=True).cumcount() + 1
    run = pd.to_numeric(cells.drop_duplicates("cell_id").set_index("cell_id")["run_budget"]).astype(float)
    spent = pd.to_numeric(frame["cost"]).astype(float).groupby(frame["cell_id"], observed=True).cumsum()
    complete = _round_up(spent / frame["cell_id"].astype(object).map(run).astype(float)).fillna(place)
    return np.minimum(place, complete.clip(lower=2)).astype(int)


def _measure_lengths(tried: pd.DataFrame, cells: pd.DataFrame) -> pd.Series:
    """Returns the compute of the whole tuning of each trial's cell, in complete trials."""
    done = tried.groupby("cell_id", observed=True)["number"].transform("max")
    finished = cells[~cells["status"].isin(_UNFINISHED)].drop_duplicates("cell_id")
    worth = _round_up(tried["cell_id"].astype(object).map(measure_worths(finished)).astype(float))
    return np.fmax(done, worth).astype(int)


def list_races(trials: pd.DataFrame, cells: pd.DataFrame) -> set[str]:
    """Returns the cells that were tuned by races: finished ones may have stopped no trial, if they have few points."""
    stopped = set(trials.loc[trials["status"] == STOPPED, "cell_id"])
    finished = set(cells.loc[~cells["status"].isin(_UNFINISHED), "cell_id"])
    return stopped | (finished & set(trials["cell_id"]) if stopped else set())


def _mean_over_seeds(frame: pd.DataFrame, loss: pd.Series, raced: set[str]) -> pd.Series:
    """The losses of trials; in races, the mean over the seeds of a point, and infinite for points with fewer seeds."""
    names = [name for name in frame if name == "lr" or str(name).startswith("hp_")]
    point = [frame["cell_id"], *(frame[name].astype(str) for name in names)]
    by_point = loss.groupby(point, observed=True, dropna=False)
    seeds, means = by_point.transform("size"), by_point.transform("mean")
    most = seeds.groupby(frame["cell_id"], observed=True).transform("max")
    return loss.where(~frame["cell_id"].isin(raced), means.where(seeds == most, np.inf))


def _join_races(tried: pd.DataFrame, worths: pd.Series) -> pd.DataFrame:
    """Keeps the best trial of each race, which only the whole race finds: it fits if the compute of the race does.

    A race of a tuning that is worth 4 runs has the compute of 4 trials, whatever number of trials it has.

    The default, trial 0, is kept in addition, as just worse than the best: it needs no tuning. It stands for the runs
    at the default, so its loss at a pause need not be comparable.
    """
    race = tried["race"]
    if not race.any():
        return tried
    ends = tried[race].groupby("cell_id", observed=True)[["number", "seconds"]].transform("max")
    worth = _round_up(tried.loc[race, "cell_id"].astype(object).map(worths).astype(float)).fillna(ends["number"].max())
    whole = tried[race].assign(number=worth.astype(int), length=int(worth.max()), seconds=ends["seconds"])
    best = whole.sort_values("loss", kind="stable").drop_duplicates("cell_id")
    worst = best.set_index("cell_id")["loss"]
    default = tried[race & (tried["trial"] == 0)]
    default = default.assign(loss=np.nextafter(default["cell_id"].map(worst).to_numpy(dtype=float), np.inf))
    return pd.concat([tried[~race], default[default["number"] < 2], best], ignore_index=True)


def _has_nothing_to_tune(cells: pd.DataFrame, runs: pd.DataFrame, trials: pd.DataFrame) -> pd.Series:
    """Whether each cell has runs, all of them at the values that the optimizer was given, and no trials."""
    tuned = runs.loc[runs["tuned"].astype(bool), "cell_id"]
    planned = pd.to_numeric(cells["trials"]).fillna(0) > 0
    return cells["cell_id"].isin(runs["cell_id"]) & ~cells["cell_id"].isin({*trials["cell_id"], *tuned}) & ~planned


def _memory(runs: pd.DataFrame) -> pd.Series:
    needed = pd.to_numeric(runs["peak_memory_bytes"]) + pd.to_numeric(runs["optimizer_state_bytes"])
    return needed.astype(float).groupby(runs["cell_id"], observed=True).max()


def apply_budget(tried: pd.DataFrame, cells: pd.DataFrame, budget: Budget) -> pd.DataFrame:
    """Returns one row per cell, its best trial that fits: `CELL`, `cell_id`, `lr`, `loss`, `regret`, `runs`, `cut`,
    `reason`.

    `cut` says whether it is the default because the race does not fit into a budget for tuning. `runs` says which final
    runs have the hyperparameters of that trial: `tuned`, `default`, or none (empty). `reason` says why there is no
    trial, and is empty if there is one.

    Args:
        tried: The frame of `list_trials`.
        cells: Frame of cells, each of them once.
        budget: The budget.
    """
    if budget.trials is not None and len(tried):
        # More than every tuning had finds what all of it did; a shorter tuning is not compared with longer ones.
        worth = _round_up(measure_worths(cells[cells["cell_id"].isin(tried["cell_id"])]).max())
        most = np.fmax(tried["number"].max(), worth)
        budget = replace(budget, trials=int(min(budget.trials, max(most, 1))))
    fits = pd.Series(True, index=tried.index)
    if budget.trials is not None:
        fits &= tried["number"] <= budget.trials
    if budget.seconds is not None:
        fits &= tried["seconds"] <= budget.seconds
    if budget.memory_bytes is not None:
        fits &= tried["memory"] <= budget.memory_bytes
    by_cell = tried.groupby("cell_id", observed=True)
    about = by_cell[["length", "seconds", "memory"]].max()
    about["longest"] = (by_cell["seconds"].diff().fillna(tried["seconds"])).groupby(tried["cell_id"]).max()
    short = about.index[~_exhausts_budget(about, budget) & (about["length"] > 0)]
    fits &= ~tried["cell_id"].isin(short)
    untuned = tried["trial"] < 0
    order = ["loss", "number"]
    able = tried[np.isfinite(tried["loss"]) | untuned].sort_values(order, kind="stable")
    chosen = able[fits.loc[able.index]].drop_duplicates("cell_id").set_index("cell_id")
    final = able.drop_duplicates("cell_id").set_index("cell_id")["trial"]
    at_default = chosen["trial"] <= 0
    tuned = (chosen["trial"] == final.reindex(chosen.index)) & (chosen["trial"] >= 0)
    chosen["cut"] = chosen["race"].astype(bool) & ~tuned & (budget.trials != 1)
    chosen["runs"] = np.where(tuned, "tuned", np.where(at_default, "default", ""))
    reason = pd.Series("no finite loss within the budget", index=about.index)
    reason[short] = "tuned for less than the budget"
    if budget.memory_bytes is not None:
        reason[about["memory"] > budget.memory_bytes] = "needs more memory"
        reason[about["memory"].isna()] = "memory unknown"
    if budget.seconds is not None:
        reason[about["seconds"].isna()] = "times unknown"
    run = cells[cells["cell_id"].isin(about.index)]
    chosen.index = chosen.index.astype(run["cell_id"].dtype)  # an empty frame has another type
    choices = run[["cell_id", *CELL]].join(chosen[["lr", "loss", "regret", "runs", "cut"]], on="cell_id")
    found = choices["cell_id"].isin(chosen.index)
    return choices.assign(
        runs=choices["runs"].fillna(""),
        cut=choices["cut"].eq(True),
        reason=choices["cell_id"].map(reason).astype(object).where(~found, ""),
    )


def _exhausts_budget(about: pd.DataFrame, budget: Budget) -> pd.Series:
    """Whether each cell was tuned until a limit of the budget was reached, so that no further trial would fit."""
    if budget.trials is None and budget.seconds is None:
        return pd.Series(True, index=about.index)
    spent = pd.Series(False, index=about.index)
    if budget.trials is not None:
        spent |= about["length"] >= budget.trials
    if budget.seconds is not None:
        spent |= about["seconds"] + about["longest"] > budget.seconds
    return spent
