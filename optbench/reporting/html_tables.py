"""The tables of the report: which columns of which frame, under which headings."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import cell_text, is_missing, is_numeric, significant
from optbench.results.stored import GROUP

NUMBER, WIDE, BAD = "number", "wide", "bad"


@dataclass(frozen=True)
class Column:
    """A column of a frame, its heading on the page and its kind (a class of the style sheet)."""

    name: str
    heading: str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """What the template makes a <table> of; the column `header` holds the headings of the rows. `name` is the element's
    id, by which scripts find it, and `source` the table whose figures it shows.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[dict[Hashable, Any]]
    header: str = "optimizer"
    name: str = ""
    source: str = ""

    def cells(self, row: dict[Hashable, Any]) -> Iterator[tuple[Column, str, str]]:
        """Each column with its text, and the number that it is sorted by (empty where it is none). A row may bring a
        text of its own for a column, under its name and ` as text`.
        """
        for column in self.columns:
            value = row[column.name]
            number = isinstance(value, (int, float, np.number)) and not is_missing(value)
            text = str(row.get(f"{column.name} as text") or cell_text(column.name, value))
            yield column, text, f"{float(value)!r}".removesuffix(".0") if number else ""

    def where(self, row: dict[Hashable, Any]) -> Iterator[tuple[str, str]]:
        """What a row is about, for filters: attributes and their values."""
        for name in (*GROUP, "optimizer"):
            if name in row and not is_missing(row[name]):
                yield f"data-{name.replace('_', '-')}", str(row[name])


@dataclass(frozen=True)
class Group:
    """The leaderboard of one problem, batch size, device and schedule, and what it says."""

    title: str
    where: dict[str, Any]
    pool: str
    against: str
    table: Table


def plain_table(frame: pd.DataFrame | None, caption: str) -> Table | None:
    """Any frame as it is, its first column the headings of the rows."""
    if frame is None or not len(frame.columns):
        return None
    names = [str(name) for name in frame.columns]
    columns = [
        Column(name, name.replace("_", " "), NUMBER if is_numeric(frame.iloc[:, place]) else "")
        for place, name in enumerate(names)
    ]
    return Table(caption, columns, frame.set_axis(names, axis=1).to_dict("records"), header=names[0])


def standings_table(table: pd.DataFrame, reference: str) -> Table:
    """The leaderboard over all tasks (see `standings.standings`)."""
    columns = [
        Column("rank", "rank", NUMBER),
        Column("optimizer", "optimizer"),
        Column("score", "score", NUMBER),
        Column("interval", "95 % interval", NUMBER),
        Column("median_rank", "median rank", NUMBER),
        Column("wins", "wins", NUMBER),
        Column("ties", "ties", NUMBER),
        Column("losses", "losses", NUMBER),
        Column("inconclusive", "open", NUMBER),
        Column("target_reached", "targets reached", NUMBER),
        Column("step_ratio", "step time", NUMBER),
        Column("memory_ratio", "memory", NUMBER),
        Column("failed_runs", "failed runs", NUMBER),
        Column("audit", "audit marks", NUMBER),
    ]
    rows: list[dict[Hashable, Any]] = [
        row
        | {
            "interval": _bounds(row["score_low"], row["score_high"]),
            "rank as text": f"={row['rank']}" if row["tied"] else "",
            "score as text": "" if is_missing(row["score"]) else f"{row['score']:.3f}",
            **{f"{name} as text": "" if is_missing(row[name]) else f"{significant(row[name], 3)}×" for name in _RATIOS},
        }
        for row in table.to_dict("records")
    ]
    caption = (
        f"All optimizers over all tasks. Wins, ties, losses and open (inconclusive) verdicts, step time and memory are "
        f"against {reference}. Equal ranks are ties."
    )
    return Table(caption, columns, rows, name="standings", source="standings")


_RATIOS = ("step_ratio", "memory_ratio")


def _bounds(low: float, high: float) -> str:
    return "–" if is_missing(low) else f"{low:.3f} – {high:.3f}"


