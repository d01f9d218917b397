"""Tables and plots of results that lack something: what can be said is, the rest is missing with its reason."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from optbench.errors import UserError
from optbench.metrics.tables import all_tables
from optbench.metrics.verdicts import verdicts as verdicts_of
from optbench.plots import draw, draw_all, style
from optbench.plots.registry import PLOTS
from optbench.reporting.files import write_tables
from tests.support.drawn import only
from tests.support.frames import PROBLEMS, VALLEY, Frames
from tests.support.frames import make as make_frames

#: A function and a network: a further network would be treated as that one is.
TWO = PROBLEMS[:2]


def make(
    optimizers: list[str], problems: Sequence[str] = TWO, batch_sizes: Sequence[int] = (32, 128), seeds: int = 3
) -> Frames:
    """Frames with few trials and short curves: what is missing from them does not depend on how long they are."""
    return make_frames(optimizers, problems, batch_sizes, seeds, trials=6, points=8)


def results_of(frames: Frames, **changed: pd.DataFrame) -> SimpleNamespace:
    parts = {**frames.__dict__, **changed}
    return SimpleNamespace(**parts, trajectories=parts["paths"], planes={})


def partial() -> SimpleNamespace:
    """Killed early: some cells have runs, one has only trials, the others nothing."""
    frames = make(optimizers=["adam", "sgd", "rmsprop"])
    frames.cells["run_budget"] = frames.cells["run_budget"].where(frames.cells["optimizer"] == "adam")
    frames.cells.loc[frames.cells["optimizer"] != "adam", ["status", "lr_tuned"]] = ["missing", math.nan]
    done = frames.runs["optimizer"] == "adam"
    started = frames.runs["optimizer"].eq("sgd") & frames.runs["seed"].eq(0) & frames.runs["problem"].eq(VALLEY)
    runs = frames.runs[done | started]
    kept = frames.curves["cell_id"].isin(runs["cell_id"])
    trials = frames.trials[frames.trials["optimizer"] != "rmsprop"]
    return results_of(frames, runs=runs, trials=trials, curves=frames.curves[kept])


def nothing_yet() -> SimpleNamespace:
    frames = make(optimizers=["adam", "sgd"], problems=[VALLEY])
    frames.cells["status"], frames.cells["lr_tuned"] = "missing", math.nan
    return results_of(
        frames, **{name: getattr(frames, name).iloc[:0] for name in ("runs", "trials", "curves", "paths")}
    )


def one_seed() -> SimpleNamespace:
    return results_of(make(optimizers=["adam", "sgd", "lbfgs"], seeds=1))


def one_optimizer() -> SimpleNamespace:
    return results_of(make(optimizers=["adam"]))


def one_problem() -> SimpleNamespace:
    return results_of(make(optimizers=["adam", "sgd", "lbfgs"], problems=[VALLEY]))


def all_diverged() -> SimpleNamespace:
    frames = make(optimizers=["adam", "sgd", "rmsprop"])
    figures = ["train_loss", "valid_loss", "valid_metric", "test_loss", "test_metric", "cost_to_target"]
    for frame in (frames.runs, frames.trials):
        frame["status"] = "diverged"
        frame[[name for name in figures if name in frame]] = math.nan
    frames.runs["target_reached"] = False
    frames.curves["status"] = "diverged"
    frames.cells["lr_tuned"] = math.nan
    return results_of(frames)


def no_targets() -> SimpleNamespace:
    frames = make(optimizers=["adam", "sgd"])
    frames.cells["target"] = math.nan
    return results_of(frames)


def duplicated_seeds() -> SimpleNamespace:
    frames = make(optimizers=["adam", "sgd"], batch_sizes=[32])
    return results_of(frames, runs=pd.concat([frames.runs, frames.runs], ignore_index=True))


#: The plots that are about all problems together; each compares optimizers.
OVERALL = {name for name, plot in PLOTS.items() if not plot.each_problem}
#: Plots of medians and intervals over the seeds of a cell.
OF_SEEDS = {"loss_against_cost", "final_metric", "time_to_target"}
OF_TARGETS = {
    "aggregate", "performance_profile", "pairwise_profile", "data_profile", "rank_stability", "time_to_target",
    "batch_scaling",
}  # fmt: skip

#: Each case with the plots for which it makes a difference. The others look as they do without it.
CASES: dict[Callable[[], SimpleNamespace], set[str]] = {
    partial: set(PLOTS),
    nothing_yet: set(PLOTS),
    one_seed: OVERALL - {"audit", "lr_transfer", "critical_difference"} | OF_SEEDS,
    one_optimizer: OVERALL | {"batch_size_heatmap"},
    one_problem: OVERALL,
    all_diverged: set(PLOTS),
    no_targets: OF_TARGETS,
    duplicated_seeds: OF_SEEDS | {"audit", "verdicts"},
}


@functools.cache
def results_and_tables(case: Callable[[], SimpleNamespace]) -> tuple[SimpleNamespace, dict[str, pd.DataFrame]]:
    """Made once for all tests of a case. Only to be read."""
    results = case()
    return results, all_tables(results)


def tables_of(case: Callable[[], SimpleNamespace]) -> dict[str, pd.DataFrame]:
    return results_and_tables(case)[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_tables_and_plots_say_what_can_be_said(
    case: Callable[[], SimpleNamespace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures are written as SVG: the other formats show the same, and `tests/plots` has them."""
    monkeypatch.setattr(style, "FORMATS", {"svg": style.FORMATS["svg"]})
    monkeypatch.setattr(draw, "_MANY", 1000)  # `tests/plots/test_draw.py` has what several processes draw
    results, tables = results_and_tables(case)
    write_tables(tables, tmp_path / "tables", set(tables))
    for name, table in tables.items():
        assert len(pd.read_parquet(tmp_path / "tables" / f"{name}.parquet")) == len(table)
    with only(*(name for name in PLOTS if name in CASES[case])):
        pictures = draw_all(results, tables, tmp_path / "plots")
    # These have no plane, and search the learning rate alone.
    assert {picture.plot for picture in pictures} == CASES[case] - {
        "trajectories",
        "importance",
        "weight_decay_map",
        "scaling",
    }
    for picture in pictures:
        assert "could not be drawn" not in picture.caption, (picture.plot, picture.caption)
        assert picture.svg or picture.caption.startswith("Not drawn: ")


