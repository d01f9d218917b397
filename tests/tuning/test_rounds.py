"""Tuning: the budget adds up, trial 0 is the default, proposals are a pure function of the past."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest

from optbench.budget import THIRDS
from optbench.config.load import configure
from optbench.config.schema import SAMPLERS
from optbench.optimizers.search_space import Range
from optbench.planning.matrix import Cell, make_plan
from optbench.training.record import Point, Training
from optbench.training.seeds import trial_seed
from optbench.tuning.rounds import extend_space, next_round, rounds
from optbench.tuning.trial import Proposal, Trial, best_trial, edge_of

RUN_COST = 1000


def cell_for(optimizer: str = "adam", /, **choices: Any) -> Cell:
    """A cell whose range of rates is 1e-3 to 1e1."""
    choices = {"tuning_worth": 12, "tuning_round": 1, "tuning_pruner": "none", **choices}
    return make_plan(
        configure(problems=["quadratic_valley"], optimizers=[optimizer], batch_sizes=[10], **choices)
    ).cells[0]


def propose(cell: Cell, trials: list[Trial], run_cost: int) -> Proposal | None:
    """The first of the next trials, or None."""
    return next(iter(next_round(cell, trials, run_cost)), None)


def loss_at(lr: float, best: float = 0.05) -> float:
    """A smooth loss over the logarithm of the rate, with its minimum at `best`."""
    return 1.0 + math.log10(lr / best) ** 2


def trial(number: int, lr: float, loss: float | None = None, status: str = "ok", cost: int = RUN_COST) -> Trial:
    loss = loss_at(lr) if loss is None else loss
    return Trial(number, {"lr": lr}, status, 10.0, loss, THIRDS * cost)


def study(cell: Cell, best: float = 0.05, diverges_above: float = math.inf) -> list[Trial]:
    """A whole tuning with a made-up loss; a diverged trial spends 30 % of a run's budget."""
    trials: list[Trial] = []
    while proposals := next_round(cell, trials, RUN_COST):
        for proposal in proposals:
            assert proposal.number == len(trials)
            lr = proposal.hyperparameters["lr"]
            if lr > diverges_above:
                trials.append(trial(proposal.number, lr, math.nan, "diverged", 3 * RUN_COST // 10))
            else:
                trials.append(trial(proposal.number, lr, loss_at(lr, best)))
    return trials


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trials_fill_the_budget_and_never_overspend(sampler: str) -> None:
    cell = cell_for(tuning_sampler=sampler)
    trials = study(cell)
    assert len(trials) == 12
    assert trials[0].hyperparameters == {"lr": 1e-3}
    rates = [t.hyperparameters["lr"] for t in trials[1:]]
    assert len(set(rates)) == 11
    assert all(1e-3 <= lr <= 1e1 for lr in rates)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_what_diverged_trials_did_not_spend_buys_further_ones(sampler: str) -> None:
    trials = study(cell_for(tuning_sampler=sampler), diverges_above=0.03)
    spent = sum(t.thirds for t in trials) / THIRDS
    assert len(trials) > 12
    assert spent <= 12 * RUN_COST < spent + RUN_COST


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_are_a_function_of_cell_and_past_alone(sampler: str) -> None:
    cell = cell_for(tuning_sampler=sampler, tuning_worth=8)
    trials = study(cell, diverges_above=1.0)
    for count in range(1, len(trials)):
        again = propose(cell, trials[:count], RUN_COST)
        assert again is not None
        assert again.hyperparameters == trials[count].hyperparameters
        assert again.seed == trial_seed(0)


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_cells_draw_their_own_points(sampler: str) -> None:
    """The sampler's seed comes from the cell; only the fixed design at the start is common to all."""
    first, second = (study(cell_for(name, tuning_sampler=sampler)) for name in ("adam", "rmsprop"))
    assert first[-1].hyperparameters != second[-1].hyperparameters


def test_the_design_starts_in_the_middle_and_covers_the_range() -> None:
    rates = [t.hyperparameters["lr"] for t in study(cell_for(tuning_sampler="quasi-random"))]
    np.testing.assert_allclose(rates[1:5], [1e-1, 1e-2, 1e0, 10**-2.5], rtol=1e-12)
    assert np.diff(np.sort(np.log10(rates[1:]))).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "sgd"])
def test_a_long_design_passes_over_all_points_at_the_default(optimizer: str) -> None:
    cell = cell_for(optimizer, tuning_sampler="quasi-random", tuning_worth=200, tuning_round=200)
    proposals = next_round(cell, [], RUN_COST)
    assert len(set(rates(proposals))) == len(proposals) == 200
    space, default = cell.optimizer.search["lr"], proposals[0].hyperparameters["lr"]
    if space.contains(default):
        away = [abs(space.position(lr) - space.position(default)) for lr in rates(proposals[1:])]
        assert 0.02 < min(away) < 0.03


