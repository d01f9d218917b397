"""Two sides measured in turn, in one sitting: what the machine does meanwhile falls on both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from optbench.statistics.shift import fewest_blocks
from optbench.timing.recording import Recording
from optbench.timing.verdict import ALPHA, BOUND, compare, undecided

#: Pairs of visits at least.
FEWEST_PAIRS = 7

Visit = Callable[[list[str]], Mapping[str, Any]]


class Told(Protocol):
    """Takes a message on how far it is."""

    def __call__(self, text: str) -> None: ...


@dataclass(frozen=True)
class Sitting:
    """Both recordings, and a row a test (see `verdict.compare`)."""

    base: Recording
    head: Recording
    frame: pd.DataFrame


def measure(
    names: tuple[str, str],
    visits: tuple[Visit, Visit],
    pairs: int = FEWEST_PAIRS,
    bound: float = BOUND,
    alpha: float = ALPHA,
    tell: Told = lambda text: None,
) -> Sitting:
    """Measures two sides in pairs of visits, A B, B A, A B, …, and judges; tests that this leaves undecided, or near
    the bound, are measured as often again, and judged from all of their visits.

    A visit takes the names of the tests that it shall run (none for all), and gives pytest-benchmark's document. Each
    look has half of `alpha`, so a second one raises no more false alarms. There are as many pairs as the
    number of tests demands for a verdict, or `pairs`.
    """
    found: tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]] = [], []
    _pairs(found, visits, [], 0, 1, tell)
    family = len(found[0][0]["benchmarks"])
    wanted = max(pairs, fewest_blocks(alpha / 2, family))
    _pairs(found, visits, [], 1, wanted, tell)
    base, head = (Recording(name, tuple(side)) for name, side in zip(names, found, strict=True))
    frame = compare(base, head, bound, alpha / 2)
    again = undecided(frame, bound)
    if again:
        tell(f"{len(again)} of {family} tests are measured again")
        more: tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]] = [], []
        _pairs(more, visits, again, 0, wanted, tell)
        pooled = [
            Recording(name, tuple(_only(visit, again) for visit in (*first, *second)))
            for name, first, second in zip(names, found, more, strict=True)
        ]
        decided = compare(pooled[0], pooled[1], bound, alpha / 2, family=family)
        frame = pd.concat([frame[~frame["test"].isin(again)], decided], ignore_index=True)
    return Sitting(base, head, frame)


def _pairs(
    found: tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]],
    visits: tuple[Visit, Visit],
    select: list[str],
    first: int,
    end: int,
    tell: Told,
) -> None:
    for pair in range(first, end):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            found[side].append(visits[side](select))
        tell(f"pair {pair + 1}" + (f" of {end}" if end > 1 else ""))


def _only(visit: Mapping[str, Any], tests: list[str]) -> Mapping[str, Any]:
    return {**visit, "benchmarks": [entry for entry in visit["benchmarks"] if entry["fullname"] in tests]}