def test_tables_of_the_same_results_are_the_same_again() -> None:
    tables, again = tables_of(partial), all_tables(partial())
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, again[name])


def test_a_partial_directory_judges_what_is_there() -> None:
    tables = tables_of(partial)
    verdicts = tables["verdicts"]
    assert set(verdicts["optimizer"]) == {"sgd"}
    assert set(verdicts["n_pairs"]) == {1}
    assert set(verdicts["problem"]) == {VALLEY}
    board = tables["leaderboard"]
    assert board.loc[board["optimizer"] == "rmsprop", "rank"].isna().all()
    recommended = tables["recommendation"].query("recommended and scope == 'all tasks'")
    assert set(recommended["optimizer"]) <= {"adam", "sgd"}
    assert tables["probability_of_improvement"]["n_pairs"].tolist() == [1, 1]


def test_without_runs_there_is_no_figure() -> None:
    tables = tables_of(nothing_yet)
    for name in ("verdicts", "aggregate", "probability_of_improvement", "critical_difference", "failures", "audit"):
        assert tables[name].empty, name
    assert tables["leaderboard"][["test_metric", "cost_to_target", "lr"]].isna().all().all()


def test_one_seed_has_no_spread() -> None:
    tables = tables_of(one_seed)
    verdicts = tables["verdicts"]
    assert set(verdicts["verdict"]) == {"inconclusive"}
    assert verdicts[["effect_low", "effect_high", "effect_size"]].isna().all().all()
    assert verdicts["more_seeds"].isna().all()
    assert (verdicts["note"] != "").all()
    assert tables["aggregate"][["iqm_low", "iqm_high"]].isna().all().all()


