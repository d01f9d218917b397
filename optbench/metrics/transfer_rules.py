"""How well rules carry a tuned learning rate from the lowest rung to the others, against tuning on the spot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from optbench.metrics.ladders import HORIZON, LADDER, SIZE
from optbench.metrics.lr_sensitivity import build_lr_curves
from optbench.statistics.lr_curve import LrCurve

BATCH_SIZE = "batch size"
#: Exponents of the rules, by axis: the rate is multiplied by (x/x of the lowest rung) to this power.
RULES: dict[str, dict[str, float]] = {
    SIZE: {"as it is": 0.0, "inverse square root": -0.5, "inverse": -1.0},
    HORIZON: {"as it is": 0.0, "inverse square root": -0.5},
    BATCH_SIZE: {"as it is": 0.0, "square root": 0.5, "linear": 1.0},
}
_COLUMN = {SIZE: "size", HORIZON: "run_budget", BATCH_SIZE: "batch_size"}
_WHERE = [*LADDER, "size", "run_budget"]

COLUMNS = [
    "ladder", "device", "schedule", "optimizer", "axis", "rule", "exponent", "fitted", "fitted_low", "fitted_high",
    "rungs", "measured", "diverges", "regret_median", "regret_worst",
]  # fmt: skip


def transfer_rules(trials: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Returns one row for each optimizer, ladder, axis (`size`, `horizon`, `batch size`) and rule.

    A rule carries the rate that was tuned on the lowest rung to the `rungs` above it: η = η₀ (x/x₀)^`exponent`. The
    regret is the validation loss there, interpolated between the trials of the rung (linear in log rate), over the
    best loss of these trials, minus 1. It is `measured` where full-length trials lie on both sides of the rate;
    `diverges` counts the rungs on which the rate lies between rates that diverged.

    `fitted` is the exponent of the tuned rates, the least-squares slope of log η over log x with an intercept for each
    line of rungs, with its 95 % t-interval. It is missing with fewer than two rungs, the interval with too few.

    Args:
        trials: Frame of trials (see `optbench.load`).
        cells: Frame of cells. Those of older versions, without the column `ladder`, give no rows.
    """
    if "ladder" not in cells or cells.empty:
        return pd.DataFrame(columns=COLUMNS)
    curves = build_lr_curves(trials)
    known = cells.drop_duplicates("cell_id")
    known = known[known["lr_tuned"].notna() & known["cell_id"].isin(list(curves)) & (known["ladder"] != "")]
    rows = []
    for key, own in known.groupby(["ladder", "device", "schedule", "optimizer"], observed=True, sort=False):
        names = dict(zip(("ladder", "device", "schedule", "optimizer"), key, strict=True))
        for axis, rules in RULES.items():
            lines = list(_lines(own, _COLUMN[axis]))
            if lines:
                common = {**names, "axis": axis, **_fitted(lines, _COLUMN[axis])}
                rows += [
                    {**common, "rule": rule, "exponent": exponent, **_regrets(lines, _COLUMN[axis], exponent, curves)}
                    for rule, exponent in rules.items()
                ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    numbers = ["exponent", "fitted", "fitted_low", "fitted_high", "regret_median", "regret_worst"]
    counts = dict.fromkeys(("rungs", "measured", "diverges"), "int64")
    return table.astype({**dict.fromkeys(numbers, "float64"), **counts})


def _lines(cells: pd.DataFrame, column: str) -> Iterator[pd.DataFrame]:
    """Yields the rungs along which only one column varies, from the lowest."""
    fixed = [name for name in _WHERE if name != column]
    for _, line in cells.groupby(fixed, observed=True, dropna=False, sort=False):
        if line[column].notna().all() and line[column].nunique() == len(line) > 1:
            yield line.sort_values(column)


def _fitted(lines: list[pd.DataFrame], column: str) -> dict[str, float]:
    """The slope of the logarithm of the tuned rate, with its interval."""
    x, y = [], []
    for line in lines:
        logs = np.log(line[column].to_numpy(float)), np.log(line["lr_tuned"].to_numpy(float))
        x.append(logs[0] - logs[0].mean())
        y.append(logs[1] - logs[1].mean())
    across, up = np.concatenate(x), np.concatenate(y)
    slope = float((across * up).sum() / (across**2).sum())
    freedom = len(across) - len(lines) - 1
    if freedom < 1:
        return {"fitted": slope, "fitted_low": np.nan, "fitted_high": np.nan}
    error = np.sqrt(((up - slope * across) ** 2).sum() / freedom / (across**2).sum())
    half = float(stats.t.ppf(0.975, freedom) * error)
    return {"fitted": slope, "fitted_low": slope - half, "fitted_high": slope + half}


def _regrets(
    lines: list[pd.DataFrame], column: str, exponent: float, curves: Mapping[str, LrCurve]
) -> dict[str, float]:
    """The regrets of a rule on all rungs above the lowest of each line."""
    losses, best = [], []
    for line in lines:
        x, rates = line[column].to_numpy(float), line["lr_tuned"].to_numpy(float)
        for place, cell in enumerate(line["cell_id"].iloc[1:], 1):
            losses.append(curves[cell].interpolate(rates[0] * (x[place] / x[0]) ** exponent))
            best.append(curves[cell].best[1])
    found, lowest = np.array(losses, float), np.array(best, float)
    measured = np.isfinite(found) & (lowest > 0)
    regrets = found[measured] / lowest[measured] - 1
    return {
        "rungs": len(found),
        "measured": int(measured.sum()),
        "diverges": int(np.isinf(found).sum()),
        "regret_median": float(np.median(regrets)) if len(regrets) else np.nan,
        "regret_worst": float(regrets.max()) if len(regrets) else np.nan,
    }
