"""The plots that results get, by the names of their files, and how to read each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.plots.batch_size_heatmap import batch_size_heatmap
from optbench.plots.loss_against_cost import loss_against_cost
from optbench.plots.lr_sensitivity import lr_sensitivity
from optbench.plots.trajectories import trajectories
from optbench.problem import Plane

Drawn = tuple[Figure, pd.DataFrame]
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Plot:
    """How a plot is drawn: from the results (what `optbench.load` gives), all tables by name, and the
    label of a problem (empty unless `each_problem`), to the figure and the frame that it draws.

    Where a plot has no meaning (the plane of a network) it gives None and is left out; where it would
    have one but the results don't suffice, it raises `style.NothingToDraw` with the reason, which
    takes the figure's place.
    """

    draw: Callable[[Any, Tables, str], Drawn | None]
    caption: str
    each_problem: bool = True


def _trajectories(results: Any, tables: Tables, problem: str) -> Drawn | None:
    ground = results.planes.get(problem)
    if not ground:
        return None
    across, up = (tuple(side) for side in ground["domain"])
    plane = Plane(tuple(ground["start"]), tuple(ground["minimum"]), (across, up))
    x, y, value = (np.asarray(ground[name], dtype=float) for name in ("x", "y", "value"))
    return trajectories(results.trajectories, results.cells, problem, plane, x, y, value)


#: In the order of the page: first what is about all problems, then problem by problem.
PLOTS: dict[str, Plot] = {
    "loss_against_cost": Plot(
        lambda results, tables, problem: loss_against_cost(results.curves, results.cells, problem),
        "Lower and further left is better: less loss for the same compute. One example gradient is "
        "a forward and a backward pass on one example. A thick line is the median over seeds, thin lines are the "
        "seeds; a cross is where a run failed, and a median ends where half of the seeds have.",
    ),
    "lr_sensitivity": Plot(
        lambda results, tables, problem: lr_sensitivity(results.trials, results.runs, results.cells, problem),
        "Each mark is one trial of the tuning. A wide flat optimum means that the learning rate hardly "
        "matters, a narrow one that tuning is needed; the distance of the ring (the default rate) to the best mark is "
        "what tuning gains. An optimum beside the shaded area may lie outside of the declared range.",
    ),
    "batch_size_heatmap": Plot(
        lambda results, tables, problem: batch_size_heatmap(tables["leaderboard"], results.cells, problem),
        "Read along a row for how an optimizer takes to larger batches at the same compute, down a "
        "column for who is best there. Rows are ordered by mean rank. Hatched cells failed.",
    ),
    "trajectories": Plot(
        _trajectories,
        "Left all paths, right each by itself, from the open circle to where the run ended (the mark); "
        "the star is the minimum. Zigzags across the valley tell of a large learning rate, their scatter near the "
        "minimum of the batch's gradient noise.",
    ),
}
