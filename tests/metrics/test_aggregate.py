"""Interquartile means over problems, against a plain computation and a known truth."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.aggregate import aggregate
from optbench.metrics.normalised import normalise_scores
from optbench.statistics import bootstrap
from tests.support.frames import make
from tests.support.studies import Study, study


def problems(rng: np.random.Generator, count: int = 5, seeds: int = 5, better: float = 0.0) -> Study:
    outcomes = {}
    for index in range(count):
        level = rng.normal(-1, 0.5)
        for name, lead in (("adam", 0.0), ("mine", better)):
            outcomes[f"p{index}", 10, name] = np.exp(level - lead + 0.3 * rng.normal(size=seeds)).tolist()
    return study(outcomes)


def of(found: Study, **options: int) -> pd.DataFrame:
    return aggregate(found.runs, found.curves, found.cells, **options).set_index("optimizer")


def test_interquartile_means_by_hand() -> None:
    found = problems(np.random.default_rng(1), better=0.3)
    table = of(found)
    scores = normalise_scores(found.runs, found.curves, found.cells)
    for name, part in scores.groupby("optimizer"):
        ordered = np.sort(part["score"])
        assert table.loc[name, "iqm"] == pytest.approx(ordered[6:19].mean()), "25 scores, 6 dropped at each end"
    assert table.index.tolist() == ["mine", "adam"]
    assert (table["iqm_low"] < table["iqm"]).all()
    assert (table["iqm"] < table["iqm_high"]).all()
    assert table[["tasks", "problems", "seeds"]].to_numpy().tolist() == [[5, 5, 5]] * 2
    assert table["note"].tolist() == ["", ""]


def test_the_seed_has_an_effect_and_the_only_one() -> None:
    found = problems(np.random.default_rng(2))
    first, again, other = (of(found, seed=seed, resamples=300) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert (first["iqm_low"] != other["iqm_low"]).all()
    assert (first["iqm"] == other["iqm"]).all()
    found.runs = found.runs.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(of(found, seed=1, resamples=300), first)


def test_intervals_are_those_of_the_bootstrap_over_seeds() -> None:
    """Whose coverage `tests/statistics/test_bootstrap.py` proves; drawn here once more from plain scores."""
    found = problems(np.random.default_rng(5), better=0.2)
    scores = normalise_scores(found.runs, found.curves, found.cells)
    ordered = scores.sort_values(["problem", "optimizer", "seed"])
    strata = [part["score"].to_numpy().reshape(2, 5) for _, part in ordered.groupby("problem")]

    def iqm(samples: list[np.ndarray]) -> np.ndarray:
        return np.sort(np.concatenate(samples, axis=-1), axis=-1)[..., 5:15].mean(axis=-1)

    drawn = bootstrap.resample(strata, iqm, 4, 300)
    table = of(found, seed=4, resamples=300).loc[["adam", "mine"]]
    low, high = bootstrap.bootstrap_interval(drawn, table["iqm"].to_numpy(), 5 * 4 / 2)
    np.testing.assert_allclose(table["iqm_low"], low, rtol=1e-9)
    np.testing.assert_allclose(table["iqm_high"], high, rtol=1e-9)


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(3)
    levels = rng.normal(-1, 0.5, 4)

    def draw(*shape: int) -> np.ndarray:
        return np.exp(levels[:, None] + 0.3 * rng.normal(size=(*shape, 4, 5)))

    def score(losses: np.ndarray) -> np.ndarray:
        return np.clip((math.log(10) - np.log(losses)) / math.log(100), 0, 2)

    truth = np.sort(score(draw(20_000)).reshape(-1, 20))[:, 5:15].mean()
    covered = 0
    for index in range(100):
        found = study({(f"p{problem}", 10, "adam"): row.tolist() for problem, row in enumerate(draw())})
        row = of(found, seed=index, resamples=200).loc["adam"]
        covered += row["iqm_low"] <= truth <= row["iqm_high"]
    assert covered / 100 == pytest.approx(0.95, abs=0.05)


def test_diverged_runs_have_a_score_of_zero_not_none() -> None:
    """A mean over successes only would be 0.5 for both."""
    table = of(study({"adam": [1.0] * 4, "mine": [1.0, 1.0, None, None]}))
    assert table.loc["adam", "iqm"] == pytest.approx(0.5)
    assert table.loc["mine", "iqm"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ({"adam": [1.0], "sgd": [2.0]}, "too few seeds for an interval"),
        ({"adam": [1.0, 2.0, 1.5]}, "too few seeds for an interval"),
        ({("a", 10, "adam"): [1.0], ("b", 10, "sgd"): [1.0]}, "no task that all optimizers have run"),
        ({"adam": [None] * 12, "sgd": [None] * 12}, "no interval, because all seeds have the same scores"),
        (
            {("a", 10, "adam"): [1.0], ("b", 10, "adam"): [2.0, 1.0, 1.5] * 4},
            "no interval (problems with only one seed: 1)",
        ),
    ],
)
def test_what_can_not_be_said(outcomes: dict, said: str) -> None:
    table = of(study(outcomes))
    assert table["note"].str.contains(said, regex=False).all()
    if said.startswith("no task"):
        assert table[["iqm", "mean_rank"]].isna().all().all()
    else:
        assert table["iqm"].notna().all()
        assert table[["iqm_low", "iqm_high"]].isna().all().all()


def test_mean_ranks_are_of_the_seeds_that_all_have() -> None:
    """Seeds 3 and 4, of which sgd has no run, would make adam's median the worse one."""
    seeds = {("p", 10, "adam"): range(5), ("p", 10, "sgd"): range(3)}
    found = study({("p", 10, "adam"): [1.0, 1.1, 5.0, 9.0, 9.0], ("p", 10, "sgd"): [2.0, 2.1, 2.2]}, seeds=seeds)
    assert of(found)["mean_rank"].to_dict() == {"adam": 1, "sgd": 2}


def test_no_runs_and_no_targets() -> None:
    frames = make(seeds=2)
    assert aggregate(frames.runs.iloc[:0], frames.curves, frames.cells).empty
    table = aggregate(frames.runs, frames.curves, frames.cells.assign(target=math.nan))
    assert table["iqm"].isna().all()
    assert table["note"].str.contains("no target").all()