def groups(board: pd.DataFrame, metrics: dict[str, str], verdicts: pd.DataFrame) -> Iterator[Group]:
    """The leaderboard group by group, with what the frame of `metrics.verdicts` says. `metrics`: the metric's
    name by problem.
    """
    judged = dict(list(verdicts.groupby(GROUP, sort=False)))
    for key, rows in board.groupby(GROUP, sort=False):
        problem, batch, device, schedule = key
        metric = metrics.get(str(problem), "metric")
        columns = [
            Column("rank", "rank", NUMBER),
            Column("optimizer", "optimizer"),
            Column("test_metric", f"test {metric}", NUMBER),
            Column("test_metric_low", "lowest", NUMBER),
            Column("test_metric_high", "highest", NUMBER),
            Column("test_metric_default", "at default rate", NUMBER),
            Column("valid_loss", "valid. loss", NUMBER),
            Column("target_reached", "target reached", NUMBER),
            Column("cost_to_target", "cost to target", NUMBER),
            Column("lr", "learning rate", NUMBER),
            Column("step_ms", "ms per step", NUMBER),
            Column("seeds", "seeds ok", NUMBER),
            Column("remarks", "remarks", BAD),
        ]
        records = [
            row | {"seeds": f"{row['n_ok']}/{row['n_runs']}", "remarks": _remarks(row)}
            for row in rows.to_dict("records")
        ]
        caption = (
            f"Median test {metric} over seeds after tuning, with the range over the seeds; "
            "cost in example gradients, median over seeds."
        )
        title = f"{problem}, batch {batch}, {device}, {schedule} learning rate"
        against = _against(judged[key]) if key in judged else ""
        where = dict(zip(GROUP, key, strict=True))
        yield Group(title, where, _verdict(rows), against, Table(caption, columns, records, source="leaderboard"))


def _against(verdicts: pd.DataFrame) -> str:
    """The verdicts of one group in a sentence."""
    parts = []
    for verdict, words in (("win", "better"), ("loss", "worse"), ("tie", "tied")):
        names = verdicts.loc[verdicts["verdict"] == verdict, "optimizer"]
        if len(names):
            parts.append(f"{joined(names)} {'is' if len(names) == 1 else 'are'} {words}")
    rest = int((verdicts["verdict"] == "inconclusive").sum())
    if rest:
        parts.append(f"{rest} {'is' if rest == 1 else 'are'} inconclusive")
    return f"By an exact test of paired seeds against {verdicts['reference'].iloc[0]}: {'; '.join(parts)}."


def _remarks(row: dict[Hashable, Any]) -> str:
    remarks = [] if row["status"] == "ok" else [str(row["status"])]
    if row["diverged"] and row["status"] != "diverged":
        remarks.append(f"{row['diverged']} diverged")
    if row["edge"]:
        remarks.append(f"best rate at the {row['edge']} edge")
    remarks += [name.replace("_", " ") for name in str(row["audit"]).split(", ") if name not in ("", "edge")]
    return "; ".join(remarks)


def _verdict(rows: pd.DataFrame) -> str:
    """Who is first, and from whom the seeds can't tell it apart."""
    done = rows[rows["test_metric"].notna() & rows["rank"].notna()]
    if done.empty:
        return "No optimizer has a result here."
    firsts = done[done["rank"] == done["rank"].min()]
    low, high = firsts["test_metric_low"].min(), firsts["test_metric_high"].max()
    rest = done.drop(firsts.index)
    near = rest[(rest["test_metric_high"] >= low) & (rest["test_metric_low"] <= high)]["optimizer"]
    text = f"{joined(firsts['optimizer'])} {'is' if len(firsts) == 1 else 'are'} first"
    if done["n_runs"].min() < 2:
        return f"{text} with one seed, which does not tell chance from difference."
    if len(near):
        return f"{text}; inconclusive against {joined(near)}, whose range of the test metric over seeds overlaps."
    return f"{text}, and no other range of the test metric over seeds overlaps." if len(rest) else f"{text}."


def joined(names: Iterable[object]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    texts = [str(name) for name in names]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)


def _where(cells: pd.DataFrame) -> list[Column]:
    """The columns that name a cell; those in which there is a choice."""
    several = [name for name in ("device", "schedule") if cells[name].nunique() > 1]
    return [
        Column("batch_size", "batch", NUMBER),
        *(Column(name, name) for name in several),
        Column("optimizer", "optimizer"),
    ]


def tuning_tables(cells: pd.DataFrame) -> Iterator[Table]:
    """For each problem one row per cell: what was declared, searched, chosen and charged."""
    columns = [
        *_where(cells),
        Column("lr_default", "default rate", NUMBER),
        Column("declared", "declared range", NUMBER),
        Column("searched", "searched range", NUMBER),
        Column("lr_tuned", "chosen rate", NUMBER),
        Column("edge", "at edge", BAD),
        Column("trials", "trials", NUMBER),
        Column("tuning_cost", "charged", NUMBER),
        Column("tuning_budget", "of budget", NUMBER),
    ]
    records: list[dict[Hashable, Any]] = [
        row
        | {
            "declared": _range(row["lr_low"], row["lr_high"]),
            "searched": _range(row["lr_low_searched"], row["lr_high_searched"]),
        }
        for row in cells.sort_values([*GROUP, "optimizer"]).to_dict("records")
    ]
    for problem in cells["problem"].unique():
        caption = f"{problem}: learning rates, and the compute spent on finding them (in example gradients)."
        yield Table(caption, columns, [row for row in records if row["problem"] == problem], source="cells")


def _range(low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return "–"
    return f"{cell_text('lr', low)} – {cell_text('lr', high)}"
