"""The part of the page on tracks: what tuning more dimensions gained, and whether the ranking survives it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from optbench.formatting import format_number, is_missing
from optbench.metrics.ranking import name_metric
from optbench.metrics.track_agreement import agreements
from optbench.metrics.tracks import RECIPE
from optbench.reporting.html_tables import NUMBER, Column, Table, place_columns


def track_tables(table: pd.DataFrame, cells: pd.DataFrame) -> Iterator[Table]:
    """For each problem on which an optimizer has a recipe, a table of its optimizers on all tracks.

    Without recipes there is nothing to show: the figure `gain` shows the runs at the default and the tuned rate.

    Args:
        table: The table `tracks`.
        cells: Frame of cells.
    """
    names = dict(zip(cells["problem"], cells["metric_name"], strict=True))
    for problem in table.loc[table["track"] == RECIPE, "problem"].unique():
        own = table[table["problem"] == problem]
        metric = name_metric(str(own["metric"].iloc[0]), str(names[problem]))
        columns = [
            *place_columns(cells),
            Column("base", "optimizer"),
            Column("track", "track"),
            Column("optimizer", "cell"),
            Column("dimensions", "tuned", NUMBER),
            Column("median", metric, NUMBER),
            Column("n", "seeds", NUMBER),
            Column("over", "compared with"),
            Column("verdict", "verdict"),
            Column("effect", "gain", NUMBER),
            Column("interval", "95 % interval", NUMBER),
            Column("p_holm", "p", NUMBER),
            Column("n_pairs", "pairs", NUMBER),
        ]
        rows = [row | {"interval": _interval(row)} for row in own.to_dict("records")]
        caption = (
            f"{problem}: median {metric} at the defaults, with the tuned rate, and with the recipe. A gain is a mean "
            "difference over paired seeds (above 0 is better), or a mean ratio of losses (below 1 is better); p is "
            "adjusted for all comparisons of a task."
        )
        yield Table(caption, columns, rows, header="base", source="tracks")


def track_sentences(table: pd.DataFrame, agreement: pd.DataFrame) -> list[str]:
    """Whether the ranking survives: one sentence for each two tracks. Empty if no optimizer has a recipe.

    Args:
        table: The table `tracks`.
        agreement: The table `track_agreement`.
    """
    return agreements(agreement) if (table["track"] == RECIPE).any() else []


def _interval(row: dict) -> str:
    low, high = row["effect_low"], row["effect_high"]
    return "–" if is_missing(low) else f"{format_number(low, 3)} – {format_number(high, 3)}"
