"""The rules of tuning that are compared on recorded curves, and what the recorded curves say of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from optbench.tuning.trial import Proposal
from tests.support.truth import RULES, follow, hopeless_after, recorded_cells, truths

RECORDED = Path(__file__).with_name("recorded.npz")


def test_a_followed_trial_reports_what_a_training_reports() -> None:
    """The loss at its start and at each evaluation up to its pause; none after a divergence."""
    cell = recorded_cells(worth=4)[0]
    curve = np.linspace(2.0, 1.0, cell.evaluations + 1)
    paused = follow(cell, Proposal(0, 0, {"lr": 0.1}, None, 3), curve)
    assert (paused.status, sorted(paused.reports)) == ("paused", [0, 1, 2, 3])
    assert paused.reports[3] == pytest.approx(curve[3])
    curve[2:] = math.inf
    diverged = follow(cell, Proposal(0, 0, {"lr": 0.1}, None), curve)
    assert (diverged.status, sorted(diverged.reports)) == ("diverged", [0, 1])
    assert diverged.thirds < follow(cell, Proposal(0, 0, {"lr": 0.1}, None, 3), np.ones_like(curve)).thirds


def test_a_second_seed_costs_too_much_at_worth_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the budget would be kept for it, and five rates do not cover the range."""
    known = truths(RECORDED, worth=4, **RULES["race"].tuning)[::3]
    one = [truth.regret(seed) for truth in known for seed in range(2)]
    monkeypatch.setattr("optbench.tuning.race.SECOND_SEED_FROM", RULES["race, two seeds"].second_seed_from)
    assert np.mean([truth.regret(seed) for truth in known for seed in range(2)]) > 1.05 * np.mean(one)


def test_a_whole_grid_judged_on_one_seed_is_not_without_regret() -> None:
    regrets = np.array([truth.grid_regret(seed) for truth in truths(RECORDED) for seed in range(6)])
    assert regrets.min() == 1.0
    assert regrets.mean() == pytest.approx(1.052, abs=0.001)


@pytest.mark.parametrize(
    ("curve", "window", "after"),
    [([2.0, 2.1, 2.0, 1.99, 1.0], 3, 3), ([2.0, 1.9, 2.1, 2.2, 1.0], 2, 3), ([2.0, 1.9, 2.1, 1.9, 2.1], 2, 0),
     ([2.0, 1.5, 1.0, 0.5, 0.4], 1, 0), ([2.0, 2.0], 2, 0), ([2.0], 1, 0)],
)  # fmt: skip
def test_a_training_without_progress_is_known_after_some_evaluations(curve: list, window: int, after: int) -> None:
    assert hopeless_after(np.array(curve), window) == after


def test_stopping_trainings_without_progress_would_save_next_to_nothing_at_worth_4() -> None:
    """So no such rule is built: a race stops them at their first pause anyway."""
    raced = [one.spent_without_hope(0, 1 / 4) for one in truths(RECORDED, worth=4, **RULES["race"].tuning)]
    whole = [one.spent_without_hope(0, 1 / 4) for one in truths(RECORDED, worth=4, **RULES["design"].tuning)]
    assert np.mean(raced) < 0.02 < np.mean(whole)
