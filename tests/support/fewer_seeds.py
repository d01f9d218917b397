"""What fewer seeds would have decided: verdicts on parts of the seeds of a results directory, against all of them.

    python -m tests.support.fewer_seeds RESULTS [SEEDS]…

For each number of seeds (by default 5, 10 and 15), the directory's seeds are divided into disjoint groups of this size.
The verdicts of each group are compared with those of all seeds. A tie and a significant difference within the margin
are the same outcome: neither contradicts the other. A win contradicts a loss, and a difference beyond the margin
contradicts a tie.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from optbench.metrics.verdicts import is_small, verdicts
from optbench.results.load import load
from optbench.results.stored import CELL

#: The numbers of seeds that are tried unless others are given.
SIZES = (5, 10, 15)


@dataclass(frozen=True)
class Agreement:
    """The verdicts of all groups of a number of seeds, against those of all seeds.

    Attributes:
        seeds: The number of seeds in a group.
        groups: The number of groups.
        known: How many verdicts all seeds decide, counted once per group.
        found: How many of these the groups decide as well.
        decided: How many verdicts the groups decide.
        contradicted: How many of these all seeds contradict.
        undecided: How many of these all seeds leave undecided.
    """

    seeds: int
    groups: int
    known: int
    found: int
    decided: int
    contradicted: int
    undecided: int

    def __str__(self) -> str:
        share = f"{100 * self.found / self.known:.0f} %" if self.known else "–"
        return (
            f"{self.seeds} seeds, {self.groups} groups: {share} of {self.known} verdicts that all seeds decide; of "
            f"{self.decided} decided ones, {self.contradicted} are contradicted and {self.undecided} undecided by all"
        )


def agreement(runs: pd.DataFrame, cells: pd.DataFrame, size: int) -> Agreement:
    """Compares the verdicts of disjoint groups of seeds with those of all seeds.

    Args:
        runs: Frame of runs.
        cells: Frame of cells.
        size: The number of seeds in a group.
    """
    seeds = sorted(runs["seed"].unique())
    groups = [seeds[start : start + size] for start in range(0, len(seeds) - size + 1, size)]
    whole = _outcomes(runs, cells)
    known = found = decided = contradicted = undecided = 0
    for group in groups:
        part = _outcomes(runs[runs["seed"].isin(group)], cells)
        for key, outcome in whole.items():
            known += outcome != {"inconclusive"}
            if (own := part.get(key, {"inconclusive"})) == {"inconclusive"}:
                continue
            decided += 1
            undecided += outcome == {"inconclusive"}
            found += outcome != {"inconclusive"}
            contradicted += outcome != {"inconclusive"} and not own & outcome
    return Agreement(size, len(groups), known, found, decided, contradicted, undecided)


def _outcomes(runs: pd.DataFrame, cells: pd.DataFrame) -> dict[tuple[Any, ...], set[str]]:
    """Returns by comparison what its verdict says: a small difference is a win or a loss, and a tie."""
    table = verdicts(runs, cells)
    rows = zip(table[CELL].itertuples(index=False, name=None), table["verdict"], is_small(table["note"]), strict=True)
    return {key: {str(verdict)} | ({"tie"} if small else set()) for key, verdict, small in rows}


def main(folder: str, sizes: Sequence[str]) -> None:
    """Prints the agreement for each number of seeds.

    Args:
        folder: The results directory.
        sizes: Numbers of seeds.
    """
    results = load(folder)
    for size in map(int, sizes or SIZES):
        print(agreement(results.runs, results.cells, size))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