@pytest.mark.parametrize("best", [1e-6, 1e4])
def test_the_grid_is_the_declared_one_wherever_the_best_rate_lies(best: float) -> None:
    """Half of it over an extended range would leave gaps, and points that are no part of it."""
    cell = cell_for(tuning_sampler="grid")
    trials = study(cell, best=best)
    shares = [cell.optimizer.search["lr"].position(t.hyperparameters["lr"]) for t in trials[1:]]
    np.testing.assert_allclose(shares, (np.arange(11) + 0.5) / 11)
    assert extend_space(cell, trials, RUN_COST) == cell.optimizer.search


def test_the_grid_is_even_and_ends() -> None:
    rates = np.log10([t.hyperparameters["lr"] for t in study(cell_for(tuning_sampler="grid"))[1:]])
    np.testing.assert_allclose(np.diff(rates), 4 / 11, rtol=1e-9)
    trials = study(cell_for(tuning_sampler="grid"), diverges_above=0.1)
    assert len(trials) == 12  # what diverged trials saved buys no points beyond the grid


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_model_based_samplers_find_the_minimum_more_closely_than_chance(sampler: str) -> None:
    def regret(name: str) -> float:
        found = []
        for best in np.geomspace(5e-3, 2.0, 5):
            trials = study(cell_for(tuning_sampler=name, tuning_worth=16), best=float(best))
            chosen = best_trial(trials)
            assert chosen is not None
            found.append(chosen.loss - 1.0)
        return float(np.mean(found))

    assert regret(sampler) < 0.5 * regret("random")


def test_the_best_trial_is_finite_and_the_earlier_of_equals() -> None:
    trials = [
        trial(0, 1e-3, 5.0), trial(1, 1e-2, 2.0), trial(2, 1e-1, 2.0), trial(3, 1.0, math.nan, "diverged"),
        trial(4, 2.0, 0.1, "skipped"), trial(5, 3.0, -math.inf), trial(6, 4.0, math.nan),
    ]  # fmt: skip
    chosen = best_trial(trials)
    assert chosen is not None
    assert chosen.number == 1
    assert best_trial(trials[3:]) is None


def test_samplers_see_a_finite_score_worse_than_any_other_for_what_diverged() -> None:
    assert trial(0, 1.0, math.nan, "diverged").value == 100.0
    assert trial(0, 1.0, 1e300).value == 100.0
    assert trial(0, 1.0, 3.0).value == 3.0
    unknown = Trial(0, {"lr": 1.0}, "diverged", math.nan, math.nan, 0)
    assert math.isfinite(unknown.value)


@pytest.mark.parametrize(("best", "edge"), [(1e-4, "low"), (1e3, "high"), (0.05, "")])
def test_a_best_value_at_an_edge_extends_the_range_within_the_budget(best: float, edge: str) -> None:
    cell = cell_for()
    trials = study(cell, best=best)
    declared, searched = cell.optimizer.search["lr"], extend_space(cell, trials, RUN_COST)["lr"]
    assert sum(t.thirds for t in trials) <= 12 * RUN_COST * THIRDS
    assert edge_of(cell.optimizer.search, best_trial(trials)) == edge
    assert (searched.low < declared.low) == (edge == "low")
    assert (searched.high > declared.high) == (edge == "high")
    tried = [t.hyperparameters["lr"] for t in trials]
    if edge == "high":
        assert max(tried) > declared.high
        assert searched.high <= declared.high * 1e3 * (1 + 1e-12)


def test_the_edge_is_five_percent_of_the_width() -> None:
    space = {"lr": Range(1e-3, 1e1)}
    for lr, edge in (
        (10**-2.81, "low"),
        (10**-2.79, ""),
        (10**0.79, ""),
        (10**0.81, "high"),
        (1e-5, "low"),
        (50.0, "high"),
    ):
        assert edge_of(space, trial(1, lr)) == edge
    assert edge_of(space, None) == ""


def test_an_untunable_cell_is_not_tuned() -> None:
    for fixed in ("adam[lr=0.1]", "sgd[lr=0.01]"):
        assert not cell_for(fixed).tuned
    assert not cell_for(tuning_worth=0).tuned


