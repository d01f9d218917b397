"""The answer says what the recommendation's rows say, and what they don't."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from optbench.metrics.recommendation import ALL
from optbench.reporting.header import answer


def _tables(apart: list[Any], problems: int) -> dict[str, pd.DataFrame]:
    """Optimizers a (recommended), b, c, … of which `apart` says whether they are not told apart from it."""
    names = [chr(ord("a") + k) for k in range(len(apart) + 1)]
    interval = problems > 1
    rows = pd.DataFrame({
        "scope": ALL, "optimizer": names, "trials": 4, "recommended": [True] + [False] * len(apart),
        "not_told_apart": pd.array([False, *apart], dtype="boolean"), "expected_regret": 0.02, "lr_start": 0.1,
        "lr_low": 0.01, "lr_high": 1.0,
        "regret_low": 0.01 if interval else math.nan, "regret_high": 0.03 if interval else math.nan,
        "problems": problems, "tasks": problems, "sentence": "",
    })  # fmt: skip
    return {
        "cells": pd.DataFrame({"optimizer": names}),
        "recommendation": rows,
        "runs": pd.DataFrame({"seed": [0, 1, 2]}),
    }


@pytest.mark.parametrize(
    ("apart", "problems", "text"),
    [
        ([False, False], 3, "This loss is significantly lower than that of all other optimizers."),
        ([True, False], 3, "This loss is not significantly lower than that of b."),
        ([True, True], 3, "This loss is not significantly lower than that of any other optimizer."),
        ([pd.NA, pd.NA], 1, "One problem gives no interval"),
        ([pd.NA, pd.NA], 3, "No other optimizer could be judged on all tasks."),
        ([False, pd.NA], 3, "significantly lower than that of the 1 other optimizer that could be judged."),
        ([], 3, "No other optimizer was run."),
    ],
)
def test_the_answer_compares_with_the_others(apart: list[Any], problems: int, text: str) -> None:
    first, second = answer(_tables(apart, problems))
    rate = "starting at learning rate 0.1 (tuning chose rates from 0.01 to 1)"
    judged, better = pd.Series(apart, dtype="boolean").notna().any(), [each is False for each in apart]
    if any(better) or not apart:
        assert first.startswith(f"Use a, {rate}")
    else:
        nothing = "No optimizer is significantly better than the others. " if judged else ""
        assert first.startswith(f"{nothing}Try a first, {rate}")
    assert text in second
    assert ("95 % interval" in first) == (problems > 1)
