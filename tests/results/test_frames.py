"""The flat frames: the contract's columns, a row for everything that was planned, and no number out of nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optbench.results.checksum import seal, unseal
from optbench.results.directory import ResultsDirectory
from optbench.results.frames import Frames, collect
from optbench.results.load import Results
from optbench.results.machines import TIMING_COLUMNS
from tests.support.tiny import CHOICES, EXPLODING, OUT_OF_MEMORY, TINY, TINY_NET, run_tiny

COMMON = ["cell_id", "problem", "optimizer", "batch_size", "device", "schedule", "seed", "lr"]
STATUS = ["status", "error"]
#: Section 4 of the design, and the cells as their users know them.
CONTRACT = {
    "trials": [*COMMON, *STATUS, "environment", "trial", "valid_loss", "valid_metric", "cost", "seconds"],
    "studies": [*COMMON, *STATUS, "environment", "study", "trial", "valid_loss", "valid_metric", "cost", "seconds"],
    "runs": [
        *COMMON, *STATUS, "steps", "examples", "cost", "forwards", "backwards", "train_loss", "valid_loss",
        "valid_metric", "test_loss", "test_metric", "target_reached", "steps_to_target", "cost_to_target",
        "seconds_to_target", "train_seconds", "eval_seconds", "step_ms", "peak_memory_bytes", "optimizer_state_bytes",
        "tuned", "environment",
    ],
    "curves": [
        *COMMON, *STATUS, "kind", "trial", "tuned", "step", "cost", "seconds", "train_loss", "valid_loss",
        "valid_metric", "trainable_parameters",
    ],
    "cells": [
        *COMMON[:6], *STATUS, "lr_default", "lr_tuned", "others_tuned", "lr_low", "lr_high", "lr_low_searched",
        "lr_high_searched", "edge", "sampler", "trials", "tuning_budget", "tuning_cost", "run_budget", "metric_name",
        "metric_higher_is_better", "target", "step_ms", "step_ms_low", "step_ms_high", "seconds", "environment",
        "timed_in", "execution", "problem_version", "threads", "evaluations", "studies", "constructor",
        "length_arguments", "search", "base", "ladder", "size",
    ],
}  # fmt: skip
WHOLE = [
    "batch_size",
    "seed",
    "trial",
    "step",
    "steps",
    "examples",
    "forwards",
    "backwards",
    "trials",
    "threads",
    "evaluations",
    "study",
    "studies",
]
TEXTS = [
    "cell_id",
    "problem",
    "optimizer",
    "device",
    "schedule",
    *STATUS,
    "kind",
    "edge",
    "others_tuned",
    "constructor",
    "length_arguments",
    "search",
    "base",
    "ladder",
    "sampler",
    "metric_name",
    "execution",
    "problem_version",
]
TRUTHS = ["tuned", "target_reached", "metric_higher_is_better"]


def assert_dtypes(frame: pd.DataFrame) -> None:
    for name in frame.columns:
        kind = frame[name].dtype.kind
        if name in WHOLE:
            assert kind == "i", name
        elif name in TRUTHS:
            assert kind == "b", name
        elif name in TEXTS:
            assert kind in "OU", name
            assert frame[name].map(lambda value: isinstance(value, str)).all(), name
        elif not name.startswith("hp_") and name not in ("environment", "timed_in"):
            assert kind in "fi", name


@pytest.mark.parametrize("name", CONTRACT)
def test_columns_are_those_of_the_design(name: str, tiny_run: Results) -> None:
    frame = getattr(tiny_run, name)
    assert list(frame.columns) == CONTRACT[name]
    assert_dtypes(frame)
    assert list(frame.index) == list(range(len(frame)))


@pytest.mark.parametrize("name", CONTRACT)
def test_frames_of_nothing_have_the_same_columns(name: str, tmp_path: Path) -> None:
    directory = ResultsDirectory(tmp_path)
    directory.create()
    directory.write_plan({"seeds": [0], "cells": []})
    frame = getattr(collect(directory), name)
    assert list(frame.columns) == CONTRACT[name]
    assert len(frame) == 0
    assert_dtypes(frame)


def test_other_hyperparameters_are_columns_after_the_learning_rate(tmp_path: Path) -> None:
    results = run_tiny(
        tmp_path / "run", optimizers=["nesterov", "adam[betas=(0.8,0.9),eps=1e-3]", "lbfgs", "sgd[lr=0.1]"]
    )
    extra = ["hp_betas", "hp_eps", "hp_history_size", "hp_line_search_fn", "hp_max_eval", "hp_max_iter", "hp_momentum",
             "hp_nesterov"]  # fmt: skip
    for name in ("runs", "trials", "curves"):
        columns = list(getattr(results, name).columns)
        place = columns.index("lr") + 1
        assert columns[place : place + len(extra)] == extra
        assert columns[:place] + columns[place + len(extra) :] == CONTRACT[name]
    runs = results.runs.groupby("optimizer", sort=False).first()
    adam = runs.loc["adam[betas=(0.8,0.9),eps=0.001]"]
    assert (adam["hp_betas"], adam["hp_eps"]) == ("[0.8, 0.9]", 0.001)
    assert (runs.loc["nesterov", "hp_momentum"], bool(runs.loc["nesterov", "hp_nesterov"])) == (0.9, True)
    assert (runs.loc["lbfgs", "hp_line_search_fn"], runs.loc["lbfgs", "hp_max_eval"]) == ("strong_wolfe", 25)
    assert runs["hp_eps"].isna().sum() == 3
    # A fixed learning rate leaves nothing to tune: untuned runs only.
    fixed = results.runs.query("optimizer == 'sgd[lr=0.1]'")
    assert (list(fixed["tuned"]), list(fixed["lr"])) == ([False, False], [0.1, 0.1])
    assert results.cells.set_index("optimizer").loc["sgd[lr=0.1]", ["lr_low", "lr_tuned"]].isna().all()


def test_there_is_a_row_for_everything(tiny_run: Results) -> None:
    # Of the three trials of a race, two stop halfway.
    cells, seeds, trials, points = 2, 2, 3, CHOICES["evaluations"] + 1
    assert len(tiny_run.cells) == cells
    assert len(tiny_run.runs) == cells * seeds * 2
    assert len(tiny_run.trials) == cells * trials
    assert len(tiny_run.curves) == (cells * seeds * 2 + cells) * points + cells * 2 * (points // 2 + 1)
    assert set(map(tuple, tiny_run.runs[["optimizer", "seed", "tuned"]].to_numpy())) == {
        (optimizer, seed, tuned) for optimizer in ("sgd", "adam") for seed in (0, 1) for tuned in (True, False)
    }
    assert set(tiny_run.runs["status"]) == {"ok"}
    assert tiny_run.trials.groupby("cell_id")["status"].agg(sorted).tolist() == [["ok", "stopped", "stopped"]] * cells
    assert not set(tiny_run.trials["seed"]) & set(tiny_run.runs["seed"])


def test_cells_name_the_class_of_their_optimizer(tiny_run: Results) -> None:
    classes = dict(zip(tiny_run.cells["optimizer"], tiny_run.cells["constructor"], strict=True))
    assert classes["sgd"] == "torch.optim:SGD"


def test_figures_agree_across_the_frames(tiny_run: Results) -> None:
    runs, trials, curves, cells = tiny_run.runs, tiny_run.trials, tiny_run.curves, tiny_run.cells
    for _, row in runs.iterrows():
        curve = curves.query("cell_id == @row.cell_id and kind == 'run' and seed == @row.seed and tuned == @row.tuned")
        assert curve["step"].iloc[0] == 0
        assert (curve["trial"] == -1).all()
        last = curve.iloc[-1]
        assert (last["step"], last["cost"]) == (row["steps"], row["cost"]) == (40, 400)
        for name in ("train_loss", "valid_loss", "valid_metric", "lr"):
            assert last[name] == row[name]
        assert row["examples"] == row["steps"] * row["batch_size"]
        assert (row["forwards"], row["backwards"]) == (40, 40)
        # The tiny problem's test set is its validation set.
        assert (row["test_loss"], row["test_metric"]) == (row["valid_loss"], row["valid_metric"])
    for _, row in trials.iterrows():
        curve = curves.query("cell_id == @row.cell_id and kind == 'trial' and trial == @row.trial")
        assert (curve["step"].iloc[0], curve["tuned"].any()) == (0, False)
        assert curve["valid_loss"].iloc[-1] == row["valid_loss"]
        assert row["cost"] == curve["cost"].iloc[-1] == {"ok": 400, "stopped": 200}[row["status"]]
    for _, cell in cells.iterrows():
        own = trials.query("cell_id == @cell.cell_id")
        assert cell["tuning_cost"] == own["cost"].sum() <= cell["tuning_budget"] == 800
        assert cell["trials"] == len(own)
        assert own["lr"].iloc[0] == cell["lr_default"]
        assert cell["lr_tuned"] == own.loc[own["valid_loss"].where(own["status"] == "ok").idxmin(), "lr"]
        found = runs.query("cell_id == @cell.cell_id")
        assert set(found.query("tuned")["lr"]) == {cell["lr_tuned"]}
        assert set(found.query("not tuned")["lr"]) == {cell["lr_default"]}


def test_all_times_come_from_the_timing_pass(tiny_copy: Path) -> None:
    directory = ResultsDirectory(tiny_copy)
    for folder in (tiny_copy / "cells").iterdir():
        edit(folder / "timing.json", seconds_per_cost=0.5, seconds_per_step=5.0, seconds_per_step_low=2.5,
             seconds_per_step_high=10.0, peak_memory_bytes=1234)  # fmt: skip
    frames = collect(directory)
    assert (frames.curves["seconds"] == 0.5 * frames.curves["cost"]).all()
    assert (frames.runs["step_ms"] == 5_000).all()
    assert (frames.runs["peak_memory_bytes"] == 1234).all()
    assert (frames.cells[["step_ms", "step_ms_low", "step_ms_high"]] == [5_000, 2_500, 10_000]).all(axis=None)
    reached = frames.runs["target_reached"]
    assert (frames.runs["seconds_to_target"][reached] == 0.5 * frames.runs["cost_to_target"][reached]).all()


def test_without_a_timing_times_are_unknown(tiny_copy: Path) -> None:
    for path in tiny_copy.glob("cells/*/timing.json"):
        path.unlink()
    frames = collect(ResultsDirectory(tiny_copy))
    assert frames.curves["seconds"].isna().all()
    assert frames.runs[["step_ms", "seconds_to_target", "peak_memory_bytes"]].isna().all(axis=None)
    assert frames.cells[["step_ms", "step_ms_low", "step_ms_high"]].isna().all(axis=None)
    assert frames.runs["cost"].notna().all()


def test_timing_columns_are_named_as_such(tiny_run: Results) -> None:
    known = {name for columns in CONTRACT.values() for name in columns} - {"run_budget_seconds"}  # as it was chosen
    assert set(TIMING_COLUMNS) <= known
    assert {name for name in known if "seconds" in name or name.startswith("step_ms")} == set(TIMING_COLUMNS)


# Failures


def test_a_failed_cell_has_a_row_for_each_of_its_runs(partly_failed_run: Results) -> None:
    failed = partly_failed_run.runs.query("optimizer == 'raising'")
    assert set(map(tuple, failed[["seed", "tuned"]].to_numpy())) == {(s, t) for s in (0, 1) for t in (True, False)}
    assert set(failed["status"]) == {"error"}
    assert set(failed["error"]) == {"RuntimeError: the third step is too much"}
    unknown = ["lr", "steps", "cost", "train_loss", "valid_loss", "valid_metric", "test_loss", "test_metric",
               "cost_to_target", "steps_to_target", "seconds_to_target"]  # fmt: skip
    assert failed[unknown].isna().all(axis=None)
    assert not failed["target_reached"].any()
    fine = partly_failed_run.runs.query("optimizer == 'sgd'")
    assert fine[["test_loss", "cost"]].notna().all(axis=None)
    assert list(partly_failed_run.runs.columns) == CONTRACT["runs"]
    cell = partly_failed_run.cells.set_index("optimizer").loc["raising"]
    assert (cell["status"], cell["error"]) == ("error", "RuntimeError: the third step is too much")
    assert cell["tuning_cost"] == 90  # what was computed before its trials failed is charged
    assert math.isnan(cell["lr_tuned"])
    trial = partly_failed_run.trials.query("optimizer == 'raising'")
    assert (list(trial["status"]), list(trial["cost"])) == (["error"] * 3, [30.0] * 3)
    assert trial["lr"].iloc[0] == 0.1


@pytest.fixture(scope="module")
def diverged_run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A benchmark with a cell of which every training diverges, and one that runs out of memory."""
    return run_tiny(tmp_path_factory.mktemp("diverged") / "run", problems=[TINY], optimizers=[EXPLODING, OUT_OF_MEMORY])


