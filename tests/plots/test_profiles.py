"""Profiles as pictures: the numbers of their tables, and no more certainty than those have."""

from __future__ import annotations

import numpy as np
import pytest

from optbench.metrics.data_profile import data_profile_curves
from optbench.metrics.pairwise_profile import pairwise_profile as pairs_of
from optbench.metrics.performance_profile import performance_profile as areas_of
from optbench.metrics.performance_profile import profile_curves
from optbench.plots import style
from optbench.plots.data_profile import data_profile
from optbench.plots.pairwise_profile import pairwise_profile
from optbench.plots.performance_profile import performance_profile
from tests.metrics.test_performance_profile import random_times
from tests.support.profiled import UNKNOWN, times_of
from tests.support.rows import cell_of, frame

CELLS = frame([cell_of("adam"), cell_of("nadam"), cell_of("sgd")], "cells")


def test_a_panel_an_optimizer_best_first_with_its_area() -> None:
    times = random_times()
    table = areas_of(times)
    figure, drawn = performance_profile(table, times, CELLS)
    areas = table[table["measure"] == "cost"]
    titles = [ax.get_title(loc="left").splitlines() for ax in figure.axes]
    assert [title[0] for title in titles] == areas["optimizer"].tolist()
    for (_, text), row in zip(titles, areas.to_dict("records"), strict=True):
        assert text == f"{row['area']:.2f} [{row['area_low']:.2f}, {row['area_high']:.2f}]"
    for ax, name in zip(figure.axes, areas["optimizer"], strict=True):
        own = style.select_rows(profile_curves(times), {"optimizer": name})
        thick = next(line for line in ax.lines if line.get_linewidth() == 1.8)
        np.testing.assert_array_equal(thick.get_ydata(), own["share"])
    assert set(drawn["optimizer"]) == {"adam", "nadam", "sgd"}


def test_areas_without_bounds_show_none() -> None:
    times = random_times(seeds=1)
    figure, _ = performance_profile(areas_of(times), times, CELLS)
    assert all("[" not in ax.get_title(loc="left") for ax in figure.axes)


def test_pairs_are_antisymmetric_and_chance_is_in_brackets() -> None:
    table = pairs_of(random_times())
    figure, drawn = pairwise_profile(table, CELLS)
    np.testing.assert_allclose(drawn.to_numpy(), -drawn.to_numpy().T)
    texts = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    cost = table[table["measure"] == "cost"]
    chance = int(((cost["difference_low"] <= 0) & (cost["difference_high"] >= 0)).sum())
    assert sum(text.startswith("(") for text in texts) == 2 * chance
    assert len(texts) == 6
    single = pairs_of(random_times(seeds=1))
    figure, _ = pairwise_profile(single, CELLS)
    assert all(text.get_text().startswith("(") for text in figure.axes[0].texts if text.get_text())


def test_data_profiles_end_at_the_budget() -> None:
    times = random_times()
    figure, drawn = data_profile(times, CELLS)
    assert drawn.equals(data_profile_curves(times))
    for line, (_, own) in zip(figure.axes[0].lines, drawn.groupby("optimizer"), strict=True):
        assert line.get_xdata()[-1] == 1.0
        assert line.get_ydata()[-1] == own["share"].iloc[-1]


def test_what_is_missing_is_named() -> None:
    apart = times_of({("adam", "p", "easy"): [10.0], ("sgd", "q", "easy"): [10.0]})
    with pytest.raises(style.NothingToDraw, match="all optimizers"):
        performance_profile(areas_of(apart), apart, CELLS)
    with pytest.raises(style.NothingToDraw, match="in common"):
        pairwise_profile(pairs_of(apart), CELLS)
    with pytest.raises(style.NothingToDraw, match="no run"):
        data_profile(times_of({("adam", "p", "easy"): [UNKNOWN]}), CELLS)
