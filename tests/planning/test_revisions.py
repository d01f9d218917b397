"""Words in the identity of cells whose stored numbers stem from before a change of the computation."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from tests.support.tiny import TINY


def cell(**choices: Any) -> Cell:
    base = {"problems": [TINY], "optimizers": ["sgd"], "tuning_pruner": "none", "batch_sizes": [10]}
    [found] = make_plan(configure(**{**base, **choices})).cells
    return found


def bought(worth: int, run: int, price: int, early: list[int]) -> int:
    """Number of trials that a tuning budget buys, if the first ones ended early at these costs."""
    rest, count = worth * run, 0
    while rest >= run:
        rest -= early[count] if count < len(early) else price
        count += 1
    return count


@pytest.mark.parametrize("batch_size", [10, 20, 24, 30, 50, 64, 90, 96])
@pytest.mark.parametrize("worth", [1, 2, 4])
def test_cells_whose_number_of_trials_may_have_changed_have_a_word(batch_size: int, worth: int) -> None:
    """Counted with up to two trials that ended early; a cell of 160 examples buys trials of whole steps or runs."""
    run = 160
    found = cell(batch_sizes=[batch_size], run_budget=f"{run}examples", tuning_worth=worth)
    whole = run - run % batch_size
    ends = range(batch_size, whole, batch_size)
    cases = [[], *([end] for end in ends), *(list(pair) for pair in itertools.product(ends, repeat=2))]
    changed = any(bought(worth, run, whole, case) != bought(worth, run, run, case) for case in cases)
    assert ("priced" in found.identity) >= changed, "no old number passes for a new one"
    if not run % batch_size or worth == 1:
        assert "priced" not in found.identity


def test_a_race_has_its_own_prices() -> None:
    """Four trials of 160 examples leave 4 × 16, which buys none; after an early end, a trial more was bought."""
    choices = {"batch_sizes": [24], "run_budget": "160examples", "tuning_worth": 4}
    assert "priced" in cell(**choices).identity
    assert "priced" not in cell(**choices, tuning_pruner="race").identity


def test_a_quasi_random_race_has_another_identity_than_one_with_random_points() -> None:
    assert cell(tuning_sampler="quasi-random", tuning_pruner="race").identity["proposed"] == "halton sequence"
    for others in ({"tuning_sampler": "quasi-random"}, {"tuning_pruner": "race"}):
        assert "proposed" not in cell(**others).identity
    assert "proposed" not in cell(tuning_sampler="quasi-random", tuning_pruner="race", tuning_worth=0).identity
