"""Each plot's frame against an independent computation, and the figures against what a reader needs."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest

from optbench.metrics.final import final_metric as metric_of
from optbench.metrics.leaderboard import leaderboard
from optbench.metrics.tables import all_tables
from optbench.metrics.targets.frozen import list_targets
from optbench.metrics.time_to_target import time_to_target as times_of
from optbench.plots import draw_all, style
from optbench.plots.batch_size_heatmap import batch_size_heatmap
from optbench.plots.final import final_metric
from optbench.plots.loss_against_cost import loss_against_cost
from optbench.plots.lr_sensitivity import lr_sensitivity
from optbench.plots.registry import PLOTS
from optbench.plots.style import FORMATS
from optbench.plots.time_to_target import time_to_target
from optbench.plots.trajectories import thin_path, trajectories
from optbench.problem.data import Plane
from tests.support.drawn import only
from tests.support.frames import DIVERGED, PROBLEMS, TEN, VALLEY, Frames, grid, make

PLANE = Plane((-4, 1.2), (0, 0), ((-5, 3), (-2, 2)))


@pytest.fixture(scope="module")
def frames() -> Frames:
    return make()


def test_every_optimizer_looks_different_and_the_same_everywhere() -> None:
    others = [f"adam[eps={n}]" for n in range(12)]
    looks = style.looks([*TEN, *others])
    assert len({(look.color, look.dash) for look in looks.values()}) == 22
    assert all(style.looks([name])[name] == looks[name] for name in TEN)
    assert style.looks([*others, *TEN]) == looks


def test_an_optimizer_of_ones_own_looks_the_same_whoever_else_is_there() -> None:
    alone = style.looks(["mine"])["mine"]
    assert style.looks(["lion", "mine", "sgd"])["mine"] == alone
    assert style.looks(["aaa", "mine"])["mine"] == alone
    many = [f"own{n}" for n in range(60)]
    assert set(style.looks(many)) == set(many), "more than there are combinations"


@pytest.mark.parametrize(
    "names",
    [
        [f"own{n}" for n in range(7)],
        ["mine", "yours", "lion", "sam", "muon", "soap", "adan"],
        ["sgd", "lbfgs", "adamax", "adagrad", "rmsprop", "adadelta", "mine"],
        ["momentum", "momentum[momentum=0.99]", "momentum[momentum=0.5]", "adam", "adam[lr=0.1]", "+1+1", "up/down"],
    ],
)
def test_seven_optimizers_have_seven_colours_and_marks(names: list[str]) -> None:
    looks = style.looks(names).values()
    assert len({look.color for look in looks}) == len({look.marker for look in looks}) == 7
    many = style.looks([f"{name}{n}" for name in names for n in range(2)]).values()
    assert len({(look.color, look.dash) for look in many}) == 14
    assert len({look.marker for look in many}) == 12


def test_marks_with_a_meaning_of_their_own_belong_to_no_optimizer() -> None:
    """A cross is a failed run, a circle the start of a path, and a star its minimum."""
    looks = style.looks([*TEN, *(f"own{n}" for n in range(60)), *(f"adam[eps={n}]" for n in range(12))])
    assert not {look.marker for look in looks.values()} & set("Xxo.*")


def test_a_variant_has_the_look_of_its_optimizer_unless_both_are_there() -> None:
    momentum = style.looks(["momentum"])["momentum"]
    assert style.looks(["momentum[lr=0.01]", "adam"])["momentum[lr=0.01]"] == momentum
    assert style.looks(["aaa", "momentum[lr=0.01]"])["momentum[lr=0.01]"] == momentum
    mine = style.looks(["mine"])["mine"]
    assert style.looks(["mine[lr=1]"])["mine[lr=1]"] == mine
    for names in (["momentum[lr=0.01]", "momentum[lr=0.1]"], ["momentum", "momentum[lr=0.1]"], ["mine[a=1]", "mine"]):
        one, other = style.looks(names).values()
        assert one.color != other.color
        assert one.marker != other.marker


def test_figures_say_tuned_only_of_what_was_tuned(frames: Frames) -> None:
    untuned = frames.runs[~frames.runs["tuned"]]
    cells = frames.cells.assign(trials=0)
    curves, paths = (frame.assign(tuned=False) for frame in (frames.curves, frames.paths))
    times = times_of(untuned, curves, cells, list_targets(cells))
    table = metric_of(untuned, curves, cells)
    board = leaderboard(untuned, cells)
    drawn = (
        loss_against_cost(curves, cells, VALLEY)[0], final_metric(table, untuned, cells, VALLEY)[0],
        trajectories(paths, cells, VALLEY, PLANE, *grid())[0], time_to_target(times, cells, VALLEY)[0],
        batch_size_heatmap(board, cells, VALLEY)[0],
    )  # fmt: skip
    for figure in drawn:
        subtitle = figure.texts[1].get_text()
        assert "untuned" in subtitle
        assert "tuned" not in subtitle.replace("untuned", "")
    assert style.describe_tuning(pd.Series([True, None, False])) == "tuned, unless there is nothing to tune"
    assert ", tuned, " in loss_against_cost(frames.curves, frames.cells, VALLEY)[0].texts[1].get_text()


@pytest.mark.parametrize("page", ["#ffffff", "#15181c"])
def test_colours_are_visible_on_light_and_dark_pages(page: str) -> None:
    def luminance(color: str) -> float:
        parts = np.array(matplotlib.colors.to_rgb(color))
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for color in {look.color for look in style.looks(TEN).values()} - {style.INK}:
        dark, light = sorted((luminance(color), luminance(page)))
        assert (light + 0.05) / (dark + 0.05) >= 3, color


def test_loss_against_cost_draws_the_medians(frames: Frames) -> None:
    figure, drawn = loss_against_cost(frames.curves, frames.cells, VALLEY)
    runs = frames.curves.query("problem == @VALLEY and kind == 'run' and tuned")
    for key, line in drawn.groupby(["optimizer", "batch_size"]):
        own = runs[(runs["optimizer"] == key[0]) & (runs["batch_size"] == key[1])]
        if (VALLEY, *key) in DIVERGED:
            continue
        expected = own.groupby("cost")["valid_loss"].median()
        np.testing.assert_allclose(line["valid_loss"], expected, rtol=0)
        np.testing.assert_array_equal(line["cost"], expected.index)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["batch 32", "batch 128"]
    assert all(ax.get_yscale() == "log" for ax in figure.axes)
    assert {text.get_text() for text in figure.legends[0].get_texts()} == set(TEN)


def test_a_diverged_seed_weighs_as_infinity_in_the_median(frames: Frames) -> None:
    _, drawn = loss_against_cost(frames.curves, frames.cells, VALLEY)
    line = drawn.query("optimizer == 'adagrad' and batch_size == 32").set_index("cost")["valid_loss"]
    runs = frames.curves.query(
        "problem == @VALLEY and optimizer == 'adagrad' and batch_size == 32 and kind == 'run' and tuned"
    )
    ok = runs[runs["status"] == "ok"].pivot(index="cost", columns="seed", values="valid_loss")
    assert line.loc[6000.0] == ok.loc[6000.0].max(), "the median of two numbers and an infinity"
    frames = make(optimizers=["adagrad"], problems=[VALLEY], batch_sizes=[32], seeds=2)
    _, drawn = loss_against_cost(frames.curves, frames.cells, VALLEY)
    assert drawn["valid_loss"].isna().iloc[-1], "half of the seeds have diverged"
    assert drawn["valid_loss"].notna().iloc[0]


def test_losses_that_are_not_all_positive_have_a_linear_axis(frames: Frames) -> None:
    curves = frames.curves.assign(valid_loss=frames.curves["valid_loss"] - 5)
    figure, _ = loss_against_cost(curves, frames.cells, VALLEY)
    assert figure.axes[0].get_yscale() == "linear"


def test_lr_sensitivity_draws_every_trial(frames: Frames) -> None:
    figure, drawn = lr_sensitivity(frames.trials, frames.runs, frames.cells, PROBLEMS[1])
    own = frames.trials[frames.trials["problem"] == PROBLEMS[1]]
    columns = ["optimizer", "batch_size", "trial"]
    pd.testing.assert_frame_equal(
        drawn.sort_values(columns, ignore_index=True),
        own.sort_values(columns, ignore_index=True)[list(drawn.columns)],
    )
    assert len(figure.axes) == 10
    crosses = sum(len(line.get_xdata()) for ax in figure.axes for line in ax.lines if line.get_marker() == "x")
    assert crosses == (own["status"] != "ok").sum()
    assert figure.axes[0].get_yscale() == "linear"
    figure, _ = lr_sensitivity(frames.trials, frames.runs, frames.cells, VALLEY)
    assert figure.axes[0].get_yscale() == "log"


def test_heatmap_draws_the_leaderboard_and_names_what_failed(frames: Frames) -> None:
    board = leaderboard(frames.runs, frames.cells)
    figure, drawn = batch_size_heatmap(board, frames.cells, PROBLEMS[2])
    own = board[board["problem"] == PROBLEMS[2]]
    for row in own.to_dict("records"):
        value = drawn.loc[row["optimizer"], ("constant", "cpu", row["batch_size"])]
        assert value == row["test_metric"] or (math.isnan(value) and math.isnan(row["test_metric"]))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("oom") == 1
    assert len(texts) == 20
    _, drawn = batch_size_heatmap(board.assign(test_metric=math.nan), frames.cells, PROBLEMS[2])
    assert drawn.isna().all().all()


def test_trajectories_keep_their_ends(frames: Frames) -> None:
    figure, drawn = trajectories(frames.paths, frames.cells, VALLEY, PLANE, *grid())
    assert len(figure.axes) == 2 * 11
    for cell, path in frames.paths.query("tuned and seed == 0").groupby("cell_id"):
        own = drawn[drawn["cell_id"] == cell]
        assert own[["step", "x", "y"]].iloc[[0, -1]].equals(path[["step", "x", "y"]].iloc[[0, -1]].set_index(
            own.index[[0, -1]])), cell  # fmt: skip
    assert set(drawn["seed"]) == {0}
    assert figure.axes[0].get_xlim() == PLANE.domain[0]


def test_thinning_drops_what_cannot_be_seen_and_what_is_no_number() -> None:
    steps = np.arange(10_000)
    path = pd.DataFrame({"step": steps, "x": np.where(steps < 5000, -4 + steps * 8e-4, 0.0), "y": 0.0})
    thin = thin_path(path, PLANE)
    assert len(thin) <= 301
    assert np.abs(np.diff(thin["x"])).max() < 0.2
    path.loc[9_000:, "x"] = math.nan
    assert thin_path(path, PLANE)["step"].iloc[-1] == 8_999
    assert len(thin_path(path.iloc[:0], PLANE)) == 0


@pytest.mark.parametrize("empty", ["runs", "trials", "curves", "paths"])
def test_plots_of_partial_results(empty: str) -> None:
    frames = make(optimizers=["adam", "adagrad"], problems=[VALLEY], batch_sizes=[32], trials=4, points=6)
    part = Frames(**{**frames.__dict__, empty: getattr(frames, empty).iloc[:0]})
    loss_against_cost(part.curves, part.cells, VALLEY)
    lr_sensitivity(part.trials, part.runs, part.cells, VALLEY)
    batch_size_heatmap(leaderboard(part.runs, part.cells), part.cells, VALLEY)
    trajectories(part.paths, part.cells, VALLEY, PLANE, *grid())


def test_everything_is_written_beside_its_frame_and_the_bytes_are_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All plots as SVG, and two of them in every format."""
    frames = make(optimizers=["adam", "sgd[momentum=0.5]"], problems=[VALLEY], seeds=2, trials=4, points=6)
    x, y, value = grid()
    ground = {"start": PLANE.start, "minimum": PLANE.minimum, "domain": PLANE.domain, "x": x, "y": y, "value": value}
    results = SimpleNamespace(**frames.__dict__, trajectories=frames.paths, planes={VALLEY: ground})
    tables = all_tables(results)
    for kinds, plots in ((("svg",), tuple(PLOTS)), (("svg", "png", "pdf"), ("recommendation", "loss_against_cost"))):
        monkeypatch.setattr(style, "FORMATS", {kind: about for kind, about in FORMATS.items() if kind in kinds})
        one, other = (tmp_path / f"{len(kinds)}{name}" for name in "ab")
        with only(*plots):
            pictures = draw_all(results, tables, one)
            draw_all(results, tables, other)
        assert not [picture.caption for picture in pictures if "could not be drawn" in picture.caption]
        stems = [f"{picture.plot}-{VALLEY}" if picture.problem else picture.plot for picture in pictures if picture.svg]
        written = sorted(path.name for path in one.iterdir())
        assert written == sorted(f"{stem}.{kind}" for stem in stems for kind in ("csv", *kinds))
        assert {"recommendation", f"loss_against_cost-{VALLEY}"} <= set(stems)
        for name in written:
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
        if len(kinds) == 1:
            for plot in ("batch_size_heatmap", "lr_sensitivity", "trajectories", "final_loss"):
                assert f"{plot}-{VALLEY}" in stems


def test_figures_are_written_in_three_formats() -> None:
    assert list(FORMATS) == ["svg", "png", "pdf"]


def test_an_optimizer_with_a_fixed_rate_has_no_range_and_no_trials(frames: Frames) -> None:
    ranges = ["lr_low", "lr_high", "lr_low_searched", "lr_high_searched", "lr_tuned"]
    cells = frames.cells.assign(**dict.fromkeys(ranges, math.nan))
    cells = cells[cells["optimizer"].isin(["adam", "sgd"])]
    figure, drawn = lr_sensitivity(frames.trials.iloc[:0], frames.runs, cells, VALLEY)
    assert len(drawn) == 0
    assert not [patch for ax in figure.axes for patch in ax.patches], "nothing is shaded"
    lr_sensitivity(frames.trials.iloc[:0], frames.runs, cells.assign(lr_default=math.nan), VALLEY)
