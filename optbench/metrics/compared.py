"""The runs that a comparison rests on: one a seed, tuned where there was something to tune."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: What is compared with one another: optimizers on one problem, batch size, device and schedule.
#: What tells runs apart.
RUN = ["cell_id", "seed", "tuned"]
#: Figures that can't all agree to the last bit between two seeds, unless the seed has no effect.
_FINGERPRINT = ["train_loss", "valid_loss", "test_loss"]
#: From this number of seeds on an interval is drawn in place of the seeds themselves.
ENOUGH_FOR_INTERVALS = 10


def distinct(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs, those with the same cell, seed and tuning counted once, by the first of them.

    Joined results may hold a seed twice. Twice the same seed is no second observation: it would make
    an interval narrower without anything having been measured.
    """
    repeated = runs.duplicated(RUN)
    return runs[~repeated] if repeated.any() else runs


def independent(runs: pd.DataFrame) -> pd.DataFrame:
    """The distinct runs, less those whose losses equal another seed's of their cell to the last bit.

    Then the seed has had no effect (one seed used for all, say), and the runs are one observation.
    """
    runs = distinct(runs)
    figures = runs[_FINGERPRINT].to_numpy(dtype=float, na_value=np.nan)
    known = (runs["status"] == "ok").to_numpy() & np.isfinite(figures).all(axis=1)
    copies = known & runs.duplicated(["cell_id", "tuned", *_FINGERPRINT]).to_numpy()
    return runs[~copies] if copies.any() else runs


def compared_runs(runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The runs that ranks, medians and tests rest on: the tuned ones, or, in cells where there was nothing to
    tune (no trials), those at the default learning rate; one row a cell and seed.

    Runs that were skipped because no trial ended with a finite loss are among them, as failures.
    Default runs never stand in for tuned ones that are missing.
    """
    runs = distinct(runs)
    tuned = runs["tuned"].astype(bool)
    trials = cells.drop_duplicates("cell_id").set_index("cell_id")["trials"]
    nothing_to_tune = set(trials.index[trials.fillna(0) == 0]) - set(runs.loc[tuned, "cell_id"].unique())
    return runs[tuned | runs["cell_id"].isin(nothing_to_tune)]


def directions(cells: pd.DataFrame) -> pd.Series:
    """By problem, whether a higher metric is better."""
    flags = cells[["problem", "metric_higher_is_better"]].dropna()
    flags = flags.astype({"problem": "object", "metric_higher_is_better": bool})
    return flags.groupby("problem")["metric_higher_is_better"].all()


def signs(problems: pd.Series, higher: pd.Series) -> np.ndarray:
    """For each entry +1 where a higher metric of its problem is better (see `directions`), else −1."""
    return np.where(problems.astype(object).map(higher.to_dict()).eq(True).to_numpy(dtype=bool), 1.0, -1.0)
