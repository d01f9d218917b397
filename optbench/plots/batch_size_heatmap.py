"""Heat map of the test metric by optimizer and batch size."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from optbench.formatting import format_number
from optbench.metrics.leaderboard import FAILURES
from optbench.plots import style


@mpl.rc_context(style.RC)
def batch_size_heatmap(board: pd.DataFrame, cells: pd.DataFrame, problem: str) -> tuple[Figure, pd.DataFrame]:
    """Median test metric (see `tables.leaderboard`) by optimizer and batch size, darker is better.

    Optimizers are ordered by their mean rank on this problem. A cell without a median because seeds failed is hatched
    and names the failure; a cell that was not run is empty. Returns the figure and the frame drawn: optimizers by
    (schedule, device, batch_size).
    """
    board, cells = board[board["problem"] == problem], cells[cells["problem"] == problem]
    columns = ["schedule", "device", "batch_size"]
    order = board.groupby("optimizer")["rank"].mean().astype(float).sort_values(kind="stable").index
    drawn = board.pivot(index="optimizer", columns=columns, values="test_metric").reindex(order).sort_index(axis=1)
    higher = bool(cells["metric_higher_is_better"].dropna().all())
    metric = str(cells["metric_name"].dropna().iloc[0]) if cells["metric_name"].notna().any() else "metric"
    several = [name for name in ("device", "schedule") if cells[name].nunique() > 1]
    headings = [_heading(key, several) for key in drawn.columns]
    lines = [line for heading in headings for line in heading.split("\n")]
    column = max(1.1, 0.085 * max(map(len, lines), default=0) + 0.1)
    figure, (ax,) = style.sheet(
        problem,
        f"test {metric}: median over seeds, {style.describe_tuning(cells['trials'] > 0)}, {style.scope(cells)}; "
        "darker is better",
        1,
        size=(max(5.2, column * drawn.shape[1]), 0.36 * max(len(drawn), 1)),
        labels=drawn.index,
        below=max((heading.count("\n") for heading in headings), default=0),
    )
    norm = _norm(drawn.to_numpy(dtype=float), higher)
    if norm is not None:
        sns.heatmap(
            drawn, ax=ax, cbar=False, cmap="crest" if higher else "crest_r", norm=norm, linewidths=1.5,
            linecolor=style.PAPER, annot=_texts(drawn, board), fmt="", annot_kws={"size": 8.5},
        )  # fmt: skip
    _failures(ax, drawn, board)
    ax.set(xlabel="", ylabel="", xlim=(0, drawn.shape[1]), ylim=(len(drawn), 0))
    ax.set_xticks(np.arange(drawn.shape[1]) + 0.5, headings, rotation=0)
    ax.set_yticks(np.arange(len(drawn)) + 0.5, drawn.index, rotation=0)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return figure, drawn


def _heading(key: Any, several: list[str]) -> str:
    schedule, device, size = key
    named = {"device": device, "schedule": schedule}
    return "\n".join([f"batch {size}", *(style.wrap_label(named[name], 14) for name in several)])


def _norm(values: np.ndarray, higher: bool) -> Normalize | None:
    """The colour scale from worst to best, or None without values. Bad outliers (beyond 1.5 interquartile ranges, as in
    a box plot) do not stretch it, so that differences between the others stay visible.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    logarithmic = not higher and bool((values > 0).all())
    scaled = np.log(values) if logarithmic else values
    first, third = np.percentile(scaled, [25, 75])
    reach = 1.5 * (third - first)
    low, high = max(scaled.min(), first - reach), min(scaled.max(), third + reach)
    low, high = (low, scaled.max()) if higher else (scaled.min(), high)
    if high - low < 1e-12:
        low, high = low - 1e-6 * (abs(low) or 1.0), high + 1e-6 * (abs(high) or 1.0)
    return LogNorm(math.exp(low), math.exp(high), clip=True) if logarithmic else Normalize(low, high, clip=True)


def _texts(drawn: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """The medians as text, with the number of failed seeds if there are any."""
    texts = drawn.map(format_number)
    for row in board[board["n_ok"] < board["n_runs"]].to_dict("records"):
        key = row["optimizer"], (row["schedule"], row["device"], row["batch_size"])
        texts.loc[key] += f"\n{row['n_runs'] - row['n_ok']} of {row['n_runs']} seeds failed"
    return texts


def _failures(ax: Axes, drawn: pd.DataFrame, board: pd.DataFrame) -> None:
    """Writes the reason into cells without a median, and hatches those that failed."""
    columns: dict[Any, int] = {key: index for index, key in enumerate(drawn.columns)}
    lines = {name: index for index, name in enumerate(drawn.index)}
    for row in board[board["test_metric"].isna()].to_dict("records"):
        x, y = columns[row["schedule"], row["device"], row["batch_size"]], lines[row["optimizer"]]
        lost = row["n_runs"] - row["n_ok"]
        cause = f"{lost} of {row['n_runs']} seeds failed" if lost else "not run"
        if row["status"] != "ok":
            cause = row["status"]
        if lost or row["status"] in FAILURES:
            ax.add_patch(Rectangle((x + 0.01, y + 0.03), 0.98, 0.94, facecolor="none", hatch="////", linewidth=0))
        ax.text(x + 0.5, y + 0.5, cause, ha="center", va="center", size=8.5, color=style.INK)