def test_out_of_memory_is_a_status(diverged_run: Results) -> None:
    runs = diverged_run.runs.query("optimizer == 'out_of_memory'")
    assert set(runs["status"]) == {"oom"}
    assert set(runs["error"]) == {"MemoryError: no more"}
    assert len(runs) == 4


def test_a_diverged_training_never_shows_a_number_for_what_was_none(diverged_run: Results) -> None:
    """Neither a NaN nor an infinite loss comes back as a number, not even a huge one."""
    runs = diverged_run.runs.query("optimizer == 'exploding'")
    assert len(runs) == 4
    untuned = runs.query("not tuned")
    assert set(untuned["status"]) == {"diverged"}
    assert untuned["error"].str.contains("not finite").all()
    assert untuned[["valid_loss", "test_loss", "test_metric", "cost_to_target"]].isna().all(axis=None)
    assert not untuned["target_reached"].any()
    assert set(runs.query("tuned")["status"]) == {"skipped"}  # for there was no rate to run at
    trials = diverged_run.trials.query("optimizer == 'exploding'")
    assert set(trials["status"]) == {"diverged"}
    assert trials["valid_loss"].isna().all()
    assert (trials["cost"] > 0).all()
    for name in CONTRACT:
        frame = getattr(diverged_run, name)
        numbers = frame.select_dtypes("number").drop(columns=["lr"], errors="ignore").astype("float64")
        assert not np.isinf(numbers.to_numpy()).any()
        assert_dtypes(frame.drop(columns=WHOLE, errors="ignore"))
    cells = diverged_run.cells.query("optimizer == 'exploding'")
    assert (list(cells["status"]), list(cells["lr_tuned"].isna())) == (["ok"], [True])


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(seal({**unseal(json.loads(path.read_bytes())), **changes})))


