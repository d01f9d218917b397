"""All plots of a results directory, drawn and written, with how to read each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.errors import one_line
from optbench.plots import style
from optbench.plots.batch_size_heatmap import batch_size_heatmap
from optbench.plots.loss_against_cost import loss_against_cost
from optbench.plots.lr_sensitivity import lr_sensitivity
from optbench.plots.trajectories import trajectories
from optbench.problem import Plane

_CAPTIONS = {
    "loss_against_cost": "Lower and further left is better: less loss for the same compute. One example gradient is "
    "a forward and a backward pass on one example. A thick line is the median over seeds, thin lines are the "
    "seeds; a cross is where a run failed, and a median ends where half of the seeds have.",
    "lr_sensitivity": "Each mark is one trial of the tuning. A wide flat optimum means that the learning rate hardly "
    "matters, a narrow one that tuning is needed; the distance of the ring (the default rate) to the best mark is "
    "what tuning gains. An optimum beside the shaded area may lie outside of the declared range.",
    "batch_size_heatmap": "Read along a row for how an optimizer takes to larger batches at the same compute, down a "
    "column for who is best there. Rows are ordered by mean rank. Hatched cells failed.",
    "trajectories": "Left all paths, right each by itself, from the open circle to where the run ended (the mark); "
    "the star is the minimum. Zigzags across the valley tell of a large learning rate, their scatter near the "
    "minimum of the batch's gradient noise.",
}


@dataclass(frozen=True)
class Picture:
    """A plot as it was written: the problem and plot it is of, its heading, how to read it, its SVG."""

    problem: str
    plot: str
    title: str
    caption: str
    svg: str


Drawn = tuple[Figure, pd.DataFrame]


def draw_all(results: Any, tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Picture]:
    """Draws and writes the plots of every problem of `results` (what `optbench.load` gives).

    `tables` has the leaderboard. Raises OSError where the disk does not take them.
    """
    pictures, stems = [], set()
    for problem in results.cells["problem"].unique():
        slug = re.sub(r"[^\w.=,-]+", "_", problem).strip("_")[:80]
        for plot, draw in _figures(results, tables["leaderboard"], problem):
            stem = f"{plot}-{slug}"
            while stem in stems:
                stem += "_"
            stems.add(stem)
            title = f"{plot.replace('_', ' ').replace('lr', 'learning rate')}: {problem}"
            try:
                svg, caption = style.save(draw()[0], folder, stem), _CAPTIONS[plot]
            except OSError:
                raise
            except Exception as error:
                # One figure that fails must not cost the tables, the other figures and the page.
                svg, caption = "", f"This figure could not be drawn ({one_line(error)})."
            pictures.append(Picture(problem, plot, title[0].upper() + title[1:], caption, svg))
    return pictures


def _figures(results: Any, board: pd.DataFrame, problem: str) -> Iterator[tuple[str, Callable[[], Drawn]]]:
    """The figures that a problem gets, each as a function that draws it."""
    cells = results.cells
    yield "loss_against_cost", lambda: loss_against_cost(results.curves, cells, problem)
    yield "lr_sensitivity", lambda: lr_sensitivity(results.trials, results.runs, cells, problem)
    yield "batch_size_heatmap", lambda: batch_size_heatmap(board, cells, problem)
    ground = results.planes.get(problem)
    if ground:
        across, up = (tuple(side) for side in ground["domain"])
        plane = Plane(tuple(ground["start"]), tuple(ground["minimum"]), (across, up))
        x, y, value = (np.asarray(ground[name], dtype=float) for name in ("x", "y", "value"))
        yield "trajectories", lambda: trajectories(results.trajectories, cells, problem, plane, x, y, value)
