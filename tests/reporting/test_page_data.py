"""The frames from which the page draws its figures."""

from __future__ import annotations

import pandas as pd

from optbench.metrics.tables import all_tables
from optbench.reporting.html_tables import groups
from optbench.reporting.page_data import page_frames
from tests.support.frames import VALLEY, make


def test_the_figure_of_the_gain_and_the_leaderboard_compare_on_shared_seeds() -> None:
    frames = make(optimizers=["adam", "sgd"], problems=[VALLEY], batch_sizes=[32], seeds=6, trials=2)
    tuned = frames.runs[frames.runs["tuned"]]
    # The default was selected: its runs are the tuned runs on the first three seeds.
    frames.runs = pd.concat([tuned, tuned[tuned["seed"] < 3].assign(tuned=False)], ignore_index=True)
    tables = all_tables(frames)
    shared = page_frames(tables)["shared_seeds"]
    assert shared["n_seeds"].tolist() == [3, 3, 3, 3]
    medians = shared.pivot(index="optimizer", columns="tuned", values="median")
    assert medians[True].tolist() == medians[False].tolist()
    whole = tables["final_metric"].pivot(index="optimizer", columns="tuned", values="median")
    assert (whole[True] != whole[False]).all(), "the figures would differ over all seeds"
    (group,) = groups(tables["leaderboard"], {}, tables["verdicts"])
    assert "test_metric_paired" in [column.name for column in group.table.columns]
    all_six = make(optimizers=["adam"], problems=[VALLEY], batch_sizes=[32], seeds=3, trials=2)
    tables = all_tables(all_six)
    (group,) = groups(tables["leaderboard"], {}, tables["verdicts"])
    assert "test_metric_paired" not in [column.name for column in group.table.columns], "it would repeat test_metric"