def first_cell(folder: Path) -> Path:
    cell_id = json.loads((folder / "plan.json").read_bytes())["cells"][0]["cell_id"]
    return folder / "cells" / cell_id


def collected(folder: Path) -> Frames:
    return collect(ResultsDirectory(folder))


def test_null_comes_back_as_nan_in_every_frame(tiny_copy: Path) -> None:
    cell = first_cell(tiny_copy)
    nothing = dict.fromkeys(["train_loss", "valid_loss", "valid_metric", "test_loss", "test_metric"])
    edit(cell / "runs" / "0.json", **nothing)
    edit(cell / "curves" / "run-0.json", valid_loss=[None] * 5, valid_metric=[None] * 5)
    lines = [unseal(json.loads(line)) for line in (cell / "trials.jsonl").read_text().splitlines()]
    (cell / "trials.jsonl").write_text("".join(json.dumps(seal({**line, **nothing})) + "\n" for line in lines))
    frames = collected(tiny_copy)
    row = frames.runs.query("cell_id == @cell.name and seed == 0 and tuned").iloc[0]
    assert row[list(nothing)].isna().all()
    assert not row["target_reached"]
    assert math.isnan(row["cost_to_target"])
    points = frames.curves.query("cell_id == @cell.name and kind == 'run' and seed == 0 and tuned")
    assert points[["valid_loss", "valid_metric"]].isna().all(axis=None)
    assert points["train_loss"].notna().all()
    assert frames.trials.query("cell_id == @cell.name")[["valid_loss", "valid_metric"]].isna().all(axis=None)
    for name in CONTRACT:
        assert_dtypes(getattr(frames, name))


