"""Data profiles: the share of pairs of unit and seed that an optimizer has solved by an absolute cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.results.stored import GROUP

#: Shares of the run budget at which the table lists the solved share.
BUDGET_SHARES = (0.1, 0.2, 0.5, 1.0)


def data_profile(times: pd.DataFrame) -> pd.DataFrame:
    """Returns the share of pairs of unit and seed that each optimizer has solved by a share of the run budget.

    A unit is a problem, batch size, device, schedule and target. Unlike a performance profile, a data profile does not
    depend on the speed of the other optimizers (Moré and Wild 2009; COCO's runtime distributions). All optimizers are
    counted on the pairs that all of them have: otherwise those that ran easier pairs would look better.

    Args:
        times: The frame of `time_to_target`, for the runs that are compared.

    Returns:
        One row per optimizer with the columns `optimizer`, `pairs`, `pairs_unknown` (runs without evaluations or
        budget), `solved_at_10`, … (the share solved by 10 % of the budget) and `pairs_left_out` (known, but not of
        every optimizer).
    """
    table = _shares(times)
    rows = []
    for optimizer, own in table.groupby("optimizer", observed=True, sort=True):
        at = own.loc[own["common"], "share"].to_numpy(dtype=float)
        known = int(own["share"].notna().sum())
        row = {"optimizer": optimizer, "pairs": len(at), "pairs_unknown": len(own) - known,
               "pairs_left_out": known - len(at)}  # fmt: skip
        for part in BUDGET_SHARES:
            row[f"solved_at_{part * 100:.0f}"] = float((at <= part).mean()) if len(at) else np.nan
        rows.append(row)
    columns = ["optimizer", "pairs", "pairs_unknown", *(f"solved_at_{part * 100:.0f}" for part in BUDGET_SHARES),
               "pairs_left_out"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def data_profile_curves(times: pd.DataFrame) -> pd.DataFrame:
    """Returns the profiles as step functions, one row per step: `optimizer`, `budget_share`, `share` (solved by then).

    Args:
        times: As for `data_profile`.
    """
    frames = []
    for optimizer, own in _shares(times).query("common").groupby("optimizer", observed=True, sort=True):
        share = own["share"].to_numpy(dtype=float)
        at, count = np.unique(share[np.isfinite(share)], return_counts=True)
        frames.append(pd.DataFrame(
            {"optimizer": optimizer, "budget_share": at, "share": np.cumsum(count) / len(share)}
        ))  # fmt: skip
    columns = ["optimizer", "budget_share", "share"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _shares(times: pd.DataFrame) -> pd.DataFrame:
    """Returns each pair's cost as a share of its budget: infinite for a miss, NaN if unknown.

    `common` is true for pairs that are known for all optimizers with any known pair.
    """
    reached = times["reached"].to_numpy(dtype=float, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        share = times["cost_to_target"].to_numpy(dtype=float) / times["censored_at"].to_numpy(dtype=float)
        missed = times["censored_at"].to_numpy(dtype=float) * np.inf
    share = np.where(reached == 1, share, np.where(reached == 0, missed, np.nan))
    table = times[[*GROUP, "target_name", "seed"]].assign(optimizer=times["optimizer"].astype(object), share=share)
    known = table["share"].notna()
    pair = table.groupby([*GROUP, "target_name", "seed"], observed=True, sort=False).ngroup()
    have = table[known].groupby(pair[known])["optimizer"].nunique()
    return table.assign(common=known & pair.map(have).eq(table.loc[known, "optimizer"].nunique()))
