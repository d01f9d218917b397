"""Seeds as marks, medians, and intervals only where there are enough seeds for one."""

from __future__ import annotations

import numpy as np
import pytest

from optbench.metrics import final as metrics
from optbench.plots import style
from optbench.plots.final import final_loss, final_metric
from tests.support.frames import DIVERGED, PROBLEMS, VALLEY, Frames, make


@pytest.fixture(scope="module")
def frames() -> Frames:
    return make()


def test_every_seed_is_a_mark_and_failures_are_counted(frames: Frames) -> None:
    table = metrics.final_metric(frames.runs, frames.curves, frames.cells)
    figure, drawn = final_metric(table, frames.runs, frames.cells, VALLEY)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["batch 32", "batch 128"]
    for ax, size in zip(figure.axes, (32, 128), strict=True):
        names = [label.get_text() for label in ax.get_yticklabels()]
        for line, name in enumerate(names):
            place = {"problem": VALLEY, "batch_size": size, "optimizer": name, "tuned": True}
            runs = style.select_rows(frames.runs, place)
            expected = sorted(runs.loc[runs["status"] == "ok", "test_metric"])
            marks = [x for mark in ax.lines if mark.get_marker() not in "|"
                     for x, y in zip(mark.get_xdata(), mark.get_ydata(), strict=True) if y == line]  # fmt: skip
            assert sorted(marks) == pytest.approx(expected)
            median = [mark.get_xdata()[0] for mark in ax.lines
                      if mark.get_marker() == "|" and mark.get_ydata()[0] == line]  # fmt: skip
            row = style.select_rows(drawn, place).iloc[0]
            np.testing.assert_array_equal(median, [row["median"]])
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert texts == ["1 of 3 failed"] * sum(problem == VALLEY for problem, *_ in DIVERGED)
    assert drawn["tuned"].all()


def test_best_first(frames: Frames) -> None:
    table = metrics.final_loss(frames.runs, frames.curves, frames.cells)
    figure, drawn = final_loss(table, frames.runs, frames.cells, PROBLEMS[2])
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ranks = drawn.groupby("batch_size")["median"].rank(na_option="bottom").groupby(drawn["optimizer"]).mean()
    assert [ranks[name] for name in names] == sorted(ranks)
    assert figure.axes[0].get_xscale() == "log"


@pytest.mark.parametrize(("seeds", "drawn"), [(9, 0), (10, 2)])
def test_intervals_from_ten_seeds_on(seeds: int, drawn: int) -> None:
    frames = make(optimizers=["adam", "sgd"], problems=[PROBLEMS[1]], batch_sizes=[32], seeds=seeds)
    table = metrics.final_metric(frames.runs, frames.curves, frames.cells)
    figure, own = final_metric(table, frames.runs, frames.cells, PROBLEMS[1])
    bars = [line.get_xdata() for line in figure.axes[0].lines if line.get_linewidth() == 10]
    assert len(bars) == drawn
    for bar in bars:
        assert bar in own[["mean_low", "mean_high"]].to_numpy()


def test_without_runs_it_says_so(frames: Frames) -> None:
    table = metrics.final_metric(frames.runs.iloc[:0], frames.curves, frames.cells)
    with pytest.raises(style.NothingToDraw, match="no run"):
        final_metric(table, frames.runs.iloc[:0], frames.cells, VALLEY)
    # Default runs alone are none of the runs that are compared.
    default = frames.runs[~frames.runs["tuned"]]
    table = metrics.final_metric(default, frames.curves, frames.cells)
    with pytest.raises(style.NothingToDraw, match="no run"):
        final_metric(table, default, frames.cells, VALLEY)
