"""Groups of optimizers that can't be told apart, and when nothing is said about groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from optbench.metrics.critical_difference import critical_difference
from optbench.metrics.normalised import normalise_scores
from optbench.statistics.ranks import wilcoxon_holm
from tests.support.studies import Study, study


def problems(count: int, levels: dict[str, float], spread: float = 0.1, seeds: int = 3) -> Study:
    rng = np.random.default_rng(count)
    return study({
        (f"p{index}", 10, name): np.exp(level - 1 + spread * rng.normal(size=seeds)).tolist()
        for index in range(count) for name, level in levels.items()
    })  # fmt: skip


def test_from_ten_problems_on() -> None:
    found = problems(12, {"adam": 0.0, "nadam": 0.01, "sgd": 1.0})
    table = critical_difference(found.runs, found.curves, found.cells).set_index("optimizer")
    scores = normalise_scores(found.runs, found.curves, found.cells)
    wide = scores.groupby(["problem", "optimizer"])["score"].median().unstack()
    expected = wide.rank(axis=1, ascending=False).mean()
    assert table["mean_rank"].to_dict() == pytest.approx(expected.to_dict())
    p = wilcoxon_holm(-wide[["adam", "nadam", "sgd"]].to_numpy())
    assert p[0, 1] > 0.05 >= max(p[0, 2], p[1, 2])
    assert table["groups"].to_dict() == {"adam": "a", "nadam": "a", "sgd": "b"}
    assert (table["note"] == "").all()
    assert table["nemenyi"].iloc[0] == pytest.approx(2.343 * np.sqrt(3 * 4 / (6 * 12)), abs=2e-3), "Demšar, table 5a"
    chi2 = stats.friedmanchisquare(*wide.to_numpy().T).statistic
    f = 11 * chi2 / (12 * 2 - chi2)
    assert table["friedman_p"].iloc[0] == pytest.approx(stats.f.sf(f, 2, 22))


@pytest.mark.parametrize("count", [1, 3, 9])
def test_below_ten_problems_there_are_mean_ranks_only(count: int) -> None:
    found = problems(count, {"adam": 0.0, "sgd": 1.0})
    table = critical_difference(found.runs, found.curves, found.cells)
    assert table["mean_rank"].tolist() == [1, 2]
    assert (table["groups"] == "").all()
    assert table[["friedman_p", "nemenyi"]].isna().all().all()
    assert set(table["note"]) == {f"a critical difference needs 10 problems (available: {count})"}


def test_batch_sizes_are_no_problems() -> None:
    outcomes = {
        ("p", 10 * batch, name): [level] * 3 for batch in range(1, 13) for name, level in (("a", 1.0), ("b", 2.0))
    }
    found = study(outcomes)
    table = critical_difference(found.runs, found.curves, found.cells)
    assert set(table["problems"]) == {1}
    assert (table["groups"] == "").all()


def test_one_optimizer() -> None:
    found = problems(12, {"adam": 0.0})
    table = critical_difference(found.runs, found.curves, found.cells)
    assert set(table["note"]) == {"a critical difference needs two optimizers"}
    nothing = critical_difference(found.runs.iloc[:0], found.curves, found.cells)
    assert nothing.empty
