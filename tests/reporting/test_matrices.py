"""Entries of the two matrices."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from optbench.reporting.matrices import improvement, select_target, speedup


@pytest.mark.parametrize(
    ("cost", "reference", "text", "hatched"),
    [(50.0, 100.0, "2.0×", False), (200.0, 100.0, "0.50×", False), (math.nan, 100.0, "–", True),
     (5.0, math.nan, "only", False), (math.nan, math.nan, "–", True), (0.0, 10.0, "∞×", False)],
)  # fmt: skip
def test_speed_ups(cost: float, reference: float, text: str, hatched: bool) -> None:
    entry = speedup(cost, reference)
    assert (entry.text, entry.hatched) == (text, hatched)
    assert -1 <= entry.shade <= 1


def test_shades_are_on_a_logarithmic_scale_that_ends_at_four() -> None:
    assert speedup(1, 2).shade == pytest.approx(0.5)
    assert speedup(2, 1).shade == pytest.approx(-0.5)
    assert speedup(1, 4).shade == speedup(1, 40).shade == 1


def test_what_may_be_chance_is_in_brackets() -> None:
    row = {"probability": 0.8, "probability_low": 0.45, "probability_high": 0.95}
    assert improvement(row).text == "(80)"
    assert improvement(row | {"probability_low": 0.55}).text == "80"
    assert improvement(None) is None


def test_the_middle_target_is_shown_or_the_only_one() -> None:
    table = pd.DataFrame({"problem": ["a", "a", "a", "b"], "target_name": ["easy", "medium", "hard", "declared"]})
    assert list(select_target(table)["target_name"]) == ["medium", "declared"]
