"""Tracks, on runs whose differences are known."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.leaderboard import leaderboard
from optbench.metrics.tracks import tracks
from optbench.optimizers.search_space import Range, space_text
from optbench.statistics.paired import holm
from tests.support.rows import cell_of, frame, run_of

RATE = {"lr": Range(1e-3, 1e1)}
WIDE = RATE | {"weight_decay": Range(1e-4, 1e0)}
WIDER = WIDE | {"beta1": Range(0.5, 0.99, log=False)}
NOISE = np.random.default_rng(3).normal(0.0, 0.01, 10)


def variant(label: str, base: str, space: dict[str, Any], **more: Any) -> dict[str, Any]:
    return cell_of(label, base=base, search=space_text(space) if space else "", **more)


def runs_of(cell: dict[str, Any], accuracies: Any, tuned: bool = True, **more: Any) -> list[dict[str, Any]]:
    """One run per seed, with losses that no other run has."""
    return [
        run_of(cell, seed, tuned=tuned, test_metric=value, train_loss=1 - value, test_loss=1 - value, **more)
        for seed, value in enumerate(accuracies)
    ]


ADAM, ADAM_RECIPE = variant("adam", "adam", RATE), variant("adam_recipe", "adam", WIDE)
SGD = variant("sgd", "sgd", RATE)
RUNS = [
    *runs_of(ADAM, 0.6 + NOISE[:3], tuned=False),
    *runs_of(ADAM, 0.7 + NOISE[::-1]),
    *runs_of(ADAM_RECIPE, 0.65 + NOISE[:3], tuned=False),
    *runs_of(ADAM_RECIPE, 0.8 + NOISE),
    *runs_of(SGD, 0.5 + NOISE[:3], tuned=False),
    *runs_of(SGD, 0.5 + NOISE[::-1]),
]


def table_of(cells: list[dict[str, Any]], runs: list[dict[str, Any]], metric: str = "test_metric") -> pd.DataFrame:
    return tracks(frame(runs, "runs"), frame(cells, "cells"), metric)


def flipped(differences: np.ndarray) -> float:
    """The p-value of the sign-flip test, pattern by pattern."""
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    return float(np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9))


def test_each_track_is_compared_with_the_one_before_on_paired_seeds() -> None:
    table = table_of([ADAM, ADAM_RECIPE, SGD], RUNS).set_index(["base", "track"])
    assert table.index.tolist() == [
        ("adam", "default"), ("adam", "rate only"), ("adam", "recipe"), ("sgd", "default"), ("sgd", "rate only"),
    ]  # fmt: skip
    assert table["n"].tolist() == [3, 10, 10, 3, 10]
    assert table["dimensions"].tolist() == [0, 1, 2, 0, 1]
    assert table["over"].tolist() == ["", "default", "rate only", "", "default"]
    assert table["over_optimizer"].tolist() == ["", "adam", "adam", "", "sgd"]
    assert table.loc[("adam", "recipe"), "median"] == pytest.approx(np.median(0.8 + NOISE))

    expected = {
        ("adam", "rate only"): (0.7 + NOISE[::-1])[:3] - (0.6 + NOISE[:3]),
        ("adam", "recipe"): (0.8 + NOISE) - (0.7 + NOISE[::-1]),
        ("sgd", "rate only"): (NOISE[::-1])[:3] - NOISE[:3],
    }
    found = table.loc[[*expected]]
    p = np.array([flipped(differences) for differences in expected.values()])
    assert found["effect"].tolist() == pytest.approx([own.mean() for own in expected.values()])
    assert found["n_pairs"].tolist() == [3, 10, 3]
    assert found["p"].tolist() == pytest.approx(p.tolist())
    assert found["p_holm"].tolist() == pytest.approx(holm(p).tolist()), "one family for all comparisons of the task"
    assert table.loc[("adam", "recipe"), "verdict"] == "win"
    assert table.loc[("adam", "rate only"), "verdict"] == "inconclusive", "three pairs decide nothing"


def test_a_recipe_is_compared_with_the_widest_variant_that_it_includes() -> None:
    other = variant("adam_other", "adam", RATE | {"eps": Range(1e-9, 1e-3)})
    widest = variant("adam_widest", "adam", WIDER)
    runs = [*RUNS, *runs_of(other, 0.7 + NOISE), *runs_of(widest, 0.8 + NOISE)]
    table = table_of([ADAM, ADAM_RECIPE, other, widest], runs).set_index("optimizer")
    assert table.loc["adam_widest", ["over", "over_optimizer"]].tolist() == ["recipe", "adam_recipe"]
    assert table.loc["adam_other", ["over", "over_optimizer"]].tolist() == ["rate only", "adam"]


def test_without_a_rate_only_variant_a_recipe_is_compared_with_its_own_default() -> None:
    table = table_of([ADAM_RECIPE], [row for row in RUNS if row["optimizer"] == "adam_recipe"])
    assert table[["track", "optimizer", "over"]].to_numpy().tolist() == [
        ["default", "adam_recipe", ""], ["recipe", "adam_recipe", "default"],
    ]  # fmt: skip


def test_a_cell_without_anything_to_tune_is_the_default_only_with_the_default_values() -> None:
    fixed = variant("adam[lr=0.1]", "adam", {}, sampler="", trials=0)
    elsewhere = variant("adam[lr=0.5]", "adam", {}, sampler="", trials=0)
    runs = [
        *RUNS,
        *runs_of(fixed, 0.6 + NOISE, tuned=False),
        *runs_of(elsewhere, 0.6 + NOISE, tuned=False, lr=0.5),
    ]
    table = table_of([ADAM, ADAM_RECIPE, fixed, elsewhere], runs)
    assert table["optimizer"].tolist() == ["adam[lr=0.1]", "adam", "adam_recipe"]
    assert table["over_optimizer"].tolist() == ["", "adam[lr=0.1]", "adam"]
    assert table["n_pairs"].iloc[1] == 10
    never = variant("prodigy", "prodigy", {}, sampler="", trials=0)
    table = table_of([never], runs_of(never, 0.6 + NOISE, tuned=False))
    assert table[["base", "track", "n"]].to_numpy().tolist() == [["prodigy", "default", 10]]


def test_failed_runs_count_as_worst_and_technical_failures_not_at_all() -> None:
    recipe = [row for row in RUNS if row["optimizer"] == "adam_recipe" and row["tuned"]]
    others = [row for row in RUNS if row["optimizer"] == "adam"]
    lost = {"test_metric": math.nan, "test_loss": math.nan, "train_loss": math.nan}
    diverged = [row | lost | {"status": "diverged"} if row["seed"] < 6 else row for row in recipe]
    row = table_of([ADAM, ADAM_RECIPE], [*others, *diverged]).set_index("track").loc["recipe"]
    assert (row["n"], row["n_failed"]) == (10, 6)
    assert math.isnan(row["median"])
    assert math.isnan(row["effect"])
    late = [row | lost | {"status": "timeout"} for row in recipe]
    assert "recipe" not in set(table_of([ADAM, ADAM_RECIPE], [*others, *late])["track"])


def test_losses_give_ratios_and_lower_is_better() -> None:
    table = table_of([ADAM, ADAM_RECIPE, SGD], RUNS, "test_loss").set_index(["base", "track"])
    row = table.loc[("adam", "recipe")]
    assert row["effect_unit"] == "ratio"
    assert row["effect"] == pytest.approx(np.exp(np.mean(np.log((0.2 - NOISE) / (0.3 - NOISE[::-1])))))
    assert row["verdict"] == "win"
    assert row["median"] == pytest.approx(np.median(0.2 - NOISE))


def test_results_without_the_new_columns_group_by_name() -> None:
    cells = frame([ADAM, SGD], "cells").drop(columns="base")
    table = tracks(frame(RUNS, "runs").query("optimizer != 'adam_recipe'"), cells)
    assert table["base"].tolist() == ["adam", "adam", "sgd", "sgd"]
    unknown = variant("old", "", {}, sampler="")
    table = table_of([unknown], [*runs_of(unknown, 0.6 + NOISE), *runs_of(unknown, NOISE[:3], tuned=False)])
    assert table.empty, "its search space is unknown"
    assert table_of([], []).empty


def test_copies_of_a_seed_are_one_observation_as_on_the_leaderboard() -> None:
    runs = frame([*runs_of(ADAM, [0.2] * 5 + [0.4, 0.6]), *runs_of(SGD, 0.5 + NOISE)], "runs")
    cells = frame([ADAM, SGD], "cells")
    row = tracks(runs, cells).set_index("optimizer").loc["adam"]
    board = leaderboard(runs, cells).set_index("optimizer").loc["adam"]
    assert (row["median"], row["n"]) == (board["test_metric"], board["n_runs"]) == (0.4, 3)


def test_no_further_seeds_are_asked_for_where_default_runs_are_on_three() -> None:
    """A fixed variant at the defaults has all seeds, and more of them are possible."""
    untuned, rate = runs_of(ADAM, 0.69 + NOISE[:3], tuned=False), runs_of(ADAM, 0.695 + NOISE[::-1])
    fixed = variant("adam[lr=0.1]", "adam", {}, sampler="", trials=0)
    row = table_of([ADAM], [*untuned, *rate]).set_index("optimizer").query("over == 'default'").loc["adam"]
    assert row["verdict"] == "inconclusive"
    assert pd.isna(row["more_seeds"])
    assert row["note"].endswith("default runs are on three seeds; a variant fixed at its defaults has all")
    runs = [*untuned, *rate, *runs_of(fixed, 0.69 + NOISE, tuned=False)]
    row = table_of([ADAM, fixed], runs).query("over == 'default'").iloc[0]
    assert (row["over_optimizer"], row["verdict"]) == ("adam[lr=0.1]", "inconclusive")
    assert row["more_seeds"] >= 1
    assert "three seeds" not in row["note"]
