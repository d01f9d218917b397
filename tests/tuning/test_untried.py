"""No point of a search space is tried twice, whatever the sampler, and 0 is tried beside a logarithmic range."""

from __future__ import annotations

import logging
import logging.handlers
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import optbench
from optbench.budget import THIRDS
from optbench.config.load import configure
from optbench.config.schema import SAMPLERS
from optbench.optimizers.points import is_finite, point_of
from optbench.planning.matrix import Cell, make_plan
from optbench.tuning.race import next_stage
from optbench.tuning.rounds import describe_exhaustion, next_round
from optbench.tuning.study import ask_trial, decode, rebuild_study
from optbench.tuning.trial import Trial
from tests.support.tiny import TINY

RUN_COST = 1000

FOUR = {"eps": [1e-8, 1e-4], "amsgrad": [False, True]}
SPACES: dict[str, tuple[dict[str, Any], int]] = {
    "one_list": ({"momentum": [0.8, 0.85, 0.9]}, 3),
    "two_lists": (FOUR, 4),
    "counts": ({"history_size": {"low": 2, "high": 6, "scale": "linear"}}, 5),
    "mixed": ({"history_size": {"low": 2, "high": 4}, "line_search_fn": ["none", "strong_wolfe"]}, 6),
    "condition": ({**FOUR, "weight_decay": {"values": [0.0, 0.1, 0.2], "when": {"amsgrad": False}}}, 8),
    "point_and_range": (
        {"amsgrad": [True, False], "weight_decay": {"low": 0.1, "high": 0.5, "when": {"amsgrad": False}}},
        0,
    ),
    "zero_and_range": ({"weight_decay": {"low": 1e-4, "high": 1.0, "zero": True}}, 0),
}
ARGUMENTS = {"lr": 0.1}


def cell_of(space: str, sampler: str = "tpe", **choices: Any) -> Cell:
    search, _ = SPACES[space]
    name = "lbfgs" if "history_size" in search else "momentum" if "momentum" in search else "adam"
    base = {"base": name, "arguments": ARGUMENTS, "search": search}
    choices = {"tuning_worth": 20, "tuning_sampler": sampler, "tuning_pruner": "none", **choices}
    [cell] = make_plan(
        configure(problems=[TINY], optimizers=["mine"], optimizer={"mine": base}, **{"batch_sizes": [10], **choices})
    ).cells
    return cell


def finish(proposal: Any) -> Trial:
    """A made-up trial whose loss favours small values, so that samplers come back to them."""
    numbers = [float(value) for value in proposal.hyperparameters.values() if isinstance(value, (int, float))]
    return Trial(proposal.number, proposal.hyperparameters, "ok", 10.0, 1.0 + sum(numbers), THIRDS * RUN_COST)


def tune(cell: Cell) -> list[Trial]:
    trials: list[Trial] = []
    while proposals := next_round(cell, trials, RUN_COST):
        trials += map(finish, proposals)
    return trials


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("space", SPACES)
def test_each_point_is_tried_once(space: str, sampler: str) -> None:
    cell, (_, count) = cell_of(space, sampler), SPACES[space]
    trials = tune(cell)
    points = [point_of(cell.optimizer.search, trial.hyperparameters) for trial in trials]
    assert len(set(points)) == len(points)
    assert is_finite(cell.optimizer.search) == bool(count)
    remark = describe_exhaustion(cell, trials, RUN_COST)
    inside = [
        trial
        for trial, point in zip(trials, points, strict=True)
        if all(cell.optimizer.search[name].contains(value) for name, value in point)
    ]
    if count:
        assert len(inside) == count, "the default may be a point in addition"
        assert f"has {count} points" in remark
        assert f"after {len(trials)} trials, although its budget is worth 20" in remark
    else:
        assert sampler == "grid" or len(trials) == 20
        assert remark == ""


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
@pytest.mark.parametrize("space", ["condition", "zero_and_range"])
def test_an_interrupted_tuning_proposes_the_same(space: str, sampler: str) -> None:
    cell = cell_of(space, sampler, tuning_round=3)
    trials = tune(cell)
    for count in range(1, len(trials)):
        for proposal, trial in zip(next_round(cell, trials[:count], RUN_COST), trials[count:], strict=False):
            assert proposal.hyperparameters == trial.hyperparameters


