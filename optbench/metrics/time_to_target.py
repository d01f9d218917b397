"""The times at which runs reached their targets, in steps, cost and seconds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.compared import directions, drop_repeated_runs, signs
from optbench.results.stored import CELL
from optbench.statistics.equality import meets

_COLUMNS = [
    "cell_id", *CELL, "seed", "tuned", "status", "target_name", "target", "reached", "steps_to_target",
    "cost_to_target", "seconds_to_target", "censored_at",
]  # fmt: skip


def time_to_target(
    runs: pd.DataFrame, curves: pd.DataFrame, cells: pd.DataFrame, targets: pd.DataFrame
) -> pd.DataFrame:
    """Returns the first crossing of each target by a run's best validation metric so far, one row per run and target.

    Crossings are linear between evaluations, as in `statistics.survival.first_crossing`; evaluations that are not
    finite are ignored.

    - `reached`: false for every run that is not `ok`: a run that diverged later would not meet the target at its end.
      It is missing for a run without evaluations.
    - `censored_at`: the run budget, which a miss has used up without success, wherever it stopped.
    - `seconds_to_target`: the cost times the run's isolated seconds per cost, which is the number of steps times the
      isolated step time if all steps cost the same.

    Args:
        runs: Frame of runs.
        curves: Frame of curves.
        cells: Frame of cells.
        targets: The frame of `metrics.targets.list_targets`; problems without a target have no rows.
    """
    runs = drop_repeated_runs(runs).reset_index(drop=True)
    known = targets.dropna(subset=["target"]).drop_duplicates(["problem", "target_name"])
    known = known.astype({"problem": "object"})
    points = _Points(runs, curves, directions(cells))
    ok = (runs["status"] == "ok").to_numpy()
    budget = _budgets(runs, cells)
    per_cost = _numbers(runs, "step_ms") * _numbers(runs, "steps") / _numbers(runs, "cost") / 1000
    problem = runs["problem"].astype(object)
    frames = []
    for _, some in known.groupby(known.groupby("problem").cumcount()):
        named = some.set_index("problem")
        goal = problem.map(named["target"]).to_numpy(dtype=float, na_value=np.nan)
        steps, cost = points.crossings(goal)
        reached = ok & np.isfinite(cost)
        frame = runs[["cell_id", *CELL, "seed", "tuned", "status"]].assign(
            target_name=problem.map(named["target_name"]),
            target=goal,
            reached=pd.array(reached, dtype="boolean"),
            steps_to_target=np.where(reached, steps, np.nan),
            cost_to_target=np.where(reached, cost, np.nan),
            seconds_to_target=np.where(reached, cost * per_cost, np.nan),
            censored_at=budget,
        )
        frame.loc[ok & (points.count == 0), "reached"] = pd.NA
        frames.append(frame[np.isfinite(goal)])
    if not frames:
        return runs.iloc[:0].reindex(columns=_COLUMNS).astype({"reached": "boolean"})
    return pd.concat(frames, ignore_index=True)[_COLUMNS]


class _Points:
    """The finite evaluations of runs as arrays, in order of run and step, with the running best."""

    def __init__(self, runs: pd.DataFrame, curves: pd.DataFrame, higher: pd.Series) -> None:
        sign = signs(runs["problem"], higher)
        metric = curves["valid_metric"].to_numpy(dtype=float, na_value=np.nan)
        keep = np.flatnonzero((curves["kind"] == "run").to_numpy() & np.isfinite(metric))
        run = _match_runs(runs, curves, keep)
        keep, run = keep[run >= 0], run[run >= 0]
        step = curves["step"].to_numpy(dtype=float, na_value=np.nan)[keep]
        if np.any((np.diff(run) < 0) | ((np.diff(run) == 0) & (np.diff(step) < 0))):
            order = np.lexsort((step, run))
            keep, run, step = keep[order], run[order], step[order]
        self.sign, self.step = sign, step
        self.cost = curves["cost"].to_numpy(dtype=float, na_value=np.nan)[keep]
        self.best = pd.Series(metric[keep] * sign[run]).groupby(run).cummax().to_numpy()
        self.count = np.bincount(run, minlength=len(runs))
        self.with_points = np.flatnonzero(self.count)
        self.first = (np.cumsum(self.count) - self.count)[self.with_points]

    def crossings(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the steps and costs at which each run's running best first met its target; NaN if it never did."""
        at = np.full((2, len(self.count)), np.nan)
        if len(self.first):
            count = self.count[self.with_points]
            goal = (self.sign * target)[self.with_points]
            # The running best never falls, so this counts the evaluations before the one that meets the target.
            before = np.add.reduceat((~meets(self.best, np.repeat(goal, count))).astype(np.int64), self.first)
            met = np.flatnonzero(before < count)
            index = (self.first + before)[met]
            last = np.maximum(index - 1, self.first[met])
            gain = self.best[index] - self.best[last]
            share = np.where(gain > 0, (goal[met] - self.best[last]) / np.where(gain > 0, gain, 1.0), 0.0)
            share = np.minimum(share, 1.0)
            for row, places in enumerate((self.step, self.cost)):
                at[row, self.with_points[met]] = places[last] + share * (places[index] - places[last])
        return at[0], at[1]


def _match_runs(runs: pd.DataFrame, curves: pd.DataFrame, keep: np.ndarray) -> np.ndarray:
    """Returns for each kept point of the curves the row of its run; −1 if there is none."""
    # Categories and codes instead of texts: ten million strings would not fit into memory.
    cells = pd.Index(runs["cell_id"].astype(object).unique())
    texts = curves["cell_id"].astype("category").cat
    code = cells.get_indexer(texts.categories)[texts.codes.to_numpy()[keep]].astype(np.int64)

    def key(cell: np.ndarray, frame: pd.DataFrame, rows: np.ndarray | slice) -> np.ndarray:
        seed = frame["seed"].to_numpy(dtype=np.int64)[rows]
        tuned = frame["tuned"].to_numpy(dtype=bool)[rows]
        return (seed * 2 + tuned) * (len(cells) + 1) + cell

    own = key(cells.get_indexer(runs["cell_id"].astype(object)).astype(np.int64), runs, slice(None))
    order = np.argsort(own, kind="stable")
    wanted = key(code, curves, keep)
    place = np.minimum(np.searchsorted(own[order], wanted), max(len(own) - 1, 0))
    if not len(own):
        return np.full(len(keep), -1)
    return np.where((code >= 0) & (own[order][place] == wanted), order[place], -1)


def _budgets(runs: pd.DataFrame, cells: pd.DataFrame) -> np.ndarray:
    """Returns each run's budget: its cell's, or, if the cell is not finished, the cost of a completed run of it."""
    by_cell = cells.drop_duplicates("cell_id").set_index("cell_id")["run_budget"].astype(float)
    budget = runs["cell_id"].map(by_cell).to_numpy(dtype=float, na_value=np.nan)
    complete = runs["cost"].where(runs["status"] == "ok").astype(float)
    spent = complete.groupby(runs["cell_id"], observed=True).transform("max")
    return np.where(np.isnan(budget), spent.to_numpy(dtype=float, na_value=np.nan), budget)


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    return pd.to_numeric(frame[column]).to_numpy(dtype=float, na_value=np.nan)
