"""Best of k: against all subsets for random search, the one running best for what learns from its trials."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.best_of_k import best_of_k
from tests.support.rows import cell_of, frame, trial_of

LOSSES = [0.9, 0.5, math.nan, 0.3, 0.7]


def curve_of_(losses: list[float], **about: object) -> pd.DataFrame:
    cell = cell_of(**about)
    trials = [trial_of(cell, index, 0.1 * 2**index, loss) for index, loss in enumerate(losses)]
    return best_of_k(frame(trials, "trials").sample(frac=1, random_state=0), frame([cell], "cells"))


def test_random_trials_by_all_subsets_without_the_default() -> None:
    table = curve_of_(LOSSES, sampler="random", run_budget=100.0)
    assert set(table["method"]) == {"expected"}
    drawn = [0.5, math.inf, 0.3, 0.7]
    for row in table.to_dict("records"):
        best = sorted(min(some) for some in combinations(drawn, row["k"]))
        mean = np.mean(best)
        assert row["best"] == pytest.approx(mean) if math.isfinite(mean) else math.isnan(row["best"])
        assert row["median_best"] == best[(len(best) - 1) // 2]
    assert table["cost"].tolist() == pytest.approx([k * (100 + 30 + 100 + 100) / 4 for k in (1, 2, 3, 4)])
    assert table["run_budgets"].tolist() == pytest.approx((table["cost"] / 100).tolist())
    assert set(table["diverged"]) == {1}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "grid", "quasi-random", ""])
def test_other_samplers_have_their_running_best_at_what_was_charged(sampler: str) -> None:
    """The trap: an expectation over subsets of trials that were not drawn independently."""
    table = curve_of_(LOSSES, sampler=sampler)
    assert set(table["method"]) == {"running"}
    assert table["best"].tolist() == [0.9, 0.5, 0.5, 0.3, 0.3]
    assert table["cost"].tolist() == [100, 200, 230, 330, 430]
    assert table["median_best"].isna().all()


def test_trials_that_were_steered_or_pruned_are_not_independent() -> None:
    table = curve_of_(LOSSES, sampler="random", lr_low_searched=1e-4, lr_high_searched=1e1)
    assert set(table["method"]) == {"running"}
    cell = cell_of(sampler="random")
    trials = [trial_of(cell, 0, 0.1, 0.9), trial_of(cell, 1, 0.2, 0.1, status="skipped"), trial_of(cell, 2, 0.3, 0.8)]
    table = best_of_k(frame(trials, "trials"), frame([cell], "cells"))
    assert table["best"].tolist() == [0.9, 0.9, 0.8], "a pruned trial can't be selected"


def test_the_best_is_by_loss_and_not_by_place() -> None:
    """The trap: the best trial taken by its index."""
    assert curve_of_([0.9, 0.2, 0.5])["best"].tolist() == [0.9, 0.2, 0.2]
    table = curve_of_([math.nan, math.inf, math.nan])
    assert table["best"].isna().all()
    assert table["diverged"].tolist() == [3, 3, 3]


def test_repeated_rows_and_nothing() -> None:
    cell = cell_of()
    trials = frame([trial_of(cell, 0, 0.1, 0.5), trial_of(cell, 1, 0.2, 0.4)], "trials")
    once = best_of_k(trials, frame([cell], "cells"))
    pd.testing.assert_frame_equal(best_of_k(pd.concat([trials, trials]), frame([cell], "cells")), once)
    empty = best_of_k(trials.iloc[:0], frame([cell], "cells"))
    assert len(empty) == 0
    assert list(empty.columns) == list(once.columns)
    unknown = best_of_k(trials, frame([cell_of(run_budget=math.nan)], "cells"))
    assert unknown["run_budgets"].isna().all()
    assert unknown["cost"].tolist() == [100, 200]


def repeated(losses: list[list[float]], **about: object) -> pd.DataFrame:
    cell = cell_of(**{"studies": len(losses), **about})
    rows = [
        trial_of(cell, index, 0.1, loss) | {"study": study}
        for study, trials in enumerate(losses)
        for index, loss in enumerate(trials)
    ]
    first, others = ([row for row in rows if (row["study"] > 0) == later] for later in (False, True))
    return best_of_k(frame(first, "trials"), frame([cell], "cells"), frame(others, "studies"))


def test_repeated_tunings_have_a_median_at_equal_cost_with_its_interval() -> None:
    rng = np.random.default_rng(5)
    losses = rng.random((9, 4)).round(3)
    losses[3, 0] = math.nan  # costs 30 instead of 100
    table = repeated(losses.tolist())
    assert set(table["method"]) == {"repeated"}
    assert set(table["studies"]) == {9}
    assert table["cost"].tolist() == [100, 200, 300, 400]
    for row in table.to_dict("records"):
        found = []
        for trials in losses:
            spent, best = 0.0, math.inf
            for loss in trials:
                spent += 30 if math.isnan(loss) else 100
                if spent <= row["cost"]:
                    best = min(best, math.inf if math.isnan(loss) else loss)
            found.append(best)
        found.sort()
        assert row["median_best"] == found[4]
        assert row["best_low"] == found[1], "P(Bin(9, 1/2) < 2) = 0.0195"
        high = found[-2]
        assert row["best_high"] == high
        mean = np.mean(found)
        assert row["best"] == pytest.approx(mean) if math.isfinite(mean) else math.isnan(row["best"])


def test_few_or_interrupted_tunings_have_no_interval() -> None:
    table = repeated([[0.5, 0.4], [0.3, 0.6], [0.9, 0.1]], tuning_budget=200.0)
    assert table["median_best"].tolist() == [0.5, 0.3]
    assert table["best_low"].isna().all()
    interrupted = repeated([[0.5, 0.4], [0.3]], studies=1, tuning_budget=200.0)
    assert set(interrupted["method"]) == {"running"}
    assert interrupted["best"].tolist() == [0.5, 0.4]
    unknown = repeated([[0.5, 0.4], [0.3, 0.6]], tuning_budget=math.nan)
    assert unknown["best"].tolist() == [0.5, 0.4]


def test_random_trials_of_all_tunings_are_one_sample() -> None:
    table = repeated([[9.0, 0.5, 0.4], [9.0, 0.3, 0.6]], sampler="random")
    assert set(table["method"]) == {"expected"}
    assert table["trials"].tolist() == [4] * 4
    assert table["best"].iloc[0] == pytest.approx(np.mean([0.5, 0.4, 0.3, 0.6]))
