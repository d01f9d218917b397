"""The probability that one optimizer beats another, against plain counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from optbench.metrics.probability_of_improvement import probability_of_improvement
from tests.support.studies import study


def test_pairs_are_counted_by_problem_and_seed() -> None:
    rng = np.random.default_rng(1)
    outcomes = {(problem, batch, name): rng.choice([0.1, 0.2, 0.3], 6).tolist()
                for problem in "ab" for batch in (10, 20) for name in ("adam", "sgd", "mine")}  # fmt: skip
    frames = study(outcomes)
    table = probability_of_improvement(frames.runs, frames.cells).set_index(["optimizer", "other"])
    assert len(table) == 6
    for (first, second), row in table.iterrows():
        scores = [
            np.mean([float(one < two) + (one == two) / 2 for batch in (10, 20)
                     for one, two in [(outcomes[problem, batch, first][seed], outcomes[problem, batch, second][seed])]])
            for problem in "ab" for seed in range(6)
        ]  # fmt: skip
        assert row["probability"] == pytest.approx(np.mean(scores))
        assert (row["n_pairs"], row["tasks"]) == (12, 4)
        back = table.loc[(second, first)]
        assert (back["probability"], back["probability_low"], back["probability_high"]) == pytest.approx(
            (1 - row["probability"], 1 - row["probability_high"], 1 - row["probability_low"])
        )


def test_bounds_and_meaning() -> None:
    frames = study({"adam": [1.0] * 10, "mine": [0.5] * 9 + [None]})
    row = probability_of_improvement(frames.runs, frames.cells).set_index("optimizer").loc["mine"]
    exact = stats.binomtest(9, 10).proportion_ci(method="exact")
    assert (row["probability"], row["probability_low"], row["probability_high"]) == pytest.approx(
        (0.9, exact.low, exact.high)
    )
    assert row["meaningful"]
    few = study({"adam": [1.0] * 3, "mine": [0.5] * 3})
    assert not probability_of_improvement(few.runs, few.cells)["meaningful"].any()


def test_copies_count_once_and_strangers_not_at_all() -> None:
    frames = study({"adam": [1.0] * 8, "mine": [0.5] * 8})
    frames.runs["train_loss"] = 1.0
    assert set(probability_of_improvement(frames.runs, frames.cells)["n_pairs"]) == {1}
    apart = study({("a", 10, "adam"): [1.0], ("b", 10, "mine"): [2.0]})
    table = probability_of_improvement(apart.runs, apart.cells)
    assert table["probability"].isna().all()
    assert set(table["n_pairs"]) == {0}
    alone = study({"adam": [1.0]})
    assert probability_of_improvement(alone.runs, alone.cells).empty
