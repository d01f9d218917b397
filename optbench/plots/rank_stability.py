"""The stability of the ranking: mean ranks with other targets, budgets, seeds and problems."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.plots import style

_TITLES = {
    "target": "by cost to target", "budget": "by validation loss at", "seed": "seeds", "problem": "problems",
}  # fmt: skip


@mpl.rc_context(style.RC)
def rank_stability(table: pd.DataFrame, cells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draws one panel per kind of variation, with its levels on the x axis and Kendall's τ above each level.

    The left end of each panel is the ranking as reported, except for budgets, where the right end is the whole budget.

    `table` is the frame of `metrics.rank_stability`. Returns the figure and the table. Raises NothingToDraw if there
    are fewer than two optimizers, or nothing can be varied.
    """
    base = table[table["variation"] == "none"]
    variations = [name for name in _TITLES if (table["variation"] == name).any()]
    if len(base) < 2 or not variations:
        reason = "a ranking needs at least two optimizers" if len(base) < 2 else str(base["note"].iloc[0])
        raise style.NothingToDraw(reason)
    looks = style.looks(cells["optimizer"])
    names = [str(name) for name in base.sort_values("mean_rank", kind="stable")["optimizer"]]
    most = max(table[table["variation"] == name]["level"].nunique() for name in variations)
    figure, axes = style.sheet(
        "Stability of the ranking",
        "mean rank as reported (left) and after one change; τ = 1: same order as reported (for budgets: as at 100 %)",
        len(variations),
        [style.key(looks[name], name) for name in names],
        size=(0.7 + min(0.8, 6 / most) * most, 0.24 * len(names) + 0.6),
        columns=2,
    )
    for ax, name in zip(axes, variations, strict=True):
        part = table[table["variation"] == name]
        levels = list(dict.fromkeys(part["level"]))
        first = [] if name == "budget" else [""]
        wide = pd.concat([base.assign(level=""), part]).pivot(index="level", columns="optimizer", values="mean_rank")
        wide = wide.reindex([*first, *levels])
        for optimizer in names:
            look = looks[optimizer]
            ax.plot(np.arange(len(wide)), wide[optimizer], color=look.color, linestyle=look.dash, marker=look.marker,
                    markersize=5, linewidth=1.2)  # fmt: skip
        ax.set_xticks(np.arange(len(wide)), [*(["reported"] * len(first)), *map(_label, levels)], size=7.5)
        ax.set(title=_TITLES[name], xlim=(-0.4, len(wide) - 0.6), ylim=(wide.max().max() + 0.5, wide.min().min() - 1.2))
        for place, value in enumerate(part.groupby("level", sort=False)["tau"].first(), start=len(first)):
            text = "" if np.isnan(value) else f"τ {value:.2f}"
            ax.text(place, 0.985, text, transform=ax.get_xaxis_transform(), ha="center", va="top", size=7.5)
        ax.tick_params(labelleft=True)
    axes[0].set_ylabel("mean rank")
    return figure, table


def _label(level: str) -> str:
    """A level in two short lines."""
    short = level.replace(" of the budget", "").partition("[")[0]
    return short.replace("without ", "without\n", 1)
