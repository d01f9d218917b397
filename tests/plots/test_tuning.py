"""Plots of tuning: best of k, transfer of rates, batch scaling."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.batch_scaling import batch_scaling as scaling_of
from optbench.metrics.best_of_k import best_of_k as best_of
from optbench.metrics.lr_transfer import lr_transfer as transfer_of
from optbench.metrics.target_summary import target_summary
from optbench.plots import style
from optbench.plots.batch_scaling import batch_scaling
from optbench.plots.best_of_k import best_of_k
from optbench.plots.lr_transfer import lr_transfer
from tests.support.frames import PROBLEMS, VALLEY, make
from tests.support.profiled import MISS, times_of
from tests.support.rows import cell_of, frame, run_of, trial_of


def test_best_of_k_draws_the_running_best_from_the_first_finite_trial() -> None:
    cells = [cell_of("adam"), cell_of("sgd")]
    trials = [trial_of(cells[0], i, 0.1, loss) for i, loss in enumerate([math.nan, 0.5, 0.7, 0.2])]
    trials += [trial_of(cells[1], 0, 0.1)]
    table = best_of(frame(trials, "trials"), frame(cells, "cells"))
    figure, drawn = best_of_k(table, frame(trials, "trials"), frame(cells, "cells"), "p")
    (line,) = figure.axes[0].lines
    assert line.get_ydata().tolist() == [0.5, 0.5, 0.2]
    assert line.get_xdata().tolist() == pytest.approx([1.3, 2.3, 3.3])
    assert len(drawn) == 3
    lost = frame(trials[4:], "trials")
    with pytest.raises(style.NothingToDraw, match="no trial"):
        best_of_k(best_of(lost, frame(cells, "cells")), lost, frame(cells, "cells"), "p")


def test_best_of_k_says_that_races_are_not_drawn() -> None:
    """A race of few points may have stopped none."""
    cells = frame([cell_of("adam", problem="p"), cell_of("sgd", problem="q")], "cells")
    rows = [trial_of(cell_of("adam"), 0, 0.1, 0.3), trial_of(cell_of("sgd", problem="q"), 0, 0.1, 0.3),
            trial_of(cell_of("sgd", problem="q"), 1, 0.2, 0.4, status="stopped")]  # fmt: skip
    trials = frame(rows, "trials")
    table = best_of(trials, cells)
    assert table.empty
    for problem in ("p", "q"):
        with pytest.raises(style.NothingToDraw, match=r"^trials of a race are compared before their end$"):
            best_of_k(table, trials, cells, problem)


def test_best_of_k_draws_medians_of_random_search() -> None:
    cell = cell_of(sampler="random")
    trials = [trial_of(cell, i, 0.1, loss) for i, loss in enumerate([9.0, math.nan, 0.5, 0.7, 0.2])]
    table = best_of(frame(trials, "trials"), frame([cell], "cells"))
    figure, drawn = best_of_k(table, frame(trials, "trials"), frame([cell], "cells"), "p")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), table["median_best"])
    assert drawn["best"].isna().any(), "the mean has no value for small k"


def test_transfer_marks_each_pair_and_counts_what_is_not_known() -> None:
    frames = make()
    table = transfer_of(frames.trials, frames.cells)
    figure, drawn = lr_transfer(table, frames.cells)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["to another batch size", "to another problem"]
    for ax, across in zip(figure.axes, ("batch_size", "problem"), strict=True):
        own = table[table["across"] == across]
        marks = sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() not in "|x")
        assert marks == own["regret"].notna().sum()
        counted = sum(int(text.get_text().split(" of ")[0]) for text in ax.texts)
        assert counted == (own["outcome"] == "not tried").sum()
    assert drawn is table
    with pytest.raises(style.NothingToDraw, match="two problems"):
        lr_transfer(table.iloc[:0], frames.cells)


def test_the_median_of_transfers_counts_those_that_diverge() -> None:
    """Of two pairs one has no regret and one diverges: the median stands with the crosses, not at 0."""
    cells = [cell_of("adam", batch_size=10, lr_tuned=0.1), cell_of("adam", batch_size=20, lr_tuned=0.01)]
    trials = [trial_of(cells[0], index, rate, loss) for index, (rate, loss) in enumerate([(0.01, 0.5), (0.1, 0.5)])]
    trials += [trial_of(cells[1], index, rate, loss)
               for index, (rate, loss) in enumerate([(0.01, 0.5), (0.05, math.nan), (0.5, math.nan)])]  # fmt: skip
    table = transfer_of(frame(trials, "trials"), frame(cells, "cells"))
    assert sorted(table["outcome"]) == ["diverges", "measured"]
    figure, _ = lr_transfer(table, frame(cells, "cells"))
    [median] = [line for line in figure.axes[0].lines if line.get_marker() == "|"]
    [cross] = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert median.get_xdata()[0] == cross.get_xdata()[0]


def test_batch_scaling_draws_costs_and_crosses_for_misses() -> None:
    cells = [cell_of("adam", batch_size=size, lr_tuned=size / 100) for size in (10, 20, 40)]
    runs = frame([run_of(cell, seed) for cell in cells for seed in range(2)], "runs")
    frames = []
    for cell, costs in zip(cells, ([50.0, 50.0], [60.0, 60.0], [MISS, MISS]), strict=True):
        frames.append(times_of({("adam", "p", "easy"): costs}).assign(batch_size=cell["batch_size"],
                                                                       cell_id=cell["cell_id"]))  # fmt: skip
    table = scaling_of(target_summary(pd.concat(frames), runs, frame(cells, "cells")), frame(cells, "cells"))
    drawn = batch_scaling(table, frame(cells, "cells"), "p")
    assert drawn is not None
    cost, rate = drawn[0].axes
    assert cost.get_title(loc="left") == "cost to easy (0.5)"
    np.testing.assert_array_equal(cost.lines[0].get_ydata(), [50.0, 60.0, math.nan])
    assert len(cost.lines[1].get_xdata()) == 1
    assert rate.lines[0].get_ydata().tolist() == [0.1, 0.2, 0.4]
    with pytest.raises(style.NothingToDraw, match="half of the seeds"):
        batch_scaling(table.assign(cost=math.nan), frame(cells, "cells"), "p")
    assert batch_scaling(table, frame(cells[:1], "cells"), "p") is None


def test_losses_that_are_not_all_positive_have_a_linear_axis() -> None:
    frames = make(optimizers=["adam"], problems=[VALLEY, PROBLEMS[1]])
    trials = frames.trials.assign(valid_loss=frames.trials["valid_loss"] - 5)
    figure, _ = best_of_k(best_of(trials, frames.cells), trials, frames.cells, VALLEY)
    assert figure.axes[0].get_yscale() == "linear"
