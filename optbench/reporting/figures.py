"""The figures of the page: the title of each, how to read it, and the static plot that replaces it without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup


@dataclass(frozen=True)
class Figure:
    """A figure that a script draws.

    `reading` explains how to read it. `plot` is the static plot that replaces it without scripts: one plot for all
    problems, or with `each_problem` one for each of them.
    """

    title: str
    reading: str
    plot: str = ""
    each_problem: bool = False


@dataclass(frozen=True)
class Slot:
    """A figure as the template places it, with the static plots that replace it without scripts."""

    name: str
    title: str
    reading: str
    static: list[tuple[str, Markup]]

    @classmethod
    def of(
        cls, name: str, figure: Figure, drawn: Mapping[tuple[str, str], Markup], cells: pd.DataFrame
    ) -> Slot:  # fmt: skip
        places = cells["problem"].unique() if figure.each_problem else [""]
        static = [(str(place), drawn[place, figure.plot]) for place in places if (place, figure.plot) in drawn]
        if name.startswith("scaling_"):
            sizes = cells.groupby("problem", observed=True)["batch_size"].nunique()
            single = Markup("<p>There is only one batch size.</p>")
            static = [(place, drawing if sizes[place] > 1 else single) for place, drawing in static]
            static = static or ([("", single)] if (sizes < 2).all() else [])
        return cls(name, figure.title, figure.reading, static)


FIGURES = {
    "profile": Figure(
        "Performance profile",
        "At 1×, the line shows on how many targets an optimizer is the fastest; further right, on how many it is "
        "within that factor of the fastest. Higher is better. The area under the line is the score of the AlgoPerf "
        "benchmark for training algorithms (Dahl et al. 2023).",
        "performance_profile",
    ),
    "scores": Figure(
        "Scores with their intervals",
        "The score is the mean of the middle half of all runs’ scores: 0 is an untrained network, 1 is the problem’s "
        "target. Bars are 95 % intervals over the seeds of these problems; no bar means no interval (too few seeds; "
        "see aggregate.csv). Optimizers whose intervals overlap may still differ on paired seeds.",
        "aggregate",
    ),
    "curves": Figure(
        "Validation during training",
        "For a loss, lower and further left is better. Thick lines are medians over seeds, thin lines are single "
        "seeds. The band covers all seeds, or their quartiles if there are ten or more. A cross marks a seed that "
        "failed; the median ends where half of the seeds have failed.",
        "loss_against_cost",
        each_problem=True,
    ),
    "ends": Figure(
        "Test results of each seed",
        "Each mark is one seed; the vertical line is the median, in which a failed seed counts as worst. If the marks "
        "of two optimizers overlap, the figure does not show which one is better.",
        "final_metric",
        each_problem=True,
    ),
    "paths": Figure(
        "Paths of the optimizers",
        "Move the slider to follow the first seed of each optimizer step by step from the open circle. The star is the "
        "minimum. Zigzags across the valley indicate a large learning rate.",
        "trajectories",
        each_problem=True,
    ),
    "rates": Figure(
        "Sensitivity to the learning rate",
        "Each mark is a tuning trial. A wide, flat optimum means that the rate hardly matters. The ring is the default "
        "rate, the large outlined mark is the chosen rate, and crosses at the top are trials that diverged.",
        "lr_sensitivity",
        each_problem=True,
    ),
    "gain": Figure(
        "Tuned and default learning rate",
        "The line from the open circle (default rate) to the filled mark (tuned rate) shows what tuning gained on "
        "the fresh seeds that have both runs. The thin line is the range of the tuned runs on these seeds.",
    ),
    "budget": Figure(
        "Best loss by tuning budget",
        "Each line is the best validation loss found so far, against the compute spent on tuning. An optimizer whose "
        "line is low from the start needs no tuning; one whose line still falls at the end would benefit from more.",
        "best_of_k",
        each_problem=True,
    ),
    "coordinates": Figure(
        "Trials in all tuned hyperparameters",
        "Each line is a tuning trial of one optimizer; it crosses each axis at the value that the trial had. Axes have "
        "the scale of the search. Blue lines are the best trials by validation loss, orange ones the worst; the thick "
        "line has the chosen values. Dotted lines were stopped early, and rank after all others, or failed. A "
        "hyperparameter matters if the blue lines cross its axis in one place. “None” is a trial without a value of "
        "it, or with one outside of the axis. Drag along an axis, or use the menu, to keep only the trials of a part "
        "of it; a double click keeps all.",
    ),
    "scaling_loss": Figure(
        "Test loss",
        "All batch sizes are compared at equal compute. A rising line means that larger batches are worse.",
        "batch_size_heatmap", True,
    ),
    "scaling_cost": Figure(
        "Cost to target",
        "A flat line is perfect scaling: larger batches need proportionally fewer steps. If the cost doubles with the "
        "batch size, larger batches save no steps.",
        "batch_scaling", True,
    ),
    "scaling_seconds": Figure(
        "Time to target",
        "This is the training time until the target on this machine. It combines cost and speed per step.",
    ),
    "scaling_step": Figure(
        "Time per step",
        "Times are measured while nothing else of the run is active. Bars are the range of the repetitions.",
    ),
    "scaling_memory": Figure("Memory", "Peak memory of a step plus the state that the optimizer keeps."),
    "stability": Figure(
        "Stability of the ranking",
        "The left end is the ranking as reported; each point to its right is the ranking after one change of target, "
        "budget, seeds or problems. Lines that cross show conclusions that depend on that choice. Higher is better.",
        "rank_stability",
    ),
}  # fmt: skip

#: Static plots about all problems that each section offers in addition.
MORE = {
    "answer": ["recommendation", "verdicts"],
    "profile": ["data_profile", "pairwise_profile"],
    "pairs": ["critical_difference"],
    "rates": ["importance", "weight_decay_map", "lr_transfer"],
    "ladders": ["scaling"],
}

#: The plots that the page contains.
SHOWN = {figure.plot for figure in FIGURES.values() if figure.plot} | {
    plot for plots in MORE.values() for plot in plots
}
