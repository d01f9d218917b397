"""The plots of a results directory, by the names of their files, and how to read each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from optbench.metrics.target_summary import select_times
from optbench.plots.aggregate import aggregate
from optbench.plots.audit import audit
from optbench.plots.batch_scaling import batch_scaling
from optbench.plots.batch_size_heatmap import batch_size_heatmap
from optbench.plots.best_of_k import best_of_k
from optbench.plots.critical_difference import critical_difference
from optbench.plots.data_profile import data_profile
from optbench.plots.failures import failures
from optbench.plots.final import final_loss, final_metric
from optbench.plots.importance import importance
from optbench.plots.loss_against_cost import loss_against_cost
from optbench.plots.lr_sensitivity import lr_sensitivity
from optbench.plots.lr_transfer import lr_transfer
from optbench.plots.pairwise_profile import pairwise_profile
from optbench.plots.performance_profile import performance_profile
from optbench.plots.probability_of_improvement import probability_of_improvement
from optbench.plots.rank_stability import rank_stability
from optbench.plots.recommendation import recommendation
from optbench.plots.scaling import scaling
from optbench.plots.time_to_target import time_to_target
from optbench.plots.trajectories import trajectories
from optbench.plots.verdicts import verdicts
from optbench.plots.weight_decay_map import weight_decay_map
from optbench.problem.data import Plane
from optbench.results.stored import StoredResults

Drawn = tuple[Figure, pd.DataFrame]
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Plot:
    """A plot: the function that draws it, its caption, and whether there is one for each problem.

    `draw` takes the results (from `optbench.load`), all tables by name, and the label of a problem (empty unless
    `each_problem`). It returns the figure and the frame of the values that it shows. It returns None if the plot does
    not apply, as the plane of a network, and raises `style.NothingToDraw` with the reason if the results do not
    suffice; the reason then replaces the figure.
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


def _times(results: StoredResults, tables: Tables) -> pd.DataFrame:
    return select_times(tables["time_to_target"], results.runs, results.cells)