def test_one_optimizer_has_nobody_to_beat() -> None:
    tables = tables_of(one_optimizer)
    assert tables["verdicts"].empty
    assert tables["probability_of_improvement"].empty
    assert tables["critical_difference"]["note"].iloc[0].endswith("a critical difference needs two optimizers")
    assert set(tables["recommendation"].query("recommended")["optimizer"]) == {"adam"}


def test_one_problem_says_nothing_about_others() -> None:
    tables = tables_of(one_problem)
    recommended = tables["recommendation"].query("recommended")
    assert recommended[["regret_low", "regret_high"]].isna().all().all()
    by_trials = recommended.loc[recommended["rests_on"] == "single trials", "sentence"]
    assert not by_trials.str.contains("interval").any()
    assert set(tables["critical_difference"]["problems"]) <= {0, 1}


def test_all_diverged_is_no_result_and_no_zero() -> None:
    tables = tables_of(all_diverged)
    verdicts = tables["verdicts"]
    assert set(verdicts["verdict"]) == {"inconclusive"}
    assert verdicts["note"].str.contains("all runs of both failed").all()
    assert verdicts["effect"].isna().all()
    assert not tables["recommendation"]["recommended"].any()
    assert tables["recommendation"]["expected_regret"].isna().all()
    assert tables["leaderboard"]["test_metric"].isna().all()
    assert (tables["failures"]["kind"] == "run").sum() > 0


def test_missing_targets_are_named() -> None:
    tables = tables_of(no_targets)
    assert tables["aggregate"]["iqm"].isna().all()
    assert tables["aggregate"]["note"].str.contains("has no target").all()
    assert tables["verdicts"]["p"].notna().all(), "verdicts need no target"


def test_duplicated_seeds_change_no_figure() -> None:
    """Doubled observations would halve the intervals and square the p-values."""
    frames = make(optimizers=["adam", "sgd"], batch_sizes=[32])
    once, twice = all_tables(results_of(frames)), tables_of(duplicated_seeds)
    for name in ("verdicts", "aggregate", "probability_of_improvement", "critical_difference", "rank_stability"):
        pd.testing.assert_frame_equal(once[name], twice[name])
    assert (twice["audit"]["finding"] == "repeated_seed").sum() >= len(frames.runs)


def test_seeds_that_would_decide_nothing_are_not_asked_for() -> None:
    """Of differences that cancel out no number of seeds makes a verdict."""
    frames = make(optimizers=["adam", "sgd"], problems=PROBLEMS[1:2], batch_sizes=[32], seeds=4)
    runs = frames.runs.sort_values(["tuned", "seed"]).set_index(["optimizer", "tuned"])
    runs.loc[("adam", True), "test_metric"] = 0.5
    runs.loc[("sgd", True), "test_metric"] = [0.9, 0.1, 0.9, 0.1]
    (row,) = verdicts_of(runs.reset_index(), frames.cells).to_dict("records")
    assert "even 10,000 seeds are unlikely to decide" in row["note"]
    assert pd.isna(row["more_seeds"])


@pytest.mark.parametrize(("frame", "column"), [("runs", "tuned"), ("cells", "trials"), ("trials", "cost")])
def test_frames_of_another_schema_are_refused_by_name(frame: str, column: str) -> None:
    frames = make(optimizers=["adam", "sgd"], problems=[VALLEY])
    lacking = getattr(frames, frame).drop(columns=column)
    with pytest.raises(UserError, match=f"the frame {frame} has no column '{column}'"):
        all_tables(results_of(frames, **{frame: lacking}))


def test_a_run_whose_figure_is_missing_is_no_success() -> None:
    frames = make(optimizers=["adam", "sgd"], problems=[VALLEY], seeds=8)
    frames.runs.loc[frames.runs["optimizer"] == "sgd", "test_metric"] = np.nan
    assert set(verdicts_of(frames.runs, frames.cells)["verdict"]) == {"loss"}
