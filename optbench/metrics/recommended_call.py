"""The call that constructs the recommended optimizer in a script of the user's own."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from optbench.optimizers.written import write_constructor


def write_recommended(table: pd.DataFrame, results: Any) -> str:
    """Returns the call for the optimizer recommended for the largest budget; empty without one, or without one call.

    Without a best cell, all cells of the optimizer must have the same values, and none that only a trial has.

    Args:
        table: The table `recommendation`.
        results: The results that it was computed from.
    """
    number = table["trials"].fillna(0)
    first = (number == number.max()) & (table["scope"] == table["scope"].iloc[0]) if len(table) else False
    chosen = table[table["recommended"] & first]
    if chosen.empty:
        return ""
    row = chosen.iloc[0]
    cells = results.cells[results.cells["optimizer"] == row["optimizer"]]
    if row["cell_id"]:
        cells = cells[cells["cell_id"] == row["cell_id"]]
    known = [(results.identities.get(cell) or {}).get("optimizer", {}) for cell in cells["cell_id"]]
    searched = any({*identity.get("search", ())} - {"lr"} for identity in known)
    if not row["cell_id"] and (row["lr_low"] < row["lr_high"] or cells["schedule"].nunique() > 1 or searched):
        return ""
    label = re.sub(r" \([^()]*\)$", "", str(row["optimizer"]))  # joined results name the directory
    return write_constructor(
        label, float(row["lr_start"]), row["others"] or "", str(cells["schedule"].iloc[0]),
        known[0].get("constructor", ""), known[0].get("arguments"), bool(known[0].get("groups")),
    )  # fmt: skip