def test_a_run_that_met_its_target_and_then_diverged_did_not_reach_it(tiny_copy: Path) -> None:
    cell = first_cell(tiny_copy)
    edit(cell / "curves" / "run-0.json", valid_metric=[1.0, 0.0, 0.0, 0.0, 0.0])
    edit(cell / "curves" / "run-1.json", valid_metric=[1.0, 0.0, 0.0, 0.0, 0.0])
    edit(cell / "runs" / "1.json", status="diverged", error="loss not finite")
    runs = collected(tiny_copy).runs.query("cell_id == @cell.name and tuned").set_index("seed")
    assert list(runs["target_reached"]) == [True, False]
    assert runs.loc[0, ["cost_to_target", "steps_to_target"]].tolist() == [90.0, 9.0]  # of 1.0 → 0.0 within 100, to 0.1
    assert runs.loc[1, ["cost_to_target", "steps_to_target", "seconds_to_target"]].isna().all()


def test_targets_against_the_curves(tmp_path: Path) -> None:
    """Where the running best of the validation metric first meets the target, found by a walk along the curve."""
    results = run_tiny(tmp_path / "run", problems=[TINY_NET], optimizers=["sgd[lr=[0.001,0.1,1]]"], evaluations=8)
    assert set(results.runs["target_reached"]) == {True, False}
    for _, row in results.runs.iterrows():
        curve = results.curves.query("cell_id == @row.cell_id and kind == 'run' and seed == @row.seed")
        metric, cost = curve["valid_metric"].to_numpy(), curve["cost"].to_numpy()
        best = np.maximum.accumulate(metric)
        grid = np.linspace(0, cost[-1], 100_001)
        meets = np.interp(grid, cost, best) >= 0.9
        if meets.any():
            assert row["cost_to_target"] == pytest.approx(grid[meets.argmax()], abs=cost[-1] / 50_000)
            assert row["steps_to_target"] == pytest.approx(row["cost_to_target"] / 10)
        else:
            assert not row["target_reached"]
            assert math.isnan(row["cost_to_target"])