def test_a_default_outside_of_the_range_still_competes() -> None:
    cell = cell_for("sgd")  # the range follows the curvature 100: up to 0.04
    trials = [trial(0, 5.0, 0.001)]
    for _ in range(4):
        proposal = propose(cell, trials, RUN_COST)
        assert proposal is not None
        trials.append(trial(proposal.number, proposal.hyperparameters["lr"], 1.0))
    chosen = best_trial(trials)
    assert chosen is not None
    assert chosen.number == 0


@pytest.mark.parametrize("pruner", ["median", "successive-halving"])
def test_pruners_stop_bad_trials_and_spare_good_ones(pruner: str) -> None:
    cell = cell_for(tuning_pruner=pruner, evaluations=8, tuning_sampler="random")

    def observed(proposal: Any, level: float) -> tuple[str, int]:
        record, observe = Training({}, 0), proposal.observer()
        for index in range(1, 8):
            record.points.append(Point(index, index, 0.0, level, level, level, 1))
            if reason := observe(record):
                return reason, index
        return "", 8

    trials = [trial(0, 1e-3, 2.0)]
    reports = dict.fromkeys(range(1, 8), 2.0)
    trials = [Trial(n, {"lr": 1e-2 * (n + 1)}, "ok", 10.0, 2.0, THIRDS * RUN_COST, reports) for n in range(4)]
    proposal = propose(cell, trials, RUN_COST)
    reason, index = observed(proposal, 9.0)
    assert pruner in reason
    assert index < 7
    assert observed(propose(cell, trials, RUN_COST), 1.0) == ("", 8)


def test_a_problem_that_is_not_finite_at_its_start_is_tried_once() -> None:
    """Such a trial costs nothing, so a budget alone would never end the tuning."""
    trials = [trial(0, 1e-3, math.nan, "diverged", cost=0)]
    assert propose(cell_for(), trials, RUN_COST) is None


@pytest.mark.parametrize(("name", "scale", "low"), [("lr", "linear", 1e-3), ("momentum", "linear", 0.5)])
def test_only_a_logarithmic_rate_grows_its_range(name: str, scale: str, low: float) -> None:
    """Beyond a linear range lie rates below zero, and beyond a momentum's lie momenta above one."""
    table = {"base": "momentum", "search": {name: {"low": low, "high": 0.99, "scale": scale}}}
    config = configure(problems=["quadratic_valley"], optimizers=["mine"], optimizer={"mine": table}, tuning_worth=12)
    cell = make_plan(config).cells[0]
    edge = {"lr": 0.01, "momentum": 0.9, name: 0.99}
    trials = [Trial(n, dict(edge), "ok", 10.0, 1.0, THIRDS * RUN_COST) for n in range(8)]
    assert extend_space(cell, trials, RUN_COST)[name] == cell.optimizer.search[name]


def test_one_trial_that_is_not_finite_at_its_start_ends_nothing() -> None:
    """A start that is drawn may be finite for other seeds."""
    cell = cell_for(tuning_round=2)
    trials = [trial(0, 1e-3), trial(1, 1e-2, math.nan, "diverged", cost=0)]
    assert len(next_round(cell, trials, RUN_COST)) == 2
    trials += [trial(2, 1e-3), trial(3, 1e-2)]
    assert len(next_round(cell, trials, RUN_COST)) == 2
    trials += [trial(n, 1e-3, math.nan, "diverged", cost=0) for n in (4, 5)]
    assert next_round(cell, trials[:5], RUN_COST)[0].number == 5  # the round is not over
    assert next_round(cell, trials, RUN_COST) == []


def rates(proposals: list[Proposal]) -> list[float]:
    return [proposal.hyperparameters["lr"] for proposal in proposals]


def test_rounds_are_four_unless_chosen() -> None:
    assert [cell_for(tuning_worth=worth, tuning_round=None).round for worth in (1, 4, 10, 20, 64)] == [2, 2, 3, 5, 16]
    assert cell_for(tuning_worth=64, tuning_round=64).round == 64
    assert cell_for(tuning_round=3).id != cell_for(tuning_round=4).id


@pytest.mark.parametrize(("sampler", "size"), [*((sampler, 5) for sampler in SAMPLERS), ("tpe", 3), ("tpe", 12)])
def test_a_round_is_proposed_from_the_rounds_before_alone(sampler: str, size: int) -> None:
    """However far the present round is: results of its own trials, good or bad, change none of its rates."""
    cell = cell_for(tuning_sampler=sampler, tuning_round=size)
    trials: list[Trial] = []
    while whole := next_round(cell, trials, RUN_COST):
        assert len(whole) == min(size, 12 - len(trials))
        assert len(set(rates(whole))) == len(whole)
        slow = sampler == "gp"
        for loss in (50.0,) if slow else (1e-9, 50.0):
            done = [trial(p.number, p.hyperparameters["lr"], loss) for p in whole]
            for count in range(1, min(2, len(whole)) if slow else len(whole)):
                rest = next_round(cell, [*trials, *done[:count]], RUN_COST)
                assert rates(rest) == rates(whole[count:])
                assert {p.seed for p in rest} == {trial_seed(0)}
        trials += [trial(p.number, p.hyperparameters["lr"]) for p in whole]
    assert len(trials) == 12


