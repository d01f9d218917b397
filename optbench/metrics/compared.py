"""The runs that comparisons use: one per seed, tuned if there is anything to tune."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from optbench.results.stored import LOST_WORKER
from optbench.statistics.equality import merge_equal

#: The columns that identify a run.
RUN = ["cell_id", "seed", "tuned"]
#: Columns that are all equal between two seeds only if the seed has no effect.
FINGERPRINT = ["train_loss", "valid_loss", "test_loss"]
#: Losses of two copies differ by at most this, relative to their size. It is the last bits of double precision.
_COPY = 1e-12
#: The same for all copies of a cell in single precision: a few last bits, which depend on how many are trained at once.
_SINGLE_COPY = 4e-7
#: From this number of seeds on, figures show an interval instead of the single seeds.
ENOUGH_FOR_INTERVALS = 10


def drop_repeated_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Keeps the first of several runs with the same cell, seed and tuning.

    Joined results may hold a run twice. It is one observation: counting it twice would make intervals narrower.
    """
    repeated = runs.duplicated(RUN)
    return runs[~repeated] if repeated.any() else runs


def drop_copied_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Keeps one of several runs of a cell whose losses are equal (see `find_copies`).

    Equal losses mean that the seed had no effect (for example, one fixed seed), so the runs are one observation.
    Repeated runs are dropped as well (see `drop_repeated_runs`).
    """
    runs = drop_repeated_runs(runs)
    copies = (find_copies(runs) != runs["seed"]).to_numpy()
    return runs[~copies] if copies.any() else runs


def find_copies(runs: pd.DataFrame) -> pd.Series:
    """Returns the smallest seed of the same cell and tuning with equal losses: a run's own, unless seeds have no
    effect.

    Two runs are copies if all their losses are equal up to the last bits of double precision. In single precision, the
    last bits of a run depend on how many are trained at once, but two seeds of many may be as close by chance. So
    losses that differ in these bits are those of copies only if all runs of the cell are equal to this precision.
    Failed runs are not compared.

    Args:
        runs: Frame of runs, each of them once.
    """
    figures = runs[FINGERPRINT].to_numpy(dtype=float, na_value=np.nan)
    known = (runs["status"] == "ok").to_numpy() & np.isfinite(figures).all(axis=1)
    seeds = runs["seed"].to_numpy(dtype="int64")
    least = seeds.copy()
    groups = runs[known].groupby(["cell_id", "tuned"], observed=True, sort=False).indices
    for places in groups.values():
        own = np.flatnonzero(known)[places]
        own = own[np.argsort(seeds[own], kind="stable")]
        values = figures[own]
        low, high = values.min(axis=0), values.max(axis=0)
        alike = np.isclose(low, high, rtol=_SINGLE_COPY, atol=0.0).all()
        equal = np.isclose(values[:, None], values[None], rtol=_SINGLE_COPY if alike else _COPY, atol=0.0).all(axis=2)
        least[own] = seeds[own][equal.argmax(axis=1)]
    return pd.Series(least, runs.index)


def select_runs(runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Selects the runs that ranks, medians and tests use, one per cell and seed.

    These are the tuned runs, or the runs at the default rate in cells without anything to tune (no trials). Skipped
    runs, whose tuning had no finite loss, are included as failures. Runs that were not made because of a technical
    failure (see `is_technical`) are left out. Default runs never replace missing tuned runs.

    Args:
        runs: Frame of runs.
        cells: Frame of cells.
    """
    runs = drop_repeated_runs(runs)
    tuned = runs["tuned"].astype(bool)
    trials = cells.drop_duplicates("cell_id").set_index("cell_id")["trials"]
    nothing_to_tune = set(trials.index[trials.fillna(0) == 0]) - set(runs.loc[tuned, "cell_id"].unique())
    return runs[(tuned | runs["cell_id"].isin(nothing_to_tune)) & ~is_technical(runs)]


def keep_shared_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """Keeps, in cells with tuned and default runs, the runs on seeds that have both.

    The default runs are on the first seeds only, so medians over all seeds of each kind differ even if the two
    kinds of runs are the same. Cells with runs of one kind are kept whole.

    Args:
        runs: Frame of runs.
    """
    runs = drop_repeated_runs(runs)
    tuned = runs["tuned"].astype(bool)
    both = runs["cell_id"].isin(runs.loc[tuned, "cell_id"]) & runs["cell_id"].isin(runs.loc[~tuned, "cell_id"])
    shared = runs.duplicated(["cell_id", "seed"], keep=False)
    return runs[shared | ~both]


def is_technical(frame: pd.DataFrame) -> pd.Series:
    """Whether runs or cells failed for a technical reason: their worker process ended, or they reached the time limit.

    It is not known how their runs would have ended, nor whether the optimizer was the cause. An error that a training
    raises and memory that it lacks are failures of the optimizer on this problem, as divergence is.

    Args:
        frame: Frame of runs or cells. Runs of such a cell that were not made have its status and error.
    """
    if "error" not in frame:
        return frame["status"].eq("timeout")
    lost = frame["error"].astype(object).fillna("").astype(str).str.startswith(LOST_WORKER)
    return frame["status"].eq("timeout") | (frame["status"].eq("error") & lost)


def directions(cells: pd.DataFrame) -> pd.Series:
    """Returns whether a higher metric is better, by problem."""
    flags = cells[["problem", "metric_higher_is_better"]].dropna()
    flags = flags.astype({"problem": "object", "metric_higher_is_better": bool})
    return flags.groupby("problem")["metric_higher_is_better"].all()


def signs(problems: pd.Series, higher: pd.Series) -> np.ndarray:
    """Returns +1 for each entry whose problem has a metric of which higher is better, and −1 otherwise.

    Args:
        problems: Problem labels, of shape (n,).
        higher: The series of `directions`.
    """
    return np.where(problems.astype(object).map(higher.to_dict()).eq(True).to_numpy(dtype=bool), 1.0, -1.0)


def limit_at_zero(low: pd.Series, values: np.ndarray, problems: pd.Series, higher: pd.Series) -> pd.Series:
    """Limits the lower bounds of intervals to 0 on problems whose values are losses that were never negative.

    The true mean of such a loss isn't negative either, so the limited interval covers it as often as the whole one.

    Args:
        low: The lower bounds by row; its index has the problem of each.
        values: The values of runs, of shape (n,); those that are not finite are ignored.
        problems: The problems of these runs, of shape (n,).
        higher: The series of `directions`; empty if a lower value is better on every problem.
    """
    finite = pd.Series(values, dtype=float)
    finite = finite[np.isfinite(finite)].groupby(problems.astype(object).to_numpy()[np.isfinite(finite)]).min()
    bounded = {str(name) for name, least in finite.items() if least >= 0 and not higher.get(name, False)}
    return low.where(~low.index.isin(bounded), low.clip(lower=0))


def merge_ties(values: pd.Series, by: Sequence[pd.Series]) -> pd.Series:
    """Makes values equal that are equal up to rounding, so that they tie in a ranking (see `statistics.equality`).

    Args:
        values: The values to rank, of shape (n,).
        by: The columns whose values define the rankings.
    """
    groups = values.astype(float).groupby(list(by), dropna=False, observed=True)
    return groups.transform(lambda part: pd.Series(merge_equal(part.to_numpy()), part.index))
