"""What a study knows: every finished trial, in values that Optuna can hold."""

from __future__ import annotations

import math

import optuna
import pytest

from optbench.optimizers.search_space import Choices, Range
from optbench.tuning.rounds import next_round
from optbench.tuning.study import ask_trial, decode, encode, rebuild_study
from optbench.tuning.trial import Trial
from tests.support.passes import PASSES
from tests.support.tiny import TINY
from tests.training.test_stepper import cell_of

PAIRS = ((0.9, 0.999), (0.8, 0.99), (0.5, 0.9))
SEEDED = optuna.samplers.RandomSampler(seed=0)
SPACE = {"betas": Choices(PAIRS), "lr": Range(1e-3, 1.0), "kind": Choices(("a", "b"))}


def trial(number: int, loss: float, status: str = "ok", **hyperparameters: object) -> Trial:
    return Trial(number, hyperparameters, status, 1.0, loss, 3)


def test_values_survive_the_way_to_the_sampler_and_back() -> None:
    values = {"betas": (0.5, 0.9), "lr": 0.1, "kind": "b"}
    assert encode(SPACE, values) == {"betas": 2, "lr": 0.1, "kind": "b"}
    assert decode(SPACE, encode(SPACE, values)) == values


def test_the_sampler_learns_of_trials_with_tuples_and_of_those_that_raised() -> None:
    cell = cell_of(TINY, f"{PASSES}:Pairs")
    trials = [
        trial(0, 0.5, lr=1e-2, betas=(0.9, 0.999)),
        trial(1, math.nan, "error", lr=1e-1, betas=(0.8, 0.99)),
        trial(2, math.nan, "diverged", lr=1e-1, betas=(0.5, 0.9)),
    ]
    study = rebuild_study(cell, trials, cell.optimizer.search, 0)
    assert [known.params["betas"] for known in study.trials] == [0, 1, 2]
    assert [known.value for known in study.trials] == [0.5, 10.0, 10.0], "ten times the loss of the start"


def test_proposals_are_tuples() -> None:
    cell = cell_of(TINY, f"{PASSES}:Pairs", tuning_worth=8, tuning_round=8)
    proposed = {proposal.hyperparameters["betas"] for proposal in next_round(cell, [], 100)}
    assert proposed <= set(PAIRS)
    assert len(proposed) > 1


def test_a_range_near_one_reaches_the_sampler_on_its_scale() -> None:
    space = {"momentum": Range(0.5, 0.999, log=False, complement=True)}
    assert encode(space, {"momentum": 0.5}) == {"momentum": 0.0}
    assert decode(space, encode(space, {"momentum": 0.9})) == pytest.approx({"momentum": 0.9})
    drawn = sorted(
        decode(space, ask_trial(optuna.create_study(sampler=SEEDED), space).params)["momentum"] for _ in "." * 99
    )
    assert 0.96 < drawn[49] < 0.99, "half of the draws are above 0.978, the middle of the scale"