# Partial and damaged directories


def test_what_is_missing_of_a_partial_run_is_left_out(tiny_copy: Path) -> None:
    cell = first_cell(tiny_copy)
    (cell / "result.json").unlink()
    (cell / "runs" / "1.json").unlink()
    frames = collected(tiny_copy)
    own = frames.runs.query("cell_id == @cell.name")
    assert set(map(tuple, own[["seed", "tuned"]].to_numpy())) == {(0, True), (0, False), (1, False)}
    row = frames.cells.set_index("cell_id").loc[cell.name]
    assert (row["status"], row["trials"], row["tuning_cost"]) == ("missing", 3, 800)
    assert math.isnan(row["lr_tuned"])
    assert len(frames.runs) == 7


@pytest.mark.parametrize("damaged", [b"", b"{", b"\0\0", b"[1]"])
def test_a_damaged_record_is_a_missing_one(damaged: bytes, tiny_copy: Path) -> None:
    cell = first_cell(tiny_copy)
    (cell / "runs" / "0.json").write_bytes(damaged)
    (cell / "curves" / "run-1.json").write_bytes(damaged)
    (cell / "curves" / "trial-0.json").write_bytes(damaged)
    (cell / "timing.json").write_bytes(damaged)
    frames = collected(tiny_copy)
    own = frames.runs.query("cell_id == @cell.name")
    assert set(map(tuple, own[["seed", "tuned"]].to_numpy())) == {(0, False), (1, True), (1, False)}
    assert len(frames.curves.query("cell_id == @cell.name and kind == 'trial'")) == 2 * 3
    assert not own.query("seed == 1 and tuned")["target_reached"].any()
    assert len(frames.trials) == 6


def test_only_planned_cells_and_seeds_are_read(tiny_copy: Path) -> None:
    plan = json.loads((tiny_copy / "plan.json").read_bytes())
    (tiny_copy / "plan.json").write_text(json.dumps({"seeds": [1], "cells": plan["cells"][:1]}))
    frames = collected(tiny_copy)
    assert set(frames.runs["seed"]) == {1}
    assert set(frames.runs["cell_id"]) == set(frames.cells["cell_id"]) == {plan["cells"][0]["cell_id"]}


def test_trajectories_are_the_positions_after_each_step(tiny_run: Results) -> None:
    paths = tiny_run.trajectories
    assert list(paths.columns) == [*COMMON, *STATUS, "tuned", "step", "x", "y"]
    starts = paths.query("step == 0")
    assert len(starts) == 8
    assert set(map(tuple, starts[["x", "y"]].to_numpy())) == {(-2.0, 1.0)}
    for (_, _, _), path in paths.groupby(["cell_id", "seed", "tuned"]):
        assert list(path["step"]) == list(range(41))
