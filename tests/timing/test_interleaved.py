"""The order of visits, the second look, and that it raises no more alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from optbench.timing.interleaved import FEWEST_PAIRS, measure
from optbench.timing.verdict import FAILING
from tests.support.recordings import document


def test_sides_are_visited_abba_and_the_undecided_again() -> None:
    visited: list[tuple[str, tuple[str, ...]]] = []

    def side(name: str, near: float) -> Any:
        def visit(select: list[str]) -> Mapping[str, Any]:
            visited.append((name, tuple(select)))
            number = sum(1 for done, _ in visited if done == name)
            times = {"sure": 1.0 + number / 1000, "near": near + number / 1000}
            return document({test: time for test, time in times.items() if not select or test in select})

        return visit

    told: list[str] = []
    found = measure(("a", "b"), (side("a", 1.0), side("b", 1.24)), tell=told.append)
    assert [name for name, _ in visited[:8]] == list("abbaabba")
    assert len(visited) == 4 * FEWEST_PAIRS
    assert {select for _, select in visited[2 * FEWEST_PAIRS :]} == {("near",)}
    assert any("1 of 2 tests are measured again" in text for text in told)
    frame = found.frame.set_index("test")
    assert list(frame.loc[["sure", "near"], "verdict"]) == ["same", "same"]
    assert len(found.base.tests["sure"].blocks) == FEWEST_PAIRS


def test_there_are_as_many_pairs_as_the_number_of_tests_demands() -> None:
    count = 0

    def visit(select: list[str]) -> Mapping[str, Any]:
        nonlocal count
        count += 1
        return document({f"t{k}": 1.0 + count / 1e4 for k in range(200)})

    measure(("a", "b"), (visit, visit))
    assert count == 2 * 9


@pytest.mark.parametrize(("factor", "least", "most"), [(1.0, 0.0, 0.05), (1.4, 0.95, 1.0)])
def test_alarms_over_many_sittings(factor: float, least: float, most: float) -> None:
    """At a noise of 8 % with disturbances, 75 sittings of five tests, of which the last is `factor` as slow."""
    rng = np.random.default_rng(5)

    def side(slower: float) -> Any:
        def visit(select: list[str]) -> Mapping[str, Any]:
            names = select or [f"t{k}" for k in range(5)]
            noise = rng.lognormal(0, 0.08, len(names)) * (1 + 0.5 * (rng.random(len(names)) < 0.05))
            return document(
                {
                    name: float(value) * (slower if name == "t4" else 1.0)
                    for name, value in zip(names, noise, strict=True)
                }
            )

        return visit

    alarms = [
        measure(("a", "b"), (side(1.0), side(factor))).frame.query("test == 't4' or test != 't4'") for _ in range(75)
    ]
    share = np.mean([frame.loc[frame["verdict"].isin(FAILING), "test"].isin(["t4"]).any() for frame in alarms])
    others = np.mean(
        [frame.loc[frame["verdict"].isin(FAILING), "test"].isin([f"t{k}" for k in range(4)]).any() for frame in alarms]
    )
    assert least <= share <= most
    assert others <= 0.05
