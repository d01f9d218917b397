"""Tiers, on runs whose order and differences are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from optbench.errors import UserError
from optbench.metrics.tiers import ALL, compare_tiers
from tests.support.rows import cell_of, frame, run_of

LEVELS = {"adam": 0.9, "momentum": 0.8, "rmsprop": 0.7, "sgd": 0.5}
SMALL, LARGE = "net[data=digits]", "net"


def tier(
    levels: dict[str, float],
    problems: tuple[str, ...] = (SMALL,),
    batch_sizes: tuple[int, ...] = (10,),
    noise: float = 0.01,
    seed: int = 0,
    seeds: int = 10,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and cells of optimizers with these mean accuracies."""
    random = np.random.default_rng(seed)
    cells = [cell_of(name, problem, size) for problem in problems for size in batch_sizes for name in levels]
    runs: list[dict[str, Any]] = []
    for cell in cells:
        for one, value in enumerate(levels[cell["optimizer"]] + random.normal(0.0, noise, seeds)):
            losses = dict.fromkeys(("train_loss", "valid_loss", "test_loss"), 1 - value)
            runs.append(run_of(cell, one, test_metric=value, **losses))
    return frame(runs, "runs"), frame(cells, "cells")


def test_equal_orders_agree_without_regret() -> None:
    table, tasks = compare_tiers(tier(LEVELS), tier(LEVELS, (LARGE,), seed=1))
    row = table.iloc[0]
    assert (len(table), row["scope"], row["tau"], row["winner"], row["best_other"]) == (1, "net", 1.0, "adam", "adam")
    assert (row["rank_other"], row["regret"], row["kept"], row["reversed"]) == (1.0, 0.0, 6, 0)
    assert (row["decided"], row["verdicts_held"]) == (3, 3)
    assert set(tasks["outcome"]) == {"", "held"}
    assert tasks.set_index("optimizer")["rank_other"].to_dict() == {"adam": 1, "momentum": 2, "rmsprop": 3, "sgd": 4}


def test_reversed_orders_give_the_regret_of_the_paired_runs() -> None:
    small, large = tier(LEVELS), tier({name: 1.4 - level for name, level in LEVELS.items()}, (LARGE,), seed=1)
    table, tasks = compare_tiers(small, large)
    row = table.iloc[0]
    assert (row["tau"], row["winner"], row["rank_other"], row["best_other"]) == (-1.0, "adam", 4.0, "sgd")
    runs = large[0].pivot(index="seed", columns="optimizer", values="test_metric")
    difference = runs["sgd"] - runs["adam"]
    assert row["regret"] == pytest.approx(difference.mean())
    half = stats.t.ppf(0.975, 9) * difference.std() / np.sqrt(10)
    assert (row["regret_low"], row["regret_high"]) == pytest.approx(
        (difference.mean() - half, difference.mean() + half)
    )
    assert (row["verdicts_reversed"], set(tasks["outcome"])) == (3, {"", "reversed"})


def test_regret_of_losses_is_a_ratio() -> None:
    small, large = tier(LEVELS), tier({name: 1.4 - level for name, level in LEVELS.items()}, (LARGE,), seed=1)
    row = compare_tiers(small, large, "test_loss")[0].iloc[0]
    runs = large[0].pivot(index="seed", columns="optimizer", values="test_loss")
    assert row["regret_unit"] == "ratio"
    assert row["regret"] == pytest.approx(np.exp(np.log(runs["adam"] / runs["sgd"]).mean()) - 1)


def test_tau_is_scipys_of_the_mean_ranks() -> None:
    near = {name: 0.7 + 0.01 * place for place, name in enumerate(("a", "b", "c", "d", "e", "f"))}
    small = tier(near, batch_sizes=(10, 20), noise=0.05)
    large = tier(near, (LARGE,), (10, 40, 80), noise=0.05, seed=2)
    row = compare_tiers(small, large)[0].iloc[0]
    ranks = []
    for runs, _ in (small, large):
        medians = runs.groupby(["batch_size", "optimizer"], observed=True)["test_metric"].median().unstack()
        ranks.append(medians.rank(axis=1, ascending=False).mean())
    assert row["tau"] == pytest.approx(stats.kendalltau(*ranks).statistic)
    assert (row["tasks"], row["tasks_other"]) == (2, 3)
    assert row["tau_low"] < row["tau"] < row["tau_high"]


def test_undecided_verdicts_and_ties_are_told_apart() -> None:
    small = tier(LEVELS)
    large = tier(LEVELS | {"momentum": 0.9, "sgd": 0.9}, (LARGE,), noise=1e-4, seed=3)
    noisy = large[0]["optimizer"] == "sgd"
    signs = np.where(large[0].loc[noisy, "seed"] % 2, 0.3, -0.3)
    for name, sign in (("test_metric", 1), ("test_loss", -1)):
        large[0].loc[noisy, name] += sign * signs
    outcomes = compare_tiers(small, large)[1].set_index("optimizer")["outcome"].to_dict()
    assert outcomes == {"adam": "", "momentum": "changed", "rmsprop": "held", "sgd": "undecided"}


def test_only_families_of_both_tiers_are_compared() -> None:
    small = tier(LEVELS, (SMALL, "valley", "other[data=digits]"))
    large = tier(LEVELS, (LARGE, "other"), seed=1)
    table, tasks = compare_tiers(small, large)
    assert list(table["scope"]) == ["net", "other", ALL]
    assert list(table["tasks"]) == [1, 1, 2]
    assert set(tasks["problem"]) == {SMALL, "other[data=digits]"}


def test_tiers_without_a_common_family_are_compared_as_a_whole() -> None:
    table, tasks = compare_tiers(tier(LEVELS), tier(LEVELS, ("images",), seed=1))
    assert list(table["scope"]) == [ALL]
    assert (table["tau"].iloc[0], table["decided"].iloc[0], len(tasks)) == (1.0, 0, 0)


def test_tasks_of_other_batch_sizes_have_no_partner() -> None:
    table, tasks = compare_tiers(tier(LEVELS, batch_sizes=(10, 20)), tier(LEVELS, (LARGE,), (20, 40), seed=1))
    assert set(tasks["batch_size"]) == set(tasks["batch_size_other"]) == {20}
    assert table["tau"].iloc[0] == 1.0


def test_a_winner_that_fails_in_the_large_tier_has_no_regret_but_a_reason() -> None:
    small, (runs, cells) = tier(LEVELS), tier(LEVELS, (LARGE,), seed=1)
    failed = runs["optimizer"] == "adam"
    runs.loc[failed, "status"] = "diverged"
    runs.loc[failed, ["test_metric", "test_loss", "valid_loss", "train_loss"]] = np.nan
    row = compare_tiers(small, (runs, cells))[0].iloc[0]
    assert (row["winner"], row["rank_other"]) == ("adam", 4.0)
    assert np.isnan(row["regret"])
    assert "runs that failed" in row["note"]


def test_tiers_need_two_common_optimizers() -> None:
    with pytest.raises(UserError, match="fewer than two optimizers in common"):
        compare_tiers(tier(LEVELS), tier({"sgd": 0.5, "lion": 0.6}, (LARGE,)))
