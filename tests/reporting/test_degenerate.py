"""Pages of results with one batch size, no target, one seed or one optimizer: what is not there is not explained."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from markupsafe import Markup

from optbench.metrics.tables import all_tables
from optbench.reporting.figures import FIGURES, Slot
from optbench.reporting.header import banners
from optbench.reporting.page import render
from optbench.statistics.fewest import fewest_pairs
from tests.support.frames import VALLEY, Frames, make

SPEEDUP, PAIRS = "2× means that the optimizer", "Each number is the percentage of seeds"


def page_of(frames: Frames) -> str:
    return render("made", all_tables(frames), [], {})


def is_hidden(page: str, reading: str) -> bool:
    return re.search(rf'<p class="reading"( hidden)?><b>How to read this.</b> {reading}', page)[1] is not None  # type: ignore[index]


def test_one_optimizer_has_no_pairs_and_needs_no_seeds() -> None:
    frames = make(optimizers=["adam"], problems=[VALLEY], batch_sizes=[32], seeds=1)
    page = page_of(frames)
    assert "Only one optimizer was run: there are no pairs." in page
    assert is_hidden(page, PAIRS)
    (text,) = banners(frames.cells, frames.runs)
    assert text == "No task has two optimizers: there is nothing to compare, and no verdict."


def test_without_a_target_there_is_no_speed_up() -> None:
    frames = make(optimizers=["adam", "sgd"], problems=["made_up"], batch_sizes=[32])
    frames.cells["target"] = float("nan")
    page = page_of(frames)
    assert "No problem has a target, so there is no time to a target and no speed-up." in page
    assert is_hidden(page, SPEEDUP)


def test_a_whole_page_explains_its_parts() -> None:
    page = page_of(make(optimizers=["adam", "sgd"], problems=[VALLEY], seeds=3))
    assert not is_hidden(page, PAIRS)
    assert not is_hidden(page, SPEEDUP)


@pytest.mark.parametrize("optimizers", [["adam", "sgd"], ["adam", "sgd", "rmsprop", "nadam", "lbfgs"]])
def test_the_number_of_seeds_is_that_of_this_matrix(optimizers: list[str]) -> None:
    frames = make(optimizers=optimizers, problems=[VALLEY])
    enough = fewest_pairs(comparisons=len(optimizers) - 1)
    (text,) = banners(frames.cells, frames.runs)
    assert f"With {len(optimizers)} optimizers, a verdict needs at least {enough} seeds." in text
    more = pd.concat([frames.runs.assign(seed=frames.runs["seed"] + 10 * copy) for copy in range(4)])
    assert banners(frames.cells, more) == []


@pytest.mark.parametrize("sizes", [[32], [32, 128]])
def test_one_batch_size_is_no_chart(sizes: list[int]) -> None:
    frames = make(optimizers=["adam", "sgd"], problems=[VALLEY], batch_sizes=sizes)
    drawn = {(VALLEY, "batch_size_heatmap"): Markup("<svg>drawn</svg>")}
    (loss,) = Slot.of("scaling_loss", FIGURES["scaling_loss"], drawn, frames.cells).static
    memory = Slot.of("scaling_memory", FIGURES["scaling_memory"], drawn, frames.cells).static
    single = Markup("<p>There is only one batch size.</p>")
    assert loss == (VALLEY, single if len(sizes) == 1 else drawn[VALLEY, "batch_size_heatmap"])
    assert memory == ([("", single)] if len(sizes) == 1 else [])
    rates = Slot.of("rates", FIGURES["rates"], {(VALLEY, "lr_sensitivity"): Markup("<svg>")}, frames.cells).static
    assert rates == [(VALLEY, Markup("<svg>"))], "a figure that is not about batch sizes"
