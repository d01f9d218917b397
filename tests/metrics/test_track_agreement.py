"""Kendall's τ between tracks, against scipy and on rankings that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from optbench.metrics.track_agreement import agreements, track_agreement
from tests.metrics.test_tracks import RATE, WIDE, runs_of, variant
from tests.support.rows import frame

NAMES = ["adam", "momentum", "rmsprop", "sgd"]


def made(
    rate_only: dict[str, float], recipe: dict[str, float], noise: float = 0.01, seeds: int = 10, problems: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and cells of optimizers with these accuracies on both tracks, at the defaults as in `rate_only`."""
    random = np.random.default_rng(0)
    cells: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    for problem in range(problems):
        for name in rate_only:
            one = variant(name, name, RATE, problem=f"p{problem}")
            other = variant(f"{name}_recipe", name, WIDE, problem=f"p{problem}")
            cells += [one, other]
            runs += runs_of(one, rate_only[name] + random.normal(0, noise, seeds))
            runs += runs_of(one, rate_only[name] + random.normal(0, noise, min(seeds, 3)), tuned=False)
            if name in recipe:
                runs += runs_of(other, recipe[name] + random.normal(0, noise, seeds))
    return frame(runs, "runs"), frame(cells, "cells")


def row_of(table: pd.DataFrame, first: str = "rate only", second: str = "recipe") -> pd.Series:
    return table[(table["track"] == first) & (table["other"] == second)].iloc[0]


LEVELS = dict(zip(NAMES, (0.8, 0.75, 0.7, 0.6), strict=True))


def test_tau_is_scipys_of_the_medians() -> None:
    changed = LEVELS | {"sgd": 0.78}
    runs, cells = made(LEVELS, changed, noise=0.02)
    row = row_of(track_agreement(runs, cells))
    tuned = runs[runs["tuned"]].groupby("optimizer")["test_metric"].median()
    expected = stats.kendalltau([tuned[name] for name in NAMES], [tuned[f"{name}_recipe"] for name in NAMES]).statistic
    assert row["tau"] == pytest.approx(expected)
    assert (row["optimizers"], row["tasks"], row["seeds"], row["seeds_other"]) == (4, 1, 10, 10)
    assert (row["kept"] - row["reversed"]) / 6 == pytest.approx(expected)
    assert row["tau_low"] <= row["tau"] <= row["tau_high"] <= 1


def test_sentences_say_what_the_interval_means() -> None:
    near = dict.fromkeys(NAMES, 0.7)
    cases = {
        "contains 0": made(near, near, noise=0.05),
        "all resamples of the seeds give the same τ": made(LEVELS, LEVELS, noise=1e-3),
        "too few seeds": made(LEVELS, LEVELS, noise=0.05, seeds=3),
        "above 0": made({str(i): 0.5 + 0.02 * i for i in range(10)}, {str(i): 0.5 + 0.02 * i for i in range(10)}, 0.02),
        "below 0": made({str(i): 0.5 + 0.02 * i for i in range(10)}, {str(i): 0.9 - 0.02 * i for i in range(10)}, 0.02),
    }
    for words, (runs, cells) in cases.items():
        table = track_agreement(runs, cells)
        sentence = agreements(table[table["other"] == "recipe"].query("track == 'rate only'"))[0]
        assert words in sentence
        assert f"{4 if words in ('contains 0', 'too few seeds') or 'same' in words else 10} optimizers" in sentence


def test_opposite_and_tied_rankings() -> None:
    runs, cells = made(LEVELS, {name: 1 - value for name, value in LEVELS.items()}, noise=1e-4)
    assert row_of(track_agreement(runs, cells))["tau"] == -1
    runs, cells = made(LEVELS, dict.fromkeys(NAMES, 0.7), noise=0.0)
    row = row_of(track_agreement(runs, cells))
    assert np.isnan(row["tau"])
    assert row["tied"] == 6
    assert "cannot be compared: all optimizers are tied" in agreements(track_agreement(runs, cells))[-1]


def test_only_optimizers_with_both_tracks_are_ranked() -> None:
    runs, cells = made(LEVELS, {name: LEVELS[name] for name in NAMES[:3]})
    table = track_agreement(runs, cells)
    assert row_of(table)["optimizers"] == 3
    assert row_of(table, "default", "rate only")["optimizers"] == 4
    runs, cells = made(LEVELS, {"adam": 0.7})
    assert set(track_agreement(runs, cells)["other"]) == {"rate only"}
    assert track_agreement(runs.iloc[:0], cells).empty


def test_the_default_has_an_interval_only_with_enough_seeds() -> None:
    """Three untuned seeds of one problem are too few, those of three problems are not."""
    near = {name: 0.7 + 0.01 * place for place, name in enumerate(NAMES)}
    for problems in (1, 3):
        row = row_of(track_agreement(*made(near, near, noise=0.05, problems=problems)), "default", "recipe")
        assert (row["seeds"], row["seeds_other"]) == (3, 10)
        assert np.isnan(row["tau_low"]) == (problems == 1)


def test_the_interval_covers_the_tau_of_the_true_medians() -> None:
    """The truth: of six pairs, one is reversed. Ten seeds see the order of most pairs, but not always."""
    levels, changed = LEVELS, LEVELS | {"momentum": 0.69, "rmsprop": 0.74}
    covered = []
    for repetition in range(20):
        random = np.random.default_rng(repetition)
        runs, cells = made(levels, changed)
        tuned = runs["tuned"]
        runs.loc[tuned, "test_metric"] = runs.loc[tuned, "optimizer"].map(
            levels | {f"{name}_recipe": value for name, value in changed.items()}
        ) + random.normal(0, 0.06, int(tuned.sum()))
        row = row_of(track_agreement(runs, cells, resamples=200))
        covered.append(row["tau_low"] <= 2 / 3 <= row["tau_high"])
    assert np.mean(covered) >= 0.85


def test_copies_of_a_seed_are_one_observation() -> None:
    """With its five copies, adam would be worse than sgd by the rate as well."""
    copied, distinct = [0.2] * 5 + [0.4, 0.6], 0.3 + 0.01 * np.arange(7)
    cells = [variant(f"{name}{end}", name, space) for name in ("adam", "sgd") for end, space in SPACES.items()]
    values = [copied, distinct - 0.2, distinct, distinct]
    runs = [row for cell, own in zip(cells, values, strict=True) for row in runs_of(cell, own)]
    row = row_of(track_agreement(frame(runs, "runs"), frame(cells, "cells")))
    assert (row["tau"], row["seeds"], row["seeds_other"]) == (-1.0, 7, 7)


def test_seeds_on_which_all_optimizers_repeat_another_one_are_left_out() -> None:
    cells = [variant(f"{name}{end}", name, space) for name in ("adam", "sgd") for end, space in SPACES.items()]
    runs = [row for place, cell in enumerate(cells) for row in runs_of(cell, [0.1 + 0.1 * place] * 6)]
    row = row_of(track_agreement(frame(runs, "runs"), frame(cells, "cells")))
    assert (row["tau"], row["seeds"], row["seeds_other"], row["note"]) == (1.0, 1, 1, "too few seeds")


SPACES = {"": RATE, "_recipe": WIDE}


def test_opposite_rankings_do_not_agree() -> None:
    runs, cells = made(LEVELS, dict(zip(NAMES, reversed(LEVELS.values()), strict=True)))
    table = track_agreement(runs, cells)
    [sentence] = agreements(table[(table["track"] == "rate only") & (table["other"] == "recipe")])
    assert "by rate only and by recipe have τ = −1" in sentence.replace("-1", "−1")
