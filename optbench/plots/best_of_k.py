"""The best validation loss found by a tuning budget, against the cost of the trials."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from optbench.metrics.tuning_budget import list_races
from optbench.plots import style

_WORDS = {
    "expected": "best of k random trials, median over subsets of the trials",
    "running": "best trial so far, in one tuning",
    "any": "best trial so far (median if there are several tunings)",
    "repeated": "best trial so far, median over repeated tunings with 95 % interval",
}


@mpl.rc_context(style.RC)
def best_of_k(
    table: pd.DataFrame, trials: pd.DataFrame, cells: pd.DataFrame, problem: str
) -> tuple[Figure, pd.DataFrame]:
    """Draws one panel per batch size, device and schedule, with one line per optimizer from its first finite trial on.

    `table` is the frame of `metrics.best_of_k`. If it has a median (random search, repeated studies), the median is
    drawn with its interval as a band; the mean is undefined once a trial diverges. Otherwise the running best of the
    study is drawn. Returns the figure and the rows that it draws. Raises NothingToDraw if no trial ended finite, or if
    `trials` are those of races.
    """
    looks = style.looks(cells["optimizer"])
    cells = cells[cells["problem"] == problem]
    own = table[table["problem"] == problem]
    drawn = own.assign(drawn=own["best"].where(own["method"] == "running", own["median_best"]).astype(float))
    drawn = drawn.dropna(subset=["drawn"]).reset_index(drop=True)
    if drawn.empty and not list_races(trials, cells).isdisjoint(cells["cell_id"]):
        raise style.NothingToDraw("trials of a race are compared before their end")
    if drawn.empty:
        raise style.NothingToDraw("no trial has ended with a finite loss")
    panels = style.parts(cells)
    methods = set(drawn["method"])
    random = methods == {"expected"}
    figure, axes = style.sheet(
        problem,
        f"{_WORDS[methods.pop()] if len(methods) == 1 else _WORDS['any']}: validation loss, {style.scope(cells)}",
        len(panels),
        [style.key(looks[name], name) for name in sorted(cells["optimizer"].unique())],
        titles=[title for title, _ in panels],
    )
    scale = "log" if (drawn["drawn"] > 0).all() else "linear"
    for ax, (_, place) in zip(axes, panels, strict=True):
        ax.set(xlabel="tuning cost (run budgets)", yscale=scale)
        for name, line in style.select_rows(drawn, place).groupby("optimizer"):
            look = looks[str(name)]
            step = "default" if random else "steps-post"
            ax.plot(line["run_budgets"], line["drawn"], color=look.color, linestyle=look.dash, linewidth=1.6,
                    drawstyle=step, marker=look.marker, markersize=4.5)  # fmt: skip
            known = line.dropna(subset=["best_low", "best_high"])
            ax.fill_between(known["run_budgets"], known["best_low"].astype(float), known["best_high"].astype(float),
                            step="post", color=look.color, alpha=0.2, linewidth=0)  # fmt: skip
        ax.set_xlim(left=0)
    limits = [limit for ax in axes for limit in ax.get_ylim()]
    for ax in axes:
        ax.set_ylim(min(limits), max(limits))
        if scale == "log":
            style.plain_ticks(ax.yaxis, *ax.get_ylim())
    axes[0].set_ylabel("best validation loss")
    return figure, drawn
