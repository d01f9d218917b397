"""Sensitivity to the learning rate: width of the optimum, edge of divergence, gain from tuning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.compared import keep_shared_seeds
from optbench.results.stored import CELL, STOPPED
from optbench.statistics.lr_curve import LrCurve

#: Losses up to this factor times the best loss are within the optimum.
TOLERANCE = 1.05
#: The width is interpolated only if at least this number of tried rates lies within it: a line from the best rate to a
#: distant neighbour is steeper than the loss, so its crossing would be too close.
FEWEST_WITHIN = 3
_COLUMNS = [
    "cell_id", *CELL, "trials", "diverged", "stopped", "lr_best", "loss_best", "width", "width_low", "width_high",
    "diverges_from", "lr_default", "loss_default", "lr_tuned", "loss_tuned", "gap",
]  # fmt: skip


def build_lr_curves(trials: pd.DataFrame) -> dict[Any, LrCurve]:
    """Returns by cell id the final validation losses of trials as a function of their learning rates.

    A diverged trial has an infinite loss. That of a trial that was stopped early is unknown. Trials that failed for
    another reason are left out.
    """
    trials = trials.drop_duplicates(["cell_id", "trial"])
    loss = trials["valid_loss"].to_numpy(dtype=float, na_value=np.nan)
    ok, lost = (trials["status"] == "ok").to_numpy(), (trials["status"] == "diverged").to_numpy()
    loss = np.where(lost | (ok & ~np.isfinite(loss)), np.inf, np.where(ok, loss, np.nan))
    stopped = (trials["status"] == STOPPED).to_numpy()
    rates = trials["lr"].to_numpy(dtype=float, na_value=np.nan)
    places = trials.reset_index(drop=True).groupby("cell_id", observed=True, sort=False).indices
    return {cell: LrCurve.from_trials(rates[own], loss[own], rates[own][stopped[own]]) for cell, own in places.items()}


def lr_sensitivity(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per cell: best trial, width of the optimum, edge of divergence, gain from tuning.

    - `trials`: the rates that were tried, of which some `diverged` or were `stopped` before their end.
    - `width`: decades between the rates around the best one at which the validation loss is 5 % above the best. It is
      interpolated (loss linear in log rate) if at least three tried rates are within, and both neighbours reached
      their end.
    - `width_low`: distance of the outermost adjacent tried rates that are within, a lower bound.
    - `width_high`: distance of the nearest tried rates that are not within, an upper bound; missing if none was tried,
      or if trials in between were stopped.
    - `diverges_from`: the smallest tried rate from which on every trial diverged.
    - `loss_default`, `loss_tuned`: medians of the test loss over the fresh seeds with default and tuned runs, a
      failure being infinite.
    - `gap`: loss_default/loss_tuned, the factor by which the default is worse.

    The widths are missing if the best loss is not positive.

    Args:
        trials: Frame of trials.
        runs: Frame of runs.
        cells: Frame of cells.
    """
    curves = build_lr_curves(trials)
    fresh = _medians(runs)
    rows = []
    for cell in cells.drop_duplicates("cell_id").to_dict("records"):
        curve = curves.get(cell["cell_id"], LrCurve(np.array([]), np.array([])))
        default, tuned = (fresh.get((cell["cell_id"], kind), math.nan) for kind in (False, True))
        known = math.isfinite(default) and math.isfinite(tuned) and tuned > 0
        rows.append(
            {name: cell[name] for name in ["cell_id", *CELL, "lr_default", "lr_tuned"]}
            | _optimum(curve)
            | {"loss_default": default, "loss_tuned": tuned, "gap": default / tuned if known else math.nan}
        )
    table = pd.DataFrame(rows, columns=_COLUMNS).sort_values(CELL, ignore_index=True)
    return table.astype({"trials": "Int64", "diverged": "Int64", "stopped": "Int64"})


def _optimum(curve: LrCurve) -> dict[str, Any]:
    rate, loss = curve.best
    row: dict[str, Any] = {
        "trials": len(curve.losses), "diverged": int(np.isposinf(curve.losses).sum()),
        "stopped": int(np.isnan(curve.losses).sum()), "lr_best": rate, "loss_best": loss,
        "diverges_from": curve.diverges_from,
    }  # fmt: skip
    if not loss > 0:
        return row
    within = curve.find_tolerance(TOLERANCE * loss)
    enough = within.count >= FEWEST_WITHIN
    return row | {
        "width": math.log10(within.cross_high / within.cross_low) if enough else math.nan,
        "width_low": math.log10(within.high / within.low),
        "width_high": math.log10(within.beyond_high / within.beyond_low),
    }


def _medians(runs: pd.DataFrame) -> dict[Any, float]:
    """Returns the median test loss by cell id and tuning, on the seeds of both; NaN if it is infinite."""
    runs = keep_shared_seeds(runs)
    loss = pd.to_numeric(runs["test_loss"]).astype(float).where(runs["status"] == "ok").fillna(np.inf)
    medians = loss.groupby([runs["cell_id"], runs["tuned"].astype(bool)], observed=True).median()
    return {key: value if math.isfinite(value) else math.nan for key, value in medians.items()}