def test_later_rounds_learn_from_the_earlier_ones() -> None:
    """The rates of later rounds lie nearer to the minimum than independent ones do."""

    def distance(sampler: str) -> float:
        found = []
        for best in np.geomspace(5e-3, 2.0, 9):
            trials = study(cell_for(tuning_sampler=sampler, tuning_worth=24, tuning_round=6), best=float(best))
            away = np.abs(np.log10([t.hyperparameters["lr"] / best for t in trials[12:]]))
            found.append(np.median(away))
        return float(np.mean(found))

    assert distance("tpe") < 0.7 * distance("random")


def test_what_a_round_did_not_spend_buys_trials_of_later_rounds() -> None:
    cell = cell_for(tuning_worth=6, tuning_round=3)
    trials = [trial(n, 1e-2, math.nan, "diverged", RUN_COST // 10) for n in range(3)]
    trials += [trial(3 + n, 1e-3) for n in range(3)]
    assert list(rounds(cell, trials, RUN_COST)) == [(0, 3), (3, 3), (6, 2)]
    trials += [trial(6 + n, 1e-3) for n in range(2)]
    assert list(rounds(cell, trials, RUN_COST))[-1] == (8, 0)
    assert next_round(cell, trials, RUN_COST) == []


@pytest.mark.parametrize("pruner", ["median", "successive-halving"])
def test_pruning_within_a_round_does_not_depend_on_its_own_trials(pruner: str) -> None:
    """So it prunes the same whether the trials of a round run one after another or at once."""
    cell = cell_for(tuning_pruner=pruner, evaluations=8, tuning_round=4)
    reports = dict.fromkeys(range(1, 8), 2.0)
    trials = [Trial(n, {"lr": 1e-2 * (n + 1)}, "ok", 10.0, 2.0, THIRDS * RUN_COST, reports) for n in range(4)]

    def stopped_at(proposal: Proposal, level: float) -> int:
        assert proposal.observer is not None
        record, observe = Training({}, 0), proposal.observer()
        for index in range(1, 8):
            record.points.append(Point(index, index, 0.0, level, level, level, 1))
            if observe(record):
                return index
        return 8

    first, *others = next_round(cell, trials, RUN_COST)
    alone = [stopped_at(proposal, 3.0) for proposal in next_round(cell, trials, RUN_COST)[1:]]
    assert stopped_at(first, 0.1) == 8
    assert [stopped_at(proposal, 3.0) for proposal in others] == alone
    assert max(alone) < 8


def test_successive_halving_learns_of_each_trial_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once more in each later round: studies are made for rounds and pruned trials, one each."""
    cell = cell_for(tuning_pruner="successive-halving", evaluations=8, tuning_worth=40, tuning_sampler="random")
    made, create = 0, optuna.create_study

    def counting(**settings: Any) -> optuna.Study:
        nonlocal made
        made += 1
        return create(**settings)

    monkeypatch.setattr(optuna, "create_study", counting)
    trials: list[Trial] = []
    while proposals := next_round(cell, trials, RUN_COST):
        for p in proposals:
            if p.observer:
                p.observer()
            reports = {index: loss_at(p.hyperparameters["lr"]) + p.number / 1e3 for index in range(1, 9)}
            trials.append(Trial(p.number, p.hyperparameters, "ok", 10.0, reports[8], THIRDS * RUN_COST, reports))
    assert len(trials) == 40
    assert made <= 3 * 40


@pytest.mark.parametrize(("sampler", "scale"), [*((sampler, "log") for sampler in SAMPLERS), ("tpe", "linear")])
def test_hyperparameters_that_count_are_searched_in_whole_numbers(sampler: str, scale: str) -> None:
    table = {"base": "lbfgs", "search": {"history_size": {"low": 2, "high": 50, "scale": scale}}}
    config = configure(
        problems=["quadratic_valley"], optimizers=["mine"], optimizer={"mine": table}, tuning_worth=12,
        tuning_sampler=sampler,
    )  # fmt: skip
    cell, trials = make_plan(config).cells[0], []
    while proposals := next_round(cell, trials, RUN_COST):
        for p in proposals:
            size = p.hyperparameters["history_size"]
            assert isinstance(size, int)
            assert 2 <= size <= 50
            trials.append(Trial(p.number, p.hyperparameters, "ok", 10.0, abs(size - 20.0), THIRDS * RUN_COST))
    assert len({t.hyperparameters["history_size"] for t in trials}) > 2


def regret_of_design(size: int, worth: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Mean excess of the chosen trial's loss over the lowest, on parabolas with a cliff above the best rate."""
    from optbench.tuning import design
    from optbench.tuning import rounds as tune

    for module in (design, tune):
        monkeypatch.setattr(module, "design_size", lambda cell: size)
    cells = [cell_for(name, tuning_worth=worth, tuning_round=2) for name in ("adam", "adagrad", "rmsprop", "adamax")]
    random = np.random.default_rng(0)
    found = []
    for cell in cells * 8:
        best, cliff = 10 ** random.uniform(-1.8, 0.4), random.uniform(0.5, 1.2)
        trials: list[Trial] = []
        while proposals := next_round(cell, trials, RUN_COST):
            for p in proposals:
                away = math.log10(p.hyperparameters["lr"] / best)
                loss = 2.3 if away > cliff else 0.12 * (away if away < 0 else 1.5 * away / cliff) ** 2
                trials.append(trial(p.number, p.hyperparameters["lr"], loss + 0.003 * random.normal()))
        chosen = best_trial(trials)
        assert chosen is not None
        found.append(chosen.loss)
    return float(np.mean(found))


@pytest.mark.parametrize("worth", [6, 10])
def test_few_trials_are_better_spent_on_the_design_than_on_tpe(worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert regret_of_design(worth - 1, worth, monkeypatch) < 0.8 * regret_of_design(3, worth, monkeypatch)


CONDITIONAL = {
    "base": "adam",
    "search": {
        "lr": {"low": 1e-4, "high": 1e-1},
        "lr_schedule": ["constant", "cosine", "linear"],
        "lr_warmup": {"low": 0.0, "high": 0.2, "scale": "linear", "when": {"lr_schedule": ["cosine", "linear"]}},
    },
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_has_no_meaning_is_not_tried(sampler: str) -> None:
    """Warm-up belongs to two of the schedules: with the third there is none, and the sampler learns from all."""
    cell = cell_for("mine", optimizer={"mine": CONDITIONAL}, tuning_sampler=sampler, tuning_worth=24)
    assert cell.optimizer.defaults == {"lr": 1e-3, "lr_schedule": "constant"}
    trials: list[Trial] = []
    while proposals := next_round(cell, trials, RUN_COST):
        for proposal in proposals:
            values = proposal.hyperparameters
            assert ("lr_warmup" in values) == (values["lr_schedule"] != "constant")
            loss = loss_at(values["lr"]) + (values["lr_schedule"] != "cosine") + abs(values.get("lr_warmup", 0) - 0.1)
            trials.append(Trial(proposal.number, values, "ok", 10.0, loss, THIRDS * RUN_COST))
    assert {t.hyperparameters["lr_schedule"] for t in trials} == {"constant", "cosine", "linear"}
    tried = [tuple(sorted(t.hyperparameters.items())) for t in trials]
    assert len(set(tried)) == len(tried)
    # Of the grid's 2·3·2 points, those without a warm-up are one for each rate; then there is the default.
    assert len(trials) == (1 + 2 * (1 + 2 * 2) if sampler == "grid" else 24)
    best = best_trial(trials)
    assert best is not None
    assert best.hyperparameters["lr_schedule"] == "cosine"


def test_a_tuning_with_conditions_goes_on_as_it_would_have() -> None:
    cell = cell_for("mine", optimizer={"mine": CONDITIONAL}, tuning_worth=24, tuning_round=6)
    trials: list[Trial] = []
    for _ in range(4):
        trials += [
            Trial(p.number, p.hyperparameters, "ok", 10.0, loss_at(p.hyperparameters["lr"]), THIRDS * RUN_COST)
            for p in next_round(cell, trials, RUN_COST)
        ]
    start = 18
    whole = [p.hyperparameters for p in next_round(cell, trials[:start], RUN_COST)]
    part = [p.hyperparameters for p in next_round(cell, trials[: start + 2], RUN_COST)]
    assert part == whole[2:]


def test_what_dear_steps_leave_of_a_run_buys_no_trials() -> None:
    """A line search whose last step no longer fits leaves a tenth of each run."""
    cell = cell_for(tuning_worth=12)
    trials = [trial(number, 0.01 * (number + 1), cost=900) for number in range(12)]
    assert next_round(cell, trials, RUN_COST) == []