def race(cell: Cell) -> list[Trial]:
    """The parts of a made-up race, whose steps compute one gradient each."""
    parts: list[Trial] = []
    while proposals := next_stage(cell, parts, RUN_COST):
        for proposal in proposals:
            steps = math.ceil((proposal.until or cell.evaluations) * RUN_COST / (cell.evaluations * cell.batch_size))
            thirds = THIRDS * cell.batch_size * min(steps, RUN_COST // cell.batch_size)
            status = "ok" if proposal.until == cell.evaluations else "paused"
            parts.append(replace(finish(proposal), status=status, thirds=thirds, until=proposal.until))
    return parts


@pytest.mark.parametrize("batch_size", [10, 150])
@pytest.mark.parametrize(("worth", "ends_early"), [(4, True), (5.5, True), (6, False), (9, False), (20, False)])
def test_from_worth_6_on_a_race_spends_on_further_seeds_what_its_points_leave(
    worth: float, ends_early: bool, batch_size: int
) -> None:
    """A batch of 150 leaves a tenth of every run, which is no budget that could have been spent."""
    cell = cell_of("one_list", tuning_worth=worth, tuning_pruner="race", batch_sizes=[batch_size])
    parts = race(cell)
    trials = list({part.number: part for part in parts}.values())
    points = {point_of(cell.optimizer.search, trial.hyperparameters) for trial in trials}
    assert len(points) == 3
    assert (len(trials) > 3) == (not ends_early)
    remark = describe_exhaustion(cell, trials, RUN_COST)
    assert ("has 3 points" in remark) == bool(remark) == ends_early


def test_a_budget_that_ends_first_is_no_remark() -> None:
    cell = cell_of("mixed", tuning_worth=4)
    trials = tune(cell)
    assert len(trials) == 4
    assert describe_exhaustion(cell, trials, RUN_COST) == ""
    whole = cell_of("one_list", tuning_worth=len(tune(cell_of("one_list"))))
    assert describe_exhaustion(whole, tune(whole), RUN_COST) == ""


def test_a_gaussian_process_proposes_conditional_values_without_a_warning() -> None:
    """The plan has a note; Optuna would repeat its warning at each proposal."""
    cell = cell_of("point_and_range", "gp", tuning_worth=8)
    trials = [
        Trial(0, {"amsgrad": False, "weight_decay": 0.1}, "ok", 10.0, 1.0, THIRDS * RUN_COST),
        Trial(1, {"amsgrad": True}, "ok", 10.0, 2.0, THIRDS * RUN_COST),
        Trial(2, {"amsgrad": False, "weight_decay": 0.3}, "ok", 10.0, 0.5, THIRDS * RUN_COST),
    ]
    space, written = cell.optimizer.search, logging.handlers.BufferingHandler(1000)
    optuna_logger = logging.getLogger("optuna")
    optuna_logger.addHandler(written)
    try:
        proposed = [decode(space, ask_trial(rebuild_study(cell, trials, space, n), space).params) for n in range(4)]
        optuna_logger.warning("another one")
    finally:
        optuna_logger.removeHandler(written)
    assert any("weight_decay" in values for values in proposed)
    assert [record.getMessage() for record in written.buffer] == ["another one"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_zero_is_tried_beside_a_range_in_every_sampler(sampler: str) -> None:
    table = {"base": "adam", "search": {"weight_decay": {"low": 1e-4, "high": 1.0, "zero": True}}}
    table["arguments"] = {"weight_decay": 0.5}  # trial 0 does not try 0
    [cell] = make_plan(
        configure(
            problems=[TINY], optimizers=["mine"], optimizer={"mine": table}, batch_sizes=[10], tuning_worth=17,
            tuning_sampler=sampler, tuning_pruner="none",
        )
    ).cells  # fmt: skip
    decays = [trial.hyperparameters["weight_decay"] for trial in tune(cell)]
    assert 0 in decays[1:]
    assert all(value == 0 or 1e-4 <= value <= 1 for value in decays)
    assert sum(value > 0 for value in decays) > sum(value == 0 for value in decays)


def test_only_cells_whose_points_repeat_have_another_identity() -> None:
    assert cell_of("two_lists").identity["tried"] == "each point once"
    assert "tried" not in cell_of("two_lists", tuning_worth=0).identity
    [rate] = make_plan(configure(problems=[TINY], optimizers=["adamw"], batch_sizes=[10])).cells
    assert "tried" not in rate.identity


FILE = """
import torch, optbench

@optbench.optimizer(lr=False, search={"nesterov": [False, True]})
class Two(torch.optim.SGD):
    def __init__(self, params, lr=0.05, nesterov=False):
        super().__init__(params, lr=lr, momentum=0.9, nesterov=nesterov)
"""


@pytest.mark.parametrize("pruner", ["race", "none"])
def test_a_run_says_that_tuning_ended_early(pruner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.py").write_text(FILE)
    found = optbench.run(
        problems=[TINY], optimizers=["two.py:Two"], batch_sizes=[10], seeds=2, tuning_worth=5, engine="serial",
        outputs=False, name="two", tuning_pruner=pruner,
    )  # fmt: skip
    assert len(found.trials) == 2
    [cell] = found.cells.itertuples()
    assert cell.tuning_cost < cell.tuning_budget
    errors = set(found.runs.query("tuned")["error"])
    assert errors == {"the search space has 2 points, and tuning tried each of them once: it ended after 2 trials, "
                      "although its budget is worth 5"}  # fmt: skip
