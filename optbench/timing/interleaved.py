"""Measures two sides in turn, in one sitting, so that other load on the machine affects both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from optbench.statistics.shift import fewest_blocks
from optbench.timing.recording import Recording
from optbench.timing.verdict import ALPHA, BOUND, compare, select_undecided

#: The default number of pairs of visits.
FEWEST_PAIRS = 7

Visit = Callable[[list[str]], Mapping[str, Any]]


class Report(Protocol):
    """Receives a message about the progress."""

    def __call__(self, text: str) -> None: ...


@dataclass(frozen=True)
class Sitting:
    """Both recordings, and a frame with one row per test (see `verdict.compare`)."""

    base: Recording
    head: Recording
    frame: pd.DataFrame


def measure(
    names: tuple[str, str],
    visits: tuple[Visit, Visit],
    pairs: int = FEWEST_PAIRS,
    bound: float = BOUND,
    alpha: float = ALPHA,
    tell: Report = lambda text: None,
) -> Sitting:
    """Measures two sides in pairs of visits (A B, B A, A B, …) and compares them.

    Tests that are undecided or near the bound are measured the same number of times again, and judged from all of
    their visits. Each of the two looks uses half of `alpha`, so the second one does not add false alarms.

    Args:
        names: The labels of both sides.
        visits: For each side a function that takes the names of the tests to run (none: all) and returns
            pytest-benchmark's document.
        pairs: The number of pairs of visits; it is raised if the number of tests requires more for a verdict.
        bound: The ratio from which a test counts as slower.
        alpha: The probability of a false alarm over all tests.
        tell: A function that receives messages about the progress.

    Returns:
        Both recordings and the comparison.
    """
    documents: tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]] = [], []
    _pairs(documents, visits, [], 0, 1, tell)
    family = len(documents[0][0]["benchmarks"])
    wanted = max(pairs, fewest_blocks(alpha / 2, family))
    _pairs(documents, visits, [], 1, wanted, tell)
    base, head = (Recording(name, tuple(side)) for name, side in zip(names, documents, strict=True))
    frame = compare(base, head, bound, alpha / 2)
    again = select_undecided(frame, bound)
    if again:
        tell(f"{len(again)} of {family} tests are measured again")
        more: tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]] = [], []
        _pairs(more, visits, again, 0, wanted, tell)
        pooled = [
            Recording(name, tuple(_only(visit, again) for visit in (*first, *second)))
            for name, first, second in zip(names, documents, more, strict=True)
        ]
        decided = compare(pooled[0], pooled[1], bound, alpha / 2, family=family)
        frame = pd.concat([frame[~frame["test"].isin(again)], decided], ignore_index=True)
    return Sitting(base, head, frame)


def _pairs(
    documents: tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]],
    visits: tuple[Visit, Visit],
    select: list[str],
    first: int,
    end: int,
    tell: Report,
) -> None:
    for pair in range(first, end):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            documents[side].append(visits[side](select))
        tell(f"pair {pair + 1}" + (f" of {end}" if end > 1 else ""))


def _only(visit: Mapping[str, Any], tests: list[str]) -> Mapping[str, Any]:
    return {**visit, "benchmarks": [entry for entry in visit["benchmarks"] if entry["fullname"] in tests]}
