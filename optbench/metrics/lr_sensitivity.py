"""How much depends on the learning rate: the width of the optimum, where training diverges, what tuning gains."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.compared import distinct
from optbench.results.stored import CELL
from optbench.statistics.lr_curve import LrCurve

#: A loss counts as good as the best up to this many times it.
TOLERANCE = 1.05
#: The width is interpolated only where so many rates that were tried lie within it: a line from the best rate
#: to a far neighbour is steeper than the loss is, and its crossing too near.
FEWEST_WITHIN = 3
_COLUMNS = [
    "cell_id", *CELL, "trials", "diverged", "lr_best", "loss_best", "width", "width_low", "width_high",
    "diverges_from", "lr_default", "loss_default", "lr_tuned", "loss_tuned", "gap",
]  # fmt: skip


def lr_curves(trials: pd.DataFrame) -> dict[Any, LrCurve]:
    """By cell id the final validation losses of its trials against their learning rates.

    A diverged trial has an infinite loss; one that was pruned, or failed for another reason, none.
    """
    trials = trials.drop_duplicates(["cell_id", "trial"])
    loss = trials["valid_loss"].to_numpy(dtype=float, na_value=np.nan)
    ok, lost = (trials["status"] == "ok").to_numpy(), (trials["status"] == "diverged").to_numpy()
    loss = np.where(lost | (ok & ~np.isfinite(loss)), np.inf, np.where(ok, loss, np.nan))
    rates = trials["lr"].to_numpy(dtype=float, na_value=np.nan)
    places = trials.reset_index(drop=True).groupby("cell_id", observed=True, sort=False).indices
    return {cell: LrCurve.of(rates[own], loss[own]) for cell, own in places.items()}


def lr_sensitivity(trials: pd.DataFrame, runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """One row a cell: its best trial, the width of the optimum, the edge of divergence, the worth of tuning.

    The width, in decades, is that of the rates around the best one whose validation loss is within 5 % of the
    best. It is at least `width_low`, the distance of the outermost rates tried side by side that are within,
    and at most `width_high`, that of the nearest ones on either side that are not (missing where none was tried).
    `width` itself is interpolated (loss linear in log rate) where three of the rates tried or more are within,
    and both their neighbours trained. All three are missing where the best loss is not positive.
    `diverges_from` is the smallest rate tried from which on every trial diverged.

    `loss_default` and `loss_tuned` are medians over the fresh seeds of the test loss, a failure being infinite,
    and `gap` their ratio: what leaving the default costs nothing, and what staying there does.
    """
    curves = lr_curves(trials)
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
    return table.astype({"trials": "Int64", "diverged": "Int64"})


def _optimum(curve: LrCurve) -> dict[str, Any]:
    rate, loss = curve.best
    finite = int(np.isfinite(curve.losses).sum())
    row: dict[str, Any] = {
        "trials": len(curve.losses), "diverged": len(curve.losses) - finite, "lr_best": rate, "loss_best": loss,
        "diverges_from": curve.diverges_from,
    }  # fmt: skip
    if not loss > 0:
        return row
    within = curve.tolerant(TOLERANCE * loss)
    enough = within.count >= FEWEST_WITHIN
    return row | {
        "width": math.log10(within.cross_high / within.cross_low) if enough else math.nan,
        "width_low": math.log10(within.high / within.low),
        "width_high": math.log10(within.beyond_high / within.beyond_low),
    }


def _medians(runs: pd.DataFrame) -> dict[Any, float]:
    """By cell id and tuning the median test loss, NaN where it falls on a failure."""
    runs = distinct(runs)
    loss = pd.to_numeric(runs["test_loss"]).astype(float).where(runs["status"] == "ok").fillna(np.inf)
    medians = loss.groupby([runs["cell_id"], runs["tuned"].astype(bool)], observed=True).median()
    return {key: value if math.isfinite(value) else math.nan for key, value in medians.items()}
