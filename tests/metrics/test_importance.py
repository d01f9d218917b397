"""What hyperparameters were worth, on trials in which one of them decides."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.importance import importance, place
from optbench.optimizers.search_space import Choices, Range, make_condition, space_text
from optbench.plots.importance import importance as plot_of
from optbench.results.stored import STOPPED
from tests.support.rows import cell_of, frame, trial_of

SPACE = {
    "lr": Range(1e-3, 1e1),
    "momentum": Range(0.5, 0.996, log=False, complement=True),
    "kind": Choices(("a", "b")),
    "lr_warmup": Range(0.0, 0.2, log=False, when=make_condition({"kind": "a"})),
}
CELL = cell_of(search=space_text(SPACE))


def trials_of(number: int, decides: str = "momentum", status: str = "ok") -> pd.DataFrame:
    """Random trials whose loss depends on one hyperparameter alone; of every second one, the status is another."""
    random = np.random.default_rng(0)
    places = {name: random.uniform(size=number) for name in ("lr", "momentum", "kind")}
    losses = 0.1 + (places[decides] - 0.7) ** 2
    rows = [
        trial_of(CELL, i, SPACE["lr"].at(places["lr"][i]), loss, status=status if i % 2 else "ok")
        for i, loss in enumerate(losses)
    ]
    more = {f"hp_{name}": [SPACE[name].at(share) for share in places[name]] for name in ("momentum", "kind")}
    return frame(rows, "trials").assign(**more, hp_lr_warmup=math.nan)


@pytest.mark.parametrize("decides", ["momentum", "lr"])
def test_the_one_that_decides_is_the_most_important(decides: str) -> None:
    table = importance(trials_of(40, decides), frame([CELL], "cells")).set_index("hyperparameter")
    assert table.index.tolist() == ["lr", "momentum", "kind"], "the one with a condition is left out"
    assert table["importance"].idxmax() == decides
    assert table["importance"].max() > 0.6
    assert table["importance"].sum() == pytest.approx(1.0)
    assert table[["trials", "best_trials"]].to_numpy().tolist() == [[40, 10]] * 3


def test_the_order_of_trials_and_the_size_of_losses_do_not_matter() -> None:
    trials, cells = trials_of(40), frame([CELL], "cells")
    table = importance(trials, cells)
    stretched = trials.assign(valid_loss=np.exp(9 * trials["valid_loss"].astype(float)))
    for other in (trials.sample(frac=1, random_state=1), stretched):
        pd.testing.assert_frame_equal(importance(other, cells), table)


def test_stopped_trials_rank_after_all_that_ended() -> None:
    cells = frame([CELL], "cells")
    trials = trials_of(40, status=STOPPED)
    low = trials.assign(valid_loss=trials["valid_loss"].where(trials["status"] == "ok", 1e-9))
    same = importance(low.assign(cost=low["trial"]), cells)
    pd.testing.assert_frame_equal(same, importance(trials.assign(cost=trials["trial"]), cells))


def test_few_trials_and_single_hyperparameters_have_none() -> None:
    assert importance(trials_of(19), frame([CELL], "cells")).empty
    assert importance(trials_of(40), frame([CELL | {"search": space_text({"lr": SPACE["lr"]})}], "cells")).empty
    failed = trials_of(40, status="error")
    assert importance(failed, frame([CELL], "cells"))["trials"].tolist() == [20] * 3


def test_places() -> None:
    assert place(SPACE["lr"], 0.1) == pytest.approx(0.5)
    assert math.isnan(place(SPACE["lr"], 100.0))
    assert math.isnan(place(SPACE["lr"], math.nan))
    assert place(Choices(((0.9, 0.99), (0.8, 0.9))), "(0.8, 0.9)") == 0.75
    assert math.isnan(place(SPACE["kind"], "c"))


def test_the_figure_has_a_panel_for_each_and_marks_every_trial() -> None:
    trials, cells = trials_of(40, status=STOPPED), frame([CELL], "cells")
    drawn = plot_of(importance(trials, cells), trials, cells)
    assert drawn is not None
    figure, points = drawn
    assert figure.axes[1].get_title(loc="left").startswith("momentum: ")
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["0.5", "0.955", "0.996"]
    assert points.groupby("hyperparameter").size().to_dict() == {"lr": 40, "momentum": 40, "kind": 40}
    assert all(len(ax.lines[0].get_xdata()) == len(ax.lines[1].get_xdata()) == 20 for ax in figure.axes)
    assert plot_of(importance(trials_of(3), cells), trials, cells) is None
