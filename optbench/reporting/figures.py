"""The figures of the page: what each is called, how to read it, and what stands in its place without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup


@dataclass(frozen=True)
class Figure:
    """A figure that a script draws: its heading, a sentence on how to read it, and the plot that stands for it
    without scripts, of all problems together or (`each_problem`) of each one.
    """

    title: str
    reading: str
    plot: str = ""
    each_problem: bool = False


@dataclass(frozen=True)
class Slot:
    """A figure as the template places it: with what stands in its place."""

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
        return cls(name, figure.title, figure.reading, static)


FIGURES = {
    "profile": Figure(
        "Performance profile",
        "At 1× is how often an optimizer reaches a target at the least cost of all, further right how often it comes "
        "within that factor of the best. Higher is better; the area under the line is AlgoPerf’s score.",
        "performance_profile",
    ),
    "scores": Figure(
        "Scores with their intervals",
        "The middle half of all scores, averaged: 0 is an untrained network, 1 the problem’s target. Bars are 95 % "
        "intervals over seeds of these problems; two that overlap may still differ on paired seeds.",
        "aggregate",
    ),
    "curves": Figure(
        "Validation along the training",
        "Lower and further left is better for a loss. A thick line is the median over seeds, the band spans them "
        "(from ten seeds on their quartiles), thin lines are seeds; a cross is where one failed, and a median ends "
        "where half have.",
        "loss_against_cost",
        each_problem=True,
    ),
    "ends": Figure(
        "Where runs ended",
        "Each mark is a seed, the upright line the median, in which a failed seed counts as worst: where the marks of "
        "two optimizers overlap, nothing is decided.",
        "final_metric",
        each_problem=True,
    ),
    "paths": Figure(
        "Paths on the plane",
        "Move the slider to follow the first seed of each optimizer step by step from the open circle; the star is the "
        "minimum. Zigzags across the valley tell of a large learning rate.",
        "trajectories",
        each_problem=True,
    ),
    "rates": Figure(
        "Sensitivity to the learning rate",
        "Each mark is a trial of the tuning. A wide flat optimum means that the rate hardly matters; the ring is "
        "the default rate, the filled mark with an outline the chosen one, crosses at the top diverged.",
        "lr_sensitivity",
        each_problem=True,
    ),
    "gain": Figure(
        "Tuned against default",
        "From the open circle (default rate) to the filled mark (tuned): the length is what tuning gained on fresh "
        "seeds, the thin line the range of the tuned seeds.",
    ),
    "budget": Figure(
        "What a tuning budget buys",
        "The best validation loss so far against what tuning was charged. A line that is low from the start needs no "
        "tuning, one that still falls at the end would go on with more.",
        "best_of_k",
        each_problem=True,
    ),
    "scaling_loss": Figure(
        "Test loss", "At equal compute: a line that rises loses by larger batches.", "batch_size_heatmap", True
    ),
    "scaling_cost": Figure(
        "Cost to target", "A flat line is perfect scaling; where it has doubled, a larger batch no longer pays.",
        "batch_scaling", True,
    ),
    "scaling_seconds": Figure(
        "Time to target", "What larger batches win in time on this machine, cost and speed together."
    ),
    "scaling_step": Figure("Time of a step", "Measured with the machine to itself; bars span the repetitions."),
    "scaling_memory": Figure("Memory", "What a step allocates at most, and what the optimizer keeps."),
    "stability": Figure(
        "Stability of the ranking",
        "Lines that cross between the left end and a point right of it are conclusions that hang on a choice: the "
        "target, the budget, the seeds or the problems. Higher is better.",
        "rank_stability",
    ),
}  # fmt: skip

#: By section the plots about all problems that are shown as they are, as further reading.
MORE = {
    "answer": ["recommendation", "verdicts"],
    "profile": ["data_profile", "pairwise_profile"],
    "pairs": ["critical_difference"],
    "rates": ["lr_transfer"],
}
