"""Decides whether a test became slower, from the blocks of two recordings, so that noise alone raises no alarm.

`slower`: the ratio of the medians exceeds the bound, and an exact rank-sum test of the blocks is significant, with
Holm's correction over all tests. `faster` is the reverse. `can't tell`: the ratio exceeds the bound, but the test is
not significant, or the interval of the ratio reaches beyond the bound. Everything else is `same`. Counters are compared
exactly: a counter that grew is `more work`, regardless of the times.
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
#: The verdicts that make a comparison fail.
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
    """Compares two recordings test by test.

    Args:
        base: The recording to compare with.
        head: The recording to judge.
        bound: The ratio from which a test counts as slower.
        alpha: The probability of a false alarm over all tests.
        allow_unlike: Whether to accept recordings of different machines. Then, ratios to a reference test of the same
            visits are compared; tests without a reference and counters are left out.
        family: The number of tests that were measured, if the recordings have only some of them.

    Returns:
        One row per test: `test`, `base` and `head` (median seconds of blocks, or ratios to the reference test), `ratio`
        with `low` and `high` (95 % interval), `p` after Holm's correction, `verdict`, `note`.

    Raises:
        UserError: The machines differ, a test of `base` is missing in `head` or was recorded in another way, or there
            are too few blocks for any verdict.
    """
    unlike = differences(base.machine, head.machine)
    if unlike and not allow_unlike:
        raise UserError(
            f"{base.label} and {head.label} come from different machines ({'; '.join(unlike)}); record both on one "
            "machine, or compare ratios within each with --allow-unlike"
        )
    gone = sorted(base.tests.keys() - head.tests.keys())
    if gone:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise UserError(f"{gone[0]}{more} of {base.label} is not in {head.label}")
    names = [name for name in base.tests if not unlike or (_has_reference(base, name) and _has_reference(head, name))]
    if not names:
        raise UserError("no test names a reference test, so nothing can be compared across different machines")
    for name in names:
        if base.tests[name].kind != head.tests[name].kind:
            raise UserError(
                f"{name} is the {base.tests[name].kind} in {base.label}, and the {head.tests[name].kind} in "
                f"{head.label}; record both with one version of optbench"
            )
    sides = {name: (_blocks(base, name, bool(unlike)), _blocks(head, name, bool(unlike))) for name in names}
    _require_blocks(sides, alpha, max(family, len(names)))
    rows = [_row(name, *sides[name]) for name in names]
    frame = pd.DataFrame(rows)
    others = np.ones(max(family - len(rows), 0))
    frame["p"] = holm(np.concatenate([frame["p"].to_numpy(), others]))[: len(rows)]
    frame["verdict"] = [
        _judge(ratio, low, high, p, bound, alpha)
        for ratio, low, high, p in frame[["ratio", "low", "high", "p"]].itertuples(index=False)
    ]
    frame["note"] = ""
    if not unlike:
        for index, name in enumerate(names):
            grown, changed = _compare_counters(base.tests[name], head.tests[name])
            frame.loc[index, "note"] = changed
            if grown and frame.loc[index, "verdict"] != "slower":
                frame.loc[index, "verdict"] = "more work"
    return frame


def select_undecided(frame: pd.DataFrame, bound: float = BOUND) -> list[str]:
    """The tests that another measurement may decide: those without a verdict or too close to the bound."""
    near = (frame["ratio"] > bound**0.75) & (frame["low"] <= bound)
    return list(frame.loc[(frame["verdict"] == UNDECIDED) | near, "test"])


def _row(name: str, base: np.ndarray, head: np.ndarray) -> dict[str, object]:
    low, high = ratio_interval(base, head)
    return {
        "test": name, "base": float(np.median(base)), "head": float(np.median(head)),
        "ratio": median_ratio(base, head), "low": low, "high": high, "p": rank_sum(base, head),
    }  # fmt: skip


def _judge(ratio: float, low: float, high: float, p: float, bound: float, alpha: float) -> str:
    significant = p <= alpha
    if ratio > bound:
        return "slower" if significant else UNDECIDED
    if ratio < 1 / bound and significant:
        return "faster"
    return UNDECIDED if high > bound and not (significant and low > 1 / bound) else "same"


def _compare_counters(base: Test, head: Test) -> tuple[bool, str]:
    """Whether a counter grew, and all changes of counters as a text."""
    both = [key for key in base.counters if key in head.counters]
    changes = [
        (key, base.counters[key], head.counters[key]) for key in both if base.counters[key] != head.counters[key]
    ]
    text = ", ".join(f"{key} {before:,} → {after:,}" for key, before, after in changes)
    return any(after > before for _, before, after in changes), text


def _has_reference(recording: Recording, name: str) -> bool:
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
            f"{fewest} visit{'s' * (fewest != 1)} per side cannot give a verdict on {family} "
            f"test{'s' * (family != 1)}; at least {needed} are needed (timing record --visits {needed})"
        )
