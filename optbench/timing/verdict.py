"""Whether a test became slower: judged from blocks of two recordings, so that noise alone raises no alarm.

`slower`: the ratio of the medians exceeds the bound, and the two samples of blocks are told apart by an exact
rank-sum test, with Holm's correction over all tests. `faster` is the mirror of that. `can't tell`: the ratio exceeds
the bound without being told apart, or its interval reaches beyond it. Everything else is `same`. Counters are
compared exactly: one that grew is `more work`, whatever the clock says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from optbench.errors import UserError
from optbench.statistics.paired import holm
from optbench.statistics.shift import fewest_blocks, median_ratio, rank_sum, ratio_interval
from optbench.timing.machine import differences
from optbench.timing.recording import Recording, Test

BOUND = 1.25
ALPHA = 0.05
#: What makes a comparison fail.
FAILING = ("slower", "more work")
UNDECIDED = "can't tell"


def compare(
    base: Recording,
    head: Recording,
    bound: float = BOUND,
    alpha: float = ALPHA,
    allow_unlike: bool = False,
    family: int = 0,
) -> pd.DataFrame:
    """A row a test of both: `test`, `base` and `head` (median seconds), `ratio` with `low` and `high` (95 %), `p`
    after Holm, `verdict`, `note`.

    Unlike machines are refused; with `allow_unlike` the ratios to a reference test of the same visits are compared
    (`base` and `head` are such ratios then), and tests without one, and counters, are left out. `family` is the number
    of tests that were measured, where these are only some of them. Raises UserError for unlike machines, for a test
    of `base` that is gone, and where there are too few blocks for any verdict.
    """
    unlike = differences(base.machine, head.machine)
    if unlike and not allow_unlike:
        raise UserError(
            f"{base.label} and {head.label} come from unlike machines ({'; '.join(unlike)}); record both on one, or "
            "compare ratios within each with --allow-unlike"
        )
    gone = sorted(base.tests.keys() - head.tests.keys())
    if gone:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise UserError(f"{gone[0]}{more} of {base.label} is not in {head.label}")
    names = [name for name in base.tests if not unlike or (_paired(base, name) and _paired(head, name))]
    if not names:
        raise UserError("no test names another one as its reference, so nothing holds across unlike machines")
    sides = {name: (_blocks(base, name, bool(unlike)), _blocks(head, name, bool(unlike))) for name in names}
    _require_blocks(sides, alpha, max(family, len(names)))
    rows = [_row(name, *sides[name]) for name in names]
    frame = pd.DataFrame(rows)
    others = np.ones(max(family - len(rows), 0))
    frame["p"] = holm(np.concatenate([frame["p"].to_numpy(), others]))[: len(rows)]
    frame["verdict"] = [
        _verdict(ratio, low, high, p, bound, alpha)
        for ratio, low, high, p in frame[["ratio", "low", "high", "p"]].itertuples(index=False)
    ]
    frame["note"] = ""
    if not unlike:
        for index, name in enumerate(names):
            grown, changed = _counted(base.tests[name], head.tests[name])
            frame.loc[index, "note"] = changed
            if grown and frame.loc[index, "verdict"] != "slower":
                frame.loc[index, "verdict"] = "more work"
    return frame


def undecided(frame: pd.DataFrame, bound: float = BOUND) -> list[str]:
    """Tests that another measurement may decide: not told apart, or too near to the bound."""
    near = (frame["ratio"] > bound**0.75) & (frame["low"] <= bound)
    return list(frame.loc[(frame["verdict"] == UNDECIDED) | near, "test"])


def _row(name: str, base: np.ndarray, head: np.ndarray) -> dict[str, object]:
    low, high = ratio_interval(base, head)
    return {
        "test": name, "base": float(np.median(base)), "head": float(np.median(head)),
        "ratio": median_ratio(base, head), "low": low, "high": high, "p": rank_sum(base, head),
    }  # fmt: skip


def _verdict(ratio: float, low: float, high: float, p: float, bound: float, alpha: float) -> str:
    apart = p <= alpha
    if ratio > bound:
        return "slower" if apart else UNDECIDED
    if ratio < 1 / bound and apart:
        return "faster"
    return UNDECIDED if high > bound and not (apart and low > 1 / bound) else "same"


def _counted(base: Test, head: Test) -> tuple[bool, str]:
    """Whether a counter grew, and all changes as a text."""
    both = [key for key in base.counters if key in head.counters]
    changes = [
        (key, base.counters[key], head.counters[key]) for key in both if base.counters[key] != head.counters[key]
    ]
    text = ", ".join(f"{key} {before:,} → {after:,}" for key, before, after in changes)
    return any(after > before for _, before, after in changes), text


def _paired(recording: Recording, name: str) -> bool:
    return recording.tests[name].reference in recording.tests


def _blocks(recording: Recording, name: str, relative: bool) -> np.ndarray:
    blocks = np.array(recording.tests[name].blocks)
    if not relative:
        return blocks
    reference = np.array(recording.tests[recording.tests[name].reference].blocks)
    return blocks / reference


def _require_blocks(sides: Mapping[str, Sequence[np.ndarray]], alpha: float, family: int) -> None:
    needed = fewest_blocks(alpha, family)
    fewest = min(len(side) for pair in sides.values() for side in pair)
    if fewest < needed:
        raise UserError(
            f"{fewest} visit{'s' * (fewest != 1)} a side can tell nothing of {family} "
            f"test{'s' * (family != 1)}; {needed} are the fewest (timing record --visits {needed})"
        )
