"""Times to targets as `time_to_target` gives them, from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

MISS = None
UNKNOWN = math.nan


def times_of(
    table: Mapping[tuple[str, str, str], Sequence[float | None]], budget: float = 100.0, scale: float = 1e-3
) -> pd.DataFrame:
    """From (optimizer, problem, target) to the costs of seeds 0, 1, …; seconds are `scale` times cost."""
    rows = []
    for (optimizer, problem, target), costs in table.items():
        for seed, cost in enumerate(costs):
            unknown = cost is not None and math.isnan(cost)
            at = math.nan if cost is None else cost
            rows.append({
                "cell_id": f"{problem}/{optimizer}", "problem": problem, "batch_size": 10, "device": "cpu",
                "schedule": "constant", "optimizer": optimizer, "seed": seed, "tuned": True, "status": "ok",
                "target_name": target, "target": 0.5, "reached": pd.NA if unknown else cost is not None,
                "steps_to_target": at / 10, "cost_to_target": at, "seconds_to_target": at * scale,
                "censored_at": budget,
            })  # fmt: skip
    return pd.DataFrame(rows).astype({"reached": "boolean"})
