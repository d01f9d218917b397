"""What failed is listed with the tail of its loss, and nothing else is."""

from __future__ import annotations

import math

import pandas as pd

from optbench.metrics.failures import COLUMNS, failures
from tests.support.frames import BROKEN, DIVERGED, make
from tests.support.studies import study


def test_every_failure_is_a_row() -> None:
    frames = make()
    table = failures(frames.trials, frames.runs, frames.curves, frames.cells)
    counts = table["kind"].value_counts()
    assert counts["trial"] == (frames.trials["status"] == "diverged").sum()
    assert counts["run"] == (frames.runs["status"] == "diverged").sum() == len(DIVERGED)
    assert counts["cell"] == len(BROKEN)
    cells = table[table["kind"] == "cell"].set_index("optimizer")
    assert cells.loc["lbfgs", ["status", "error"]].tolist() == ["oom", "out of memory: 9.1 GB of 8.0 GB"]


def test_the_tail_of_the_loss() -> None:
    frames = make()
    run = failures(frames.trials, frames.runs, frames.curves, frames.cells).query("kind == 'run'").iloc[0]
    curve = frames.curves[
        (frames.curves["optimizer"] == run["optimizer"]) & (frames.curves["problem"] == run["problem"])
        & (frames.curves["batch_size"] == run["batch_size"]) & (frames.curves["seed"] == run["seed"])
        & frames.curves["tuned"]
    ]  # fmt: skip
    assert run["initial_loss"] == curve["valid_loss"].iloc[0]
    assert run["last_cost"] == curve["cost"].max()
    values = run["tail"].split(", ")
    assert len(values) == 5
    assert values[-1] == "∞"
    assert float(values[0].replace(",", "")) == float(f"{curve['valid_loss'].iloc[-5]:.3g}")


def test_a_loss_that_is_no_number_is_not_one() -> None:
    found = study({"adam": [None]})
    table = failures(found.trials, found.runs, found.curves, found.cells)
    assert table["tail"].tolist() == ["10.0, 10.0, not finite"]


def test_pruned_trials_did_not_fail_but_skipped_runs_did() -> None:
    found = study({"adam": [1.0]})
    found.trials["status"] = "skipped"
    assert failures(found.trials, found.runs, found.curves, found.cells).empty
    found.runs["status"] = "skipped"
    assert failures(found.trials, found.runs, found.curves, found.cells)["kind"].tolist() == ["run"]


def test_no_failure_and_no_curves() -> None:
    found = study({"adam": [1.0]})
    assert failures(found.trials, found.runs, found.curves, found.cells).columns.tolist() == COLUMNS
    found.runs["status"] = "error"
    table = failures(found.trials, found.runs, found.curves.iloc[:0], found.cells)
    assert table["tail"].tolist() == [""]
    assert math.isnan(table["initial_loss"].iloc[0])
    assert isinstance(table, pd.DataFrame)


def test_what_is_there_twice_failed_once() -> None:
    frames = make()
    parts = [frames.trials, frames.runs, frames.curves, frames.cells]
    once = failures(*parts)
    twice = failures(*(pd.concat([part, part], ignore_index=True) for part in parts))
    pd.testing.assert_frame_equal(twice, once)
