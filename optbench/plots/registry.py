"""The plots that results get, by the names of their files, and how to read each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.metrics.target_summary import compared_times
from optbench.plots.aggregate import aggregate
from optbench.plots.audit import audit
from optbench.plots.batch_scaling import batch_scaling
from optbench.plots.batch_size_heatmap import batch_size_heatmap
from optbench.plots.best_of_k import best_of_k
from optbench.plots.critical_difference import critical_difference
from optbench.plots.data_profile import data_profile
from optbench.plots.failures import failures
from optbench.plots.final import final_loss, final_metric
from optbench.plots.loss_against_cost import loss_against_cost
from optbench.plots.lr_sensitivity import lr_sensitivity
from optbench.plots.lr_transfer import lr_transfer
from optbench.plots.pairwise_profile import pairwise_profile
from optbench.plots.performance_profile import performance_profile
from optbench.plots.probability_of_improvement import probability_of_improvement
from optbench.plots.rank_stability import rank_stability
from optbench.plots.recommendation import recommendation
from optbench.plots.time_to_target import time_to_target
from optbench.plots.trajectories import trajectories
from optbench.plots.verdicts import verdicts
from optbench.problem.data import Plane
from optbench.results.stored import StoredResults

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

    draw: Callable[[StoredResults, Tables, str], Drawn | None]
    caption: str
    each_problem: bool = True


def _trajectories(results: StoredResults, tables: Tables, problem: str) -> Drawn | None:
    ground = results.planes.get(problem)
    if not ground:
        return None
    across, up = (tuple(side) for side in ground["domain"])
    plane = Plane(tuple(ground["start"]), tuple(ground["minimum"]), (across, up))
    x, y, value = (np.asarray(ground[name], dtype=float) for name in ("x", "y", "value"))
    return trajectories(results.trajectories, results.cells, problem, plane, x, y, value)


def _compared(results: StoredResults, tables: Tables) -> pd.DataFrame:
    return compared_times(tables["time_to_target"], results.runs, results.cells)


#: In the order of the page: first what is about all problems, then problem by problem.
PLOTS: dict[str, Plot] = {
    "verdicts": Plot(
        lambda results, tables, problem: verdicts(tables["verdicts"], results.cells),
        "Each optimizer against the reference, from the seeds that both have run. A win or loss is an exact test's, "
        "with at most 5 % chance of error in a column; a tie is shown to be closer than what matters. Where nothing "
        "can be concluded, it says how many more seeds are likely to decide (? where that can't be said: the table has "
        "the reason).",
        each_problem=False,
    ),
    "recommendation": Plot(
        lambda results, tables, problem: recommendation(tables["recommendation"], results.cells),
        "The lowest validation loss within a tuning budget, over the lowest that anybody found with all of it: 1 is "
        "the best there is, 2 twice its loss; the geometric mean over problems. Bars are intervals over problems: with "
        "three problems they are wide, for another problem may be another matter.",
        each_problem=False,
    ),
    "aggregate": Plot(
        lambda results, tables, problem: aggregate(tables["aggregate"], results.cells),
        "The middle half of all scores, averaged. A score is the part of the way from an untrained network to the "
        "problem's target, 1 being there, in logarithms for losses; a run that failed has none of it. A bar is "
        "the 95 % interval over seeds of these problems; two that overlap may still differ on paired seeds.",
        each_problem=False,
    ),
    "probability_of_improvement": Plot(
        lambda results, tables, problem: probability_of_improvement(tables["probability_of_improvement"]),
        "How often the row was better than the column on the same seed of the same problem. Blue above 50, red below. "
        "A number in brackets may be chance: its 95 % interval holds 50.",
        each_problem=False,
    ),
    "critical_difference": Plot(
        lambda results, tables, problem: critical_difference(tables["critical_difference"], results.cells),
        "Further left is better. Optimizers under one bar are not told apart over these problems; problems, not runs, "
        "are what is counted.",
        each_problem=False,
    ),
    "rank_stability": Plot(
        lambda results, tables, problem: rank_stability(tables["rank_stability"], results.cells),
        "Lines that cross between the left end of a panel and a point right of it are conclusions that hang on a "
        "choice: the target, the budget, the seeds or the problems. Higher is better.",
        each_problem=False,
    ),
    "audit": Plot(
        lambda results, tables, problem: audit(tables["audit"], results.cells),
        "Before an optimizer is called worse, its tuning has to be beyond doubt. A field names what the audit found, "
        "the table has each reason; an empty field is a cell without a finding.",
        each_problem=False,
    ),
    "performance_profile": Plot(
        lambda results, tables, problem: performance_profile(
            tables["performance_profile"], _compared(results, tables), results.cells
        ),
        "How often an optimizer is within a factor of the fastest: at 1× how often it is the fastest, at the right "
        "how often it comes within four times. The number is the area under the curve, AlgoPerf's score, from 0 to 1, "
        "with its 95 % interval (shaded: the curve's) over seeds; other optimizers in grey. Who is in the pool "
        "decides who is fastest: see the pairs below.",
        each_problem=False,
    ),
    "pairwise_profile": Plot(
        lambda results, tables, problem: pairwise_profile(tables["pairwise_profile"], results.cells),
        "Row against column, nobody else in the pool: blue is where the row reaches targets at less cost. A "
        "difference in brackets may be chance. Where the order of two is another one than in the profiles "
        "above, that order rests on a third optimizer.",
        each_problem=False,
    ),
    "data_profile": Plot(
        lambda results, tables, problem: data_profile(_compared(results, tables), results.cells),
        "Of all targets and seeds, the share reached by a share of the run budget, whoever else was run. A "
        "line that crosses another one is better at one budget and worse at another.",
        each_problem=False,
    ),
    "lr_transfer": Plot(
        lambda results, tables, problem: lr_transfer(tables["lr_transfer"], results.cells),
        "What is lost by using the learning rate that was tuned at another batch size or on another problem. Close to "
        "0 the rate carries over; to the right it must be tuned again. Pairs whose rate lies outside of what was "
        "tried there say nothing and are counted.",
        each_problem=False,
    ),
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
    "final_metric": Plot(
        lambda results, tables, problem: final_metric(tables["final_metric"], results.runs, results.cells, problem),
        "Each mark is a seed: where the marks of two optimizers overlap, nothing is decided. Rows are in order of the "
        "median (upright dash), in which a failed seed counts as worst.",
    ),
    "final_loss": Plot(
        lambda results, tables, problem: final_loss(tables["final_loss"], results.runs, results.cells, problem),
        "As above for the test loss, which also tells optimizers apart whose metric is the same.",
    ),
    "time_to_target": Plot(
        lambda results, tables, problem: time_to_target(_compared(results, tables), results.cells, problem),
        "Higher and further left is better: more seeds at the target for less compute. A line rises where a seed "
        "gets there and stays flat where no more do; a diverged seed never does. Lines are moved a little apart. Costs "
        "closer together than two evaluations are not told apart by these measurements.",
    ),
    "best_of_k": Plot(
        lambda results, tables, problem: best_of_k(tables["best_of_k"], results.cells, problem),
        "How much tuning an optimizer takes: a line that is low from the start needs none, one that still falls at the "
        "end would go on with more. From a sequential sampler this is one tuning, so part of it is luck, "
        "unless tunings were repeated (--studies).",
    ),
    "batch_scaling": Plot(
        lambda results, tables, problem: batch_scaling(tables["batch_scaling"], results.cells, problem),
        "A flat line is perfect scaling: a batch twice as large takes half of the steps. Where it has risen to "
        "twice its lowest, a larger batch no longer pays. A cross at the top is a batch size at which half of "
        "the seeds miss the target.",
    ),
    "batch_size_heatmap": Plot(
        lambda results, tables, problem: batch_size_heatmap(tables["leaderboard"], results.cells, problem),
        "Read along a row for how an optimizer takes to larger batches at the same compute, down a "
        "column for who is best there. Rows are ordered by mean rank. Hatched cells failed.",
    ),
    "failures": Plot(
        lambda results, tables, problem: failures(tables["failures"], results.curves, results.cells, problem),
        "A steep rise is a rate too large for this optimizer here; a dotted line leads to where the loss was no number "
        "any more. The table has every failure, those without a curve as well.",
    ),
    "trajectories": Plot(
        _trajectories,
        "Left all paths, right each by itself, from the open circle to where the run ended (the mark); "
        "the star is the minimum. Zigzags across the valley tell of a large learning rate, their scatter near the "
        "minimum of the batch's gradient noise.",
    ),
}
