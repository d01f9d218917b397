"""The display of results in a notebook: a readable summary instead of an object's address."""

from __future__ import annotations

import warnings
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from optbench.results.frames import Frames

from optbench.formatting import format_cell
from optbench.results.load import Results
from optbench.results.stored import GROUP

#: The most rows that the output of a notebook cell shows.
MOST = 30


class ShownResults(Results):
    """Results that a notebook displays with their leaderboard."""

    @cached_property
    def _collected(self) -> Frames:
        for text in self.damage.values():
            warnings.warn(text, stacklevel=4)
        return super()._collected

    def _repr_html_(self) -> str:
        return summary_html(self)


def summary_html(results: Results) -> str:
    """Results (from `optbench.load`) as a fragment of HTML: completeness, warnings, and the best optimizer per task."""
    from optbench.metrics.leaderboard import leaderboard
    from optbench.reporting.header import banners, completeness

    cells, runs = results.cells, results.runs
    name = escape(results.name)
    parts = [f"<p><b>{name}</b>: {escape(completeness(cells))}</p>"]
    parts += [f"<p><em>{escape(text)}</em></p>" for text in (*banners(cells, runs), *results.warnings)]
    board = leaderboard(runs, cells)
    best = board[board["rank"] == 1].drop_duplicates(GROUP).head(MOST)
    if len(best):
        parts.append(_table("Best optimizer on each task, by the median over seeds", best))
    frames = ", ".join(f"<code>.{name}</code> {len(getattr(results, name)):,}" for name in ("runs", "trials", "curves"))
    parts.append(f"<p>Rows: {frames}, <code>.cells</code> {len(cells):,}</p>")
    return "\n".join(parts)


def _table(caption: str, board: pd.DataFrame) -> str:
    several = [name for name in ("device", "schedule") if board[name].nunique() > 1]
    columns = [
        "problem",
        "batch_size",
        *several,
        "optimizer",
        "test_metric",
        "test_metric_low",
        "test_metric_high",
        "lr",
    ]
    head = "".join(f'<th scope="col">{escape(name.replace("_", " "))}</th>' for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(format_cell(name, row[name]))}</td>' for name in columns)}</tr>"
        for row in board.to_dict("records")
    )
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
