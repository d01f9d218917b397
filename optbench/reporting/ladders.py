"""The part of the page on ladders: speed-ups at longer horizons and larger sizes, and projections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from optbench.formatting import format_number, is_missing
from optbench.metrics.projection import projection_sentence
from optbench.metrics.scaling import AT_LEAST, scaling_sentences
from optbench.reporting.html_tables import NUMBER, Column, Table, place_columns


def ladder_tables(scaling: pd.DataFrame, projection: pd.DataFrame, cells: pd.DataFrame) -> Iterator[Table]:
    """For each ladder, a table of the speed-ups and one of the projections.

    Args:
        scaling: The table `scaling`.
        projection: The table `projection`.
        cells: Frame of cells.
    """
    places = place_columns(cells)
    for ladder in dict.fromkeys([*scaling["ladder"], *projection["ladder"]]):
        for source, table, described in (
            ("scaling", scaling, _speedups),
            ("projection", projection, _projections),
        ):
            own = table[table["ladder"] == ladder]
            if len(own):
                caption, columns, rows = described(own)
                yield Table(f"{ladder}: {caption}", [*places, *columns], rows, header="optimizer", source=source)


def ladder_sentences(slopes: pd.DataFrame, projection: pd.DataFrame) -> list[str]:
    """What happens to the speed-ups along each ladder, and how often projections were right.

    Args:
        slopes: The table `scaling_slopes`.
        projection: The table `projection`.
    """
    return [text for text in (projection_sentence(projection), *scaling_sentences(slopes)) if text]


def _speedups(table: pd.DataFrame) -> tuple[str, list[Column], list[dict[Any, Any]]]:
    columns = [
        Column("optimizer", "optimizer"),
        *_axes(table),
        Column("loss", "loss", NUMBER),
        Column("loss_over", f"loss of {table['over'].iloc[0]}", NUMBER),
        Column("speedup_text", "speed-up", NUMBER),
        Column("interval", "95 % interval", NUMBER),
        Column("seconds_text", "in seconds", NUMBER),
        Column("n", "seeds", NUMBER),
        Column("note", "note"),
    ]
    rows = [
        row | {"speedup_text": _bounded(row, "speedup"), "seconds_text": _bounded(row, "seconds_speedup"),
               "interval": _interval(row, "speedup_low", "speedup_high"), "size_text": _size(row)}
        for row in table.to_dict("records")
    ]  # fmt: skip
    over = table["over"].iloc[0]
    caption = (
        f"the compute that {over} needs for the same loss, by interpolation between its own tuned run budgets, over "
        f"that of each optimizer. Beyond them, only a bound is known."
    )
    return caption, columns, rows


def _projections(table: pd.DataFrame) -> tuple[str, list[Column], list[dict[Any, Any]]]:
    columns = [
        Column("optimizer", "optimizer"),
        Column("axis", "along"),
        *_axes(table),
        Column("rungs", "rungs", NUMBER),
        Column("at", "projected to", NUMBER),
        Column("predicted", "projected loss", NUMBER),
        Column("interval", "95 % interval", NUMBER),
        Column("observed", "observed loss", NUMBER),
        Column("test", "held-out rung"),
    ]
    rows = [
        row | {"interval": _interval(row, "low", "high"), "size_text": _size(row)} for row in table.to_dict("records")
    ]
    caption = (
        "losses by a saturating power law through the lower rungs. Rows with an observed loss test the law on the "
        "highest rung, which it has not seen; the others project one rung further."
    )
    return caption, columns, rows


def _axes(table: pd.DataFrame) -> list[Column]:
    size = [Column("size_text", "size", NUMBER)] if table["size"].notna().any() else []
    return [*size, *([Column("run_budget", "run budget", NUMBER)] if table["run_budget"].notna().any() else [])]


def _size(row: dict[Any, Any]) -> str:
    return "–" if is_missing(row["size"]) else f"{row['size']:g}"


def _bounded(row: dict[Any, Any], name: str) -> str:
    if is_missing(row[name]):
        return "–"
    sign = {"": "", AT_LEAST: "≥ "}.get(row["bound"], "≤ ")
    return f"{sign}{format_number(row[name], 3)}"


def _interval(row: dict[Any, Any], low: str, high: str) -> str:
    if is_missing(row[low]):
        return "–"
    top = "∞" if row[high] == float("inf") else format_number(row[high], 3)
    return f"{format_number(row[low], 3)} – {top}"
