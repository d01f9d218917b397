"""The HTML tables of the report: which columns of which frame they show, and under which headings."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optbench.formatting import format_cell, format_number, in_words, is_missing, is_numeric
from optbench.metrics.known_length import NOTE
from optbench.metrics.verdicts import SMALL, is_small
from optbench.results.stored import GROUP

NUMBER, WIDE, BAD = "number", "wide", "bad"
#: Sentences that the page's scripts write again for a selection or another reference; `{…}` are filled in.
TEXTS = {
    "all": "All optimizers over all tasks.",
    "selected": "The selected optimizers over the selected tasks.",
    "standings": (
        "Wins, ties, losses and inconclusive verdicts, step time and memory are relative to {reference}. Equal ranks "
        "are ties."
    ),
    "against": (
        "Verdicts come from an exact test on paired seeds against {reference}. P-values are adjusted for {comparisons}."
    ),
    "win": "Better: {names}.",
    "loss": "Worse: {names}.",
    "tie": "Tied: {names}.",
    "inconclusive": "Inconclusive: {names}.",
    "small_note": SMALL,
    "small": "Significant, but shown to be within the margin: {names}.",
    "length_note": NOTE,
    "length": "Only the better one knows the length of the training, which may explain part of it: {names}.",
}


@dataclass(frozen=True)
class Column:
    """A column of a frame: its name, its heading on the page and its kind (a class of the style sheet)."""

    name: str
    heading: str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table as the template renders it.

    The column `header` holds the headings of the rows. `name` is the id of the <table>, by which scripts find it.
    `source` is the name of the table that can be downloaded in full.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[dict[Hashable, Any]]
    header: str = "optimizer"
    name: str = ""
    source: str = ""

    def cells(self, row: dict[Hashable, Any]) -> Iterator[tuple[Column, str, str]]:
        """Each column with its text and the number by which it is sorted, as text (empty for values that are not
        numbers). The key `COLUMN as text` of a row replaces the text of that column.
        """
        for column in self.columns:
            value = row[column.name]
            number = isinstance(value, (int, float, np.number)) and not is_missing(value)
            text = str(row.get(f"{column.name} as text") or format_cell(column.name, value))
            yield column, text, f"{float(value)!r}".removesuffix(".0") if number else ""

    def where(self, row: dict[Hashable, Any]) -> Iterator[tuple[str, str]]:
        """The attributes of a row by which the page filters it, such as `data-problem`, with their values."""
        for name in (*GROUP, "optimizer"):
            if name in row and not is_missing(row[name]):
                yield f"data-{name.replace('_', '-')}", str(row[name])


@dataclass(frozen=True)
class Group:
    """The leaderboard of one problem, batch size, device and schedule, with its result in words.

    `pool` names the optimizers in the first place, `against` the verdicts against the reference, and `quotes` has a
    sentence for each of them (see `metrics.quotation`).
    """

    title: str
    where: dict[str, Any]
    pool: str
    against: str
    table: Table
    quotes: Sequence[str] = ()


def plain_table(frame: pd.DataFrame | None, caption: str) -> Table | None:
    """Any frame as it is; its first column holds the headings of the rows. None for a frame without columns."""
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
        Column("inconclusive", "inconclusive", NUMBER),
        Column("target_reached", "targets reached", NUMBER),
        Column("step_ratio", "step time", NUMBER),
        Column("memory_ratio", "memory", NUMBER),
        Column("failed_runs", "failed runs", NUMBER),
        Column("audit", "audit findings", NUMBER),
    ]
    rows: list[dict[Hashable, Any]] = [
        row
        | {
            "interval": _bounds(row["score_low"], row["score_high"]),
            "rank as text": f"={row['rank']}" if row["tied"] else "",
            "score as text": "" if is_missing(row["score"]) else f"{row['score']:.3f}",
            **{
                f"{name} as text": "" if is_missing(row[name]) else f"{format_number(row[name], 3)}×"
                for name in _RATIOS
            },
        }
        for row in table.to_dict("records")
    ]
    caption = f"{TEXTS['all']} {TEXTS['standings'].format(reference=reference)}"
    return Table(caption, columns, rows, name="standings", source="standings")


_RATIOS = ("step_ratio", "memory_ratio")


def _bounds(low: float, high: float) -> str:
    return "–" if is_missing(low) else f"{low:.3f} – {high:.3f}"


def groups(
    board: pd.DataFrame, metrics: dict[str, str], verdicts: pd.DataFrame, quotes: Sequence[str] = ()
) -> Iterator[Group]:
    """The leaderboard group by group.

    Args:
        board: The table `leaderboard`.
        metrics: The name of the metric by problem.
        verdicts: The table `verdicts`.
        quotes: Sentences for its rows.
    """
    quoted: dict[Any, list[str]] = {}
    for key, text in zip(verdicts[GROUP].itertuples(index=False, name=None), quotes, strict=bool(quotes)):
        quoted.setdefault(key, []).append(text)
    judged = dict(list(verdicts.groupby(GROUP, sort=False)))
    for key, rows in board.groupby(GROUP, sort=False):
        problem, batch, device, schedule = key
        metric = metrics.get(str(problem), "metric")
        paired = _paired(rows)
        columns = [
            Column("rank", "rank", NUMBER),
            Column("optimizer", "optimizer"),
            Column("test_metric", f"test {metric}", NUMBER),
            Column("test_metric_low", "lowest", NUMBER),
            Column("test_metric_high", "highest", NUMBER),
            Column("test_metric_default", "at default rate", NUMBER),
            *paired,
            Column("valid_loss", "validation loss", NUMBER),
            Column("target_reached", "target reached", NUMBER),
            Column("cost_to_target", "cost to target", NUMBER),
            Column("lr", "learning rate", NUMBER),
            *_others(rows, "other hyperparameters"),
            Column("step_ms", "ms per step", NUMBER),
            Column("seeds", "seeds ok", NUMBER),
            Column("remarks", "remarks", BAD),
        ]
        records = [
            row | {"seeds": f"{row['n_ok']}/{row['n_runs']}", "remarks": _remarks(row)}
            for row in rows.to_dict("records")
        ]
        caption = (
            f"Median test {metric} of the final runs (tuned, if there is anything to tune), with the range over seeds. "
            "The cost to the target is a median over seeds, in example gradients."
        )
        if paired:
            caption += " The runs at the default rate are on the first seeds only: compare them on the same seeds."
        title = f"{problem}, batch {batch}, {device}, schedule {schedule}"
        against = _against(judged[key]) if key in judged else ""
        where = dict(zip(GROUP, key, strict=True))
        table = Table(caption, columns, records, source="leaderboard")
        yield Group(title, where, _verdict(rows), against, table, quoted.get(key, ()))


def _paired(rows: pd.DataFrame) -> list[Column]:
    """The column of the tuned runs on the seeds of the default runs, where these are not all seeds."""
    paired = rows["test_metric_paired"].astype(float)
    differs = (paired.notna() & (paired != rows["test_metric"].astype(float))).any()
    return [Column("test_metric_paired", "tuned, same seeds", NUMBER)] if differs else []


def _others(frame: pd.DataFrame, heading: str) -> list[Column]:
    """The column of tuned hyperparameters other than the learning rate, where there are any."""
    known = "others_tuned" in frame and frame["others_tuned"].fillna("").ne("").any()
    return [Column("others_tuned", heading, WIDE)] if known else []


def _against(verdicts: pd.DataFrame) -> str:
    """The verdicts of one group in words."""
    number = int(verdicts["p_holm"].notna().sum())
    comparisons = f"{number} comparison{'' if number == 1 else 's'}"
    parts = [TEXTS["against"].format(reference=verdicts["reference"].iloc[0], comparisons=comparisons)]
    for verdict in ("win", "loss", "tie", "inconclusive"):
        names = verdicts.loc[verdicts["verdict"] == verdict, "optimizer"]
        if len(names):
            parts.append(TEXTS[verdict].format(names=in_words(names)))
    small = verdicts.loc[is_small(verdicts["note"]), "optimizer"]
    if len(small):
        parts.append(TEXTS["small"].format(names=in_words(small)))
    helped = verdicts.loc[verdicts["note"].str.contains(NOTE, regex=False), "optimizer"]
    if len(helped):
        parts.append(TEXTS["length"].format(names=in_words(helped)))
    return " ".join(parts)


def _remarks(row: dict[Hashable, Any]) -> str:
    remarks = [] if row["status"] == "ok" else [str(row["status"])]
    if row["diverged"] and row["status"] != "diverged":
        remarks.append(f"{row['diverged']} diverged")
    if row["edge"]:
        remarks.append(f"best rate at the {row['edge']} edge")
    remarks += [name.replace("_", " ") for name in str(row["audit"]).split(", ") if name not in ("", "edge")]
    return "; ".join(remarks)


def _verdict(rows: pd.DataFrame) -> str:
    """Which optimizers rank first, and which others have an overlapping range over seeds."""
    done = rows[rows["test_metric"].notna() & rows["rank"].notna()]
    if done.empty:
        return "No optimizer has a result here."
    firsts = done[done["rank"] == done["rank"].min()]
    low, high = firsts["test_metric_low"].min(), firsts["test_metric_high"].max()
    rest = done.drop(firsts.index)
    near = rest[(rest["test_metric_high"] >= low) & (rest["test_metric_low"] <= high)]["optimizer"]
    text = f"{in_words(firsts['optimizer'])} {'ranks' if len(firsts) == 1 else 'rank'} first"
    if done["n_runs"].min() < 2:
        return f"{text}, with one seed only, so the difference may be due to chance."
    if len(near):
        return f"{text}, but the range of the test metric over seeds overlaps with that of {in_words(near)}."
    return f"{text}. No other range of the test metric over seeds overlaps." if len(rest) else f"{text}."


def place_columns(cells: pd.DataFrame) -> list[Column]:
    """The columns that name a task of one problem; device and schedule only if there are several."""
    several = [name for name in ("device", "schedule") if cells[name].nunique() > 1]
    return [Column("batch_size", "batch", NUMBER), *(Column(name, name) for name in several)]


def tuning_tables(cells: pd.DataFrame) -> Iterator[Table]:
    """For each problem a table of the learning rates: one row per cell with the declared and the searched range, the
    chosen rate, and the cost of the tuning.
    """
    columns = [
        *place_columns(cells),
        Column("optimizer", "optimizer"),
        Column("lr_default", "default rate", NUMBER),
        Column("declared", "declared range", NUMBER),
        Column("searched", "searched range", NUMBER),
        Column("lr_tuned", "chosen rate", NUMBER),
        *_others(cells, "other chosen hyperparameters"),
        Column("edge", "at edge", BAD),
        Column("trials", "trials", NUMBER),
        Column("tuning_cost", "cost", NUMBER),
        Column("tuning_budget", "budget", NUMBER),
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
        caption = f"{problem}: learning rates, and the compute spent on tuning them, in example gradients."
        yield Table(caption, columns, [row for row in records if row["problem"] == problem], source="cells")


def hyperparameter_tables(table: pd.DataFrame, cells: pd.DataFrame) -> Iterator[Table]:
    """For each problem a table of the searched hyperparameters of its cells that searched several of them."""
    columns = [
        *place_columns(cells),
        Column("optimizer", "optimizer"),
        Column("hyperparameter", "hyperparameter"),
        Column("searched", "searched"),
        Column("scale", "scale"),
        Column("condition", "condition"),
        Column("start", "start", NUMBER),
        Column("chosen", "chosen", NUMBER),
        Column("trials", "trials", NUMBER),
    ]
    several = table[table.groupby("cell_id")["hyperparameter"].transform("size") > 1]
    for problem in several["problem"].unique():
        rows = several[several["problem"] == problem].to_dict("records")
        yield Table(f"{problem}: hyperparameters searched and chosen.", columns, rows, source="hyperparameters")


def _range(low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return "–"
    return f"{format_cell('lr', low)} – {format_cell('lr', high)}"
