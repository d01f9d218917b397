"""The regret of using a learning rate that was tuned on another problem or batch size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.lr_sensitivity import build_lr_curves

_COLUMNS = ["optimizer", "device", "schedule", "across", "from_problem", "from_batch_size", "to_problem",
            "to_batch_size", "lr", "loss", "loss_best", "regret", "outcome"]  # fmt: skip


def lr_transfer(trials: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per ordered pair of cells of an optimizer, device and schedule: the rate of one in the other.

    - `across`: what differs, the `batch_size` on one problem or the `problem` at one batch size.
    - `loss`: validation loss at that rate, interpolated between the other cell's trials (linear in log rate).
    - `regret`: loss/(best loss of the other cell) − 1.
    - `outcome`: `measured`; `diverges` (between rates that diverged); `stopped` (next to a rate at which training was
      stopped early); or `not tried` (outside the tried rates, or between a rate that trained and one that diverged).
      Only the first one has a regret.

    Args:
        trials: Frame of trials.
        cells: Frame of cells.
    """
    curves = build_lr_curves(trials)
    known = cells.drop_duplicates("cell_id")
    known = known[known["lr_tuned"].notna() & known["cell_id"].isin(list(curves))]
    where = ["cell_id", "problem", "batch_size", "lr_tuned"]
    columns = known.astype({"problem": "object"}).sort_values(["optimizer", "problem", "batch_size"])
    frames = []
    for key, own in columns.groupby(["optimizer", "device", "schedule"], observed=True, sort=True):
        for other, names in (("batch_size", ["problem"]), ("problem", ["batch_size"])):
            pairs = own[where].merge(own[where], on=names, suffixes=("_from", "_to"))
            pairs = pairs[pairs[f"{other}_from"] != pairs[f"{other}_to"]]
            same = {f"{name}_{end}": pairs[name] for name in names for end in ("from", "to")}
            frames.append(pairs.assign(**same, across=other, **_label_columns(key)))
    if not frames:
        return pd.DataFrame(columns=_COLUMNS)
    table = pd.concat(frames, ignore_index=True)
    best = {cell: curve.best[1] for cell, curve in curves.items()}
    loss = np.array([
        curves[cell].interpolate(rate) for cell, rate in zip(table["cell_id_to"], table["lr_tuned_from"], strict=True)
    ], dtype=float)  # fmt: skip
    lowest = table["cell_id_to"].map(best).to_numpy(dtype=float)
    measured = np.isfinite(loss)
    with np.errstate(invalid="ignore", divide="ignore"):
        regret = np.where(measured & (lowest > 0), loss / lowest - 1, np.nan)
    table = table.rename(columns={
        "problem_from": "from_problem", "batch_size_from": "from_batch_size", "problem_to": "to_problem",
        "batch_size_to": "to_batch_size", "lr_tuned_from": "lr",
    }).assign(
        loss=np.where(measured, loss, np.nan), loss_best=lowest, regret=regret,
        outcome=[
            "measured" if np.isfinite(one) else "diverges" if np.isinf(one)
            else "stopped" if curves[cell].is_unknown(rate) else "not tried"
            for one, cell, rate in zip(loss, table["cell_id_to"], table["lr_tuned_from"], strict=True)
        ],
    )  # fmt: skip
    return table[_COLUMNS]


def _label_columns(key: Any) -> dict[str, Any]:
    return dict(zip(("optimizer", "device", "schedule"), key, strict=True))
