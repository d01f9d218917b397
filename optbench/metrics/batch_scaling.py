"""Steps, cost and learning rate as functions of the batch size, and the size from which larger batches do not pay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optbench.results.stored import CELL

#: A batch size pays if reaching the target costs at most this factor times the least cost over batch sizes: at the
#: critical batch size of McCandlish et al. (2018), the cost and the fewest possible steps have doubled.
PAYS = 2.0
_CURVE = ["problem", "device", "schedule", "optimizer", "target_name"]
_COLUMNS = [
    *_CURVE, "target", "batch_size", "lr", "n_seeds", "n_reached", "steps", "cost", "seconds", "step_exponent", "pays",
    "pays_up_to", "pays_beyond", "critical_batch", "lr_exponent",
]  # fmt: skip


def batch_scaling(summary: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per problem, optimizer, device, schedule, target and batch size, if several sizes were run.

    - `steps`, `cost`, `seconds`: medians of `target_summary`, missing if half of the seeds missed the target.
    - `step_exponent`: −log(steps/steps')/log(B/B') to the next smaller batch size B'. It is 1 if doubling the batch
      size halves the steps (perfect scaling, Shallue et al. 2019), and 0 if it saves none.
    - `pays`: whether the cost is at most twice the least cost over the batch sizes.
    - `pays_up_to`: the largest size up to which all sizes pay; `pays_beyond` is true if it is the largest size that was
      tried, so that the true limit may be higher.
    - `critical_batch`: B_c of cost = E·(1 + B/B_c) (McCandlish et al. 2018, equations 2.11 and 2.12), by least squares
      over at least three sizes.
    - `lr_exponent`: the slope of log(tuned rate) over log(batch size): ½ is the square-root rule, 1 the linear one.

    All are computed from medians and have no intervals: they describe these runs only.

    Args:
        summary: The frame of `target_summary`.
        cells: Frame of cells.
    """
    rates = cells.drop_duplicates(CELL)[[*CELL, "lr_tuned"]]
    table = summary.astype(dict.fromkeys(["problem", "device", "schedule", "optimizer", "target_name"], "object"))
    table = table.merge(rates.astype(dict.fromkeys(["problem", "device", "schedule", "optimizer"], "object")),
                        on=CELL, how="left")  # fmt: skip
    table = table.rename(columns={"median_steps": "steps", "median_cost": "cost", "median_seconds": "seconds",
                                  "lr_tuned": "lr"})  # fmt: skip
    table = table.sort_values("batch_size", kind="stable", ignore_index=True)
    sizes, steps, cost, lr = (table[name].to_numpy(dtype=float) for name in ("batch_size", "steps", "cost", "lr"))
    known = table["n_reached"].notna().to_numpy()
    places = [own for own in table.groupby(_CURVE, sort=False, observed=True).indices.values() if len(own) > 1]
    frames = [_curve(sizes[own], steps[own], cost[own], lr[own], known[own]) for own in places]
    if not frames:
        return pd.DataFrame(columns=_COLUMNS)
    lengths = [len(own) for own in places]
    figures = {name: np.repeat([frame[name] for frame in frames], lengths)
               for name in ("pays_up_to", "critical_batch", "lr_exponent")}  # fmt: skip
    return (
        table.iloc[np.concatenate(places)]
        .reset_index(drop=True)
        .assign(
            step_exponent=np.concatenate([frame["step_exponent"] for frame in frames]),
            pays=pd.array(np.concatenate([frame["pays"] for frame in frames]), dtype="boolean"),
            pays_beyond=pd.array(np.repeat([frame["pays_beyond"] for frame in frames], lengths), dtype="boolean"),
            **figures,
        )[_COLUMNS]
    )


def _curve(size: np.ndarray, steps: np.ndarray, cost: np.ndarray, lr: np.ndarray, known: np.ndarray) -> dict[str, Any]:
    """Returns the columns of one curve, in order of its batch sizes: arrays for each size, numbers for all."""
    reached = np.isfinite(cost)
    exponent = np.full(len(size), np.nan)
    logged = np.log(np.where(steps > 0, steps, np.nan))  # no steps if the target was met at the start
    exponent[1:] = -np.diff(logged) / np.diff(np.log(size))
    pays: np.ndarray = np.full(len(size), None, dtype=object)
    about: dict[str, Any] = {"pays_up_to": np.nan, "pays_beyond": None, "critical_batch": np.nan}
    if reached.any():
        # A miss does not pay; a cell without known times is missing.
        good = np.where(reached, cost, np.inf) <= PAYS * np.nanmin(cost)
        pays[known] = good[known]
        place = int(np.nanargmin(cost))
        while place + 1 < len(size) and known[place + 1] and good[place + 1]:
            place += 1
        about["pays_up_to"] = size[place]
        about["pays_beyond"] = bool(place + 1 == len(size) or not known[place + 1])
    if reached.sum() >= 3:
        slope, intercept = np.polyfit(size[reached], cost[reached], 1)
        if slope > 0 and intercept > 0:
            about["critical_batch"] = intercept / slope
    rated = lr > 0
    about["lr_exponent"] = _slope(np.log(size[rated]), np.log(lr[rated])) if rated.sum() > 1 else np.nan
    return about | {"step_exponent": exponent, "pays": pays}


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Returns the least-squares slope of y over x; exactly 0 if all y are equal."""
    x, y = x - x.mean(), y - y[0]
    return float(x @ y / (x @ x))