#: In the order of the page: first the plots about all problems, then those of each problem.
PLOTS: dict[str, Plot] = {
    "verdicts": Plot(
        lambda results, tables, problem: verdicts(tables["verdicts"], results.cells),
        "Each optimizer against the reference, on the seeds that both were run on. Wins and losses come from an exact "
        "test, with a probability of error of at most 5 % per task. A tie means that no difference is "
        "shown and a test shows it to be below the margin; a small win or loss is shown, and below the margin. An "
        "inconclusive field shows the number of further seeds that would probably decide; for a question mark, see the "
        "table for the reason.",
        each_problem=False,
    ),
    "recommendation": Plot(
        lambda results, tables, problem: recommendation(tables["recommendation"], results.cells),
        "The loss that an optimizer reaches within a tuning budget, divided by the lowest loss that any optimizer "
        "reached; geometric mean over problems. Losses are medians over fresh seeds where final runs have the "
        "hyperparameters of that budget, otherwise those of single trials (column rests_on of recommendation.csv). 1 "
        "is the best loss found, 2 is twice that loss. Bars are intervals over problems; a single problem has none. "
        "With few problems they are wide, because results may differ on another problem.",
        each_problem=False,
    ),
    "aggregate": Plot(
        lambda results, tables, problem: aggregate(tables["aggregate"], results.cells),
        "The mean of the middle half of all scores. The score of a run is its progress from an untrained network (0) "
        "to the problem's target (1), on a logarithmic scale for losses; a failed run scores 0. Bars are 95 % "
        "intervals over the seeds of these problems; no bar means no interval (too few seeds; see aggregate.csv). "
        "Optimizers whose intervals overlap may still differ on paired seeds.",
        each_problem=False,
    ),
    "probability_of_improvement": Plot(
        lambda results, tables, problem: probability_of_improvement(tables["probability_of_improvement"]),
        "The percentage of seeds on which the row was better than the column, on the same seed of the same task. "
        "Blue is above 50, red below. A number in brackets may be due to chance: its 95 % interval contains 50.",
        each_problem=False,
    ),
    "critical_difference": Plot(
        lambda results, tables, problem: critical_difference(tables["critical_difference"], results.cells),
        "Further left is better. Optimizers under the same bar do not differ significantly over these problems. The "
        "sample of the test is the problems, not the runs.",
        each_problem=False,
    ),
    "rank_stability": Plot(
        lambda results, tables, problem: rank_stability(tables["rank_stability"], results.cells),
        "The left end of a panel is the ranking as reported; each point to its right is the ranking after one change "
        "of target, seeds or problems. For budgets, the right end is the whole budget. Lines that cross show "
        "conclusions that depend on that choice. Higher is better.",
        each_problem=False,
    ),
    "audit": Plot(
        lambda results, tables, problem: audit(tables["audit"], results.cells),
        "An optimizer is only worse if its tuning was sufficient. Each field names what the audit found in a cell; an "
        "empty field has no finding. The table gives the reason for each finding.",
        each_problem=False,
    ),
    "performance_profile": Plot(
        lambda results, tables, problem: performance_profile(
            tables["performance_profile"], _times(results, tables), results.cells
        ),
        "The share of targets on which an optimizer is within a factor of the fastest one: at 1× it is the fastest, "
        "at the right it is within four times the cost of the fastest. The number is the area under the curve, "
        "from 0 to 1, with its 95 % interval over seeds; it is the score of the AlgoPerf benchmark (Dahl et al. 2023). "
        "The shaded band is the interval of the curve. Other optimizers are grey. "
        "Which optimizer is the fastest depends on the others in the comparison; the "
        "pairwise profiles below do not.",
        each_problem=False,
    ),
    "pairwise_profile": Plot(
        lambda results, tables, problem: pairwise_profile(tables["pairwise_profile"], results.cells),
        "Each field compares the row with the column alone. Blue means that the row reaches targets at lower cost. A "
        "difference in brackets may be due to chance. If two optimizers are in a different order here than in the "
        "profiles above, their order there depends on a third optimizer.",
        each_problem=False,
    ),
    "data_profile": Plot(
        lambda results, tables, problem: data_profile(_times(results, tables), results.cells),
        "The share of all targets and seeds that an optimizer reaches within a share of the run budget. It does not "
        "depend on the other optimizers. If two lines cross, one optimizer is better with a small budget and the "
        "other with a large one.",
        each_problem=False,
    ),
    "lr_transfer": Plot(
        lambda results, tables, problem: lr_transfer(tables["lr_transfer"], results.cells),
        "The loss in quality if an optimizer uses the learning rate that was tuned at another batch size or on another "
        "problem. Close to 0, the rate carries over; further right, it must be tuned again. Pairs whose rate lies "
        "outside the rates that were tried give no result and are only counted.",
        each_problem=False,
    ),
    "importance": Plot(
        lambda results, tables, problem: importance(tables["importance"], results.trials, results.cells),
        "Each mark is one tuning trial; each row is one cell. A hyperparameter matters if good trials are only found "
        "in a part of its range. The title has its share in deciding which trials are among the best quarter. With a "
        "few dozen trials, such shares are largely due to chance; the table has their number.",
        each_problem=False,
    ),
    "weight_decay_map": Plot(
        lambda results, tables, problem: weight_decay_map(results.trials, results.cells),
        "Each mark is one tuning trial at its learning rate and weight decay; each panel is one cell, with the ranges "
        "that it searched. If the blue marks lie on a diagonal, the two trade off, and neither can be tuned alone; in "
        "a row or a column, one of them hardly matters. Crosses failed.",
        each_problem=False,
    ),
    "scaling": Plot(
        lambda results, tables, problem: scaling(tables["scaling"], results.cells),
        "Above 1, the optimizer needs less compute than the reference for the same loss. A line that rises or falls "
        "to the right is a speed-up that grows or shrinks with the run budget or the size. A triangle is a bound: the "
        "loss is outside of what the reference reached with any run budget. Bars are 95 % intervals over seeds.",
        each_problem=False,
    ),
    "loss_against_cost": Plot(
        lambda results, tables, problem: loss_against_cost(results.curves, results.cells, problem),
        "Lower and further left is better: less loss for the same compute. One example gradient is a forward and a "
        "backward pass on one example. Thick lines are medians over seeds, thin lines are single seeds. A cross marks "
        "a run that failed; the median ends where half of the seeds have failed.",
    ),
    "lr_sensitivity": Plot(
        lambda results, tables, problem: lr_sensitivity(results.trials, results.runs, results.cells, problem),
        "Each mark is one tuning trial. A wide, flat optimum means that the learning rate hardly matters; a narrow "
        "one means that tuning is needed. The difference between the ring (the default rate) and the best mark is the "
        "gain from tuning. If the optimum is next to the shaded area, the true optimum may lie outside the declared "
        "range.",
    ),
    "final_metric": Plot(
        lambda results, tables, problem: final_metric(tables["final_metric"], results.runs, results.cells, problem),
        "Each mark is one seed. If the marks of two optimizers overlap, the figure does not show which one is better. "
        "Rows are ordered by the median (vertical dash), in which a failed seed counts as worst.",
    ),
    "final_loss": Plot(
        lambda results, tables, problem: final_loss(tables["final_loss"], results.runs, results.cells, problem),
        "The same for the test loss, which can differ between optimizers that have the same metric.",
    ),
    "time_to_target": Plot(
        lambda results, tables, problem: time_to_target(_times(results, tables), results.cells, problem),
        "Higher and further left is better: more seeds reach the target with less compute. A line rises each time a "
        "seed reaches the target; a diverged seed never does. Lines are moved slightly apart. Differences in cost "
        "smaller than the distance between two evaluations are not measured.",
    ),
    "best_of_k": Plot(
        lambda results, tables, problem: best_of_k(tables["best_of_k"], results.trials, results.cells, problem),
        "How much tuning an optimizer needs. A line that is low from the start needs none; a line that still falls at "
        "the end would benefit from more. With a sequential sampler, the line shows a single tuning and is partly due "
        "to chance, unless the tuning was repeated (--studies).",
    ),
    "batch_scaling": Plot(
        lambda results, tables, problem: batch_scaling(tables["batch_scaling"], results.cells, problem),
        "A flat line is perfect scaling: a batch twice as large needs half as many steps. If the cost doubles with the "
        "batch size, a larger batch saves no steps. A cross at the top is a batch size at which half of the seeds miss "
        "the target.",
    ),
    "batch_size_heatmap": Plot(
        lambda results, tables, problem: batch_size_heatmap(tables["leaderboard"], results.cells, problem),
        "A row shows how an optimizer performs with larger batches at the same compute; a column shows which optimizer "
        "is best at that batch size. Rows are ordered by mean rank. In hatched fields, seeds failed.",
    ),
    "failures": Plot(
        lambda results, tables, problem: failures(tables["failures"], results.curves, results.cells, problem),
        "A steep rise means that the learning rate was too large. A dotted line leads to the point at which the loss "
        "was no longer finite. The table lists every failure, including those without a curve.",
    ),
    "trajectories": Plot(
        _trajectories,
        "Left: all paths; right: each path alone, from the open circle to the end of the run (the mark). The star is "
        "the minimum. Zigzags across the valley indicate a large learning rate; scatter near the minimum indicates "
        "gradient noise.",
    ),
}
