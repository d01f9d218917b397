"""The race: what it tries, that it never exceeds its budget, and that it continues after any interruption."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from optbench.training.seeds import trial_seed
from optbench.tuning.axis import between
from optbench.tuning.race import Race, next_stage
from optbench.tuning.searched import find_edge, searched_space
from optbench.tuning.trial import Proposal, Trial, best_trial
from tests.support.truth import Truth, rates_of, recorded_cells, truths

EVALUATIONS, RUN_COST = 8, 3600
RECORDED = Path(__file__).with_name("recorded.npz")
Loss = Callable[[dict[str, Any], float], float]


def cell_of(optimizer: str = "adam", batch_size: int = 20, **tuning: Any) -> Cell:
    config = configure(
        problems=["mlp[data=digits]"],
        optimizers=[optimizer],
        batch_sizes=[batch_size],
        devices=["cpu"],
        evaluations=EVALUATIONS,
        run_budget=f"{RUN_COST}examples",
        tuning={"worth": 4, "pruner": "race", **tuning},
        optimizer=TABLES,
    )
    [cell] = make_plan(config).cells
    return cell


TABLES = {
    "two": {"base": "adam", "search": {"eps": {"low": 1e-10, "high": 1e-4}}},
    "names": {
        "base": "adam",
        "arguments": {"lr": 0.001},
        "search": {"amsgrad": {"values": [True, False]}, "weight_decay": {"values": [0.0, 0.1, 0.2]}},
    },
}


def valley(values: dict[str, Any], share: float, best: float = 0.004) -> float:
    """A parabola around the best rate with a cliff above it; the optimum of a short part of a run is higher."""
    distance = math.log10(values["lr"] / best) - 0.3 * (1 - share)
    return math.nan if distance > 1.2 else 0.1 + (1 - share) + distance**2


def train(cell: Cell, proposal: Proposal, loss: Loss, gradients: int = 1) -> Trial:
    """A trial whose steps compute a number of gradients, and whose loss is a function of its values and progress."""
    size = cell.batch_size * gradients
    until = proposal.until or EVALUATIONS
    steps = math.ceil(until * RUN_COST / (EVALUATIONS * size))
    limit = 3 * RUN_COST if proposal.limit is None else proposal.limit
    fits = until == EVALUATIONS or 3 * size * steps <= limit
    # A step that does not fit in costs what it took until then.
    thirds = 3 * size * steps if 3 * size * steps <= limit else limit - limit % (3 * cell.batch_size)
    value = loss(proposal.hyperparameters, until / EVALUATIONS)
    status = "diverged" if math.isnan(value) else "ok" if until == EVALUATIONS else "paused" if fits else "skipped"
    reports = {until: value} if status != "diverged" else {}
    return Trial(proposal.number, proposal.hyperparameters, status, 2.3, value, thirds, reports, until)


def tune(cell: Cell, loss: Loss = valley, gradients: int = 1) -> list[Trial]:
    parts: list[Trial] = []
    while proposals := next_stage(cell, parts, RUN_COST):
        parts += [train(cell, proposal, loss, gradients) for proposal in proposals]
    return parts


def latest(parts: list[Trial]) -> list[Trial]:
    return list({part.number: part for part in parts}.values())


def test_at_worth_4_the_whole_range_is_covered_by_two_rates_per_decade_and_the_default() -> None:
    cell = cell_of()
    first = next_stage(cell, [], RUN_COST)
    rates = sorted(proposal.hyperparameters["lr"] for proposal in first)
    low, high = cell.optimizer.search["lr"].bounds
    assert first[0].hyperparameters == {"lr": 0.001}
    assert rates[0] == pytest.approx(low)
    assert rates[-1] == pytest.approx(high)
    assert np.diff(np.log10(rates)).max() <= 0.5 + 1e-9
    assert {(proposal.until, proposal.seed) for proposal in first} == {(1, first[0].seed)}


@pytest.mark.parametrize("best", [1e-4, 1e-3, 4e-3, 2e-2])
def test_it_ends_near_the_best_rate_which_is_bracketed(best: float) -> None:
    cell = cell_of()
    trials = latest(tune(cell, lambda values, share: valley(values, share, best)))
    chosen = best_trial(trials)
    assert chosen is not None
    assert abs(math.log10(chosen.hyperparameters["lr"] / best)) <= 0.3
    assert find_edge(cell, trials) == ""


@pytest.mark.parametrize(("best", "edge"), [(1e-6, "low"), (10.0, "high")])
def test_beyond_the_range_it_is_extended_and_an_edge_is_said(best: float, edge: str) -> None:
    cell = cell_of()
    trials = latest(tune(cell, lambda values, share: valley(values, 1.0, best) - share))
    low, high = searched_space(cell, trials)["lr"].bounds
    assert (low < 1e-5) if edge == "low" else (high > 0.1)
    assert find_edge(cell, trials) == edge


@pytest.mark.parametrize("worth", [1, 1.5, 2, 3, 4, 6, 7, 10, 20])
@pytest.mark.parametrize(
    ("batch_size", "gradients"), [(20, 1), (20, 7), (20, 25), (100, 1), (100, 3), (100, 10), (500, 1), (1200, 1)]
)
def test_no_budget_is_exceeded_and_little_is_left(worth: float, batch_size: int, gradients: int) -> None:
    """Steps of 25 gradients are those of a line search; with a batch of 1200, a run has three steps."""
    cell = cell_of("lbfgs" if gradients > 1 else "adam", batch_size=batch_size, worth=worth)
    trials = latest(tune(cell, lambda values, share: values["lr"] - share, gradients))
    whole = RUN_COST - RUN_COST % batch_size
    spent = sum(trial.thirds for trial in trials) / 3
    assert spent <= worth * (RUN_COST if gradients > 1 else whole)
    assert all(trial.thirds <= 3 * RUN_COST for trial in trials)
    assert any(trial.status == "ok" for trial in trials)
    if gradients == 1 and batch_size <= 100:
        assert spent >= min(0.95 * worth, worth - 1 / 8) * whole


@pytest.mark.parametrize(
    ("optimizer", "tuning"),
    [("adam", {}), ("two", {}), ("names", {"worth": 6}), ("adam", {"sampler": "random"}), ("adam", {"sampler": "gp"}),
     ("adam", {"sampler": "grid"}), ("adam", {"sampler": "quasi-random"})],
)  # fmt: skip
def test_an_interrupted_stage_is_proposed_again(optimizer: str, tuning: dict[str, Any]) -> None:
    """After every single part, with nothing but the parts: the rest of the stage, and then the same stages."""
    cell = cell_of(optimizer, **tuning)
    whole = tune(cell, lambda values, share: valley(values, share) if "lr" in values else 1.0)
    again: list[Trial] = []
    while proposals := next_stage(cell, again, RUN_COST):
        again.append(train(cell, proposals[0], lambda values, share: valley(values, share)))
    assert again == whole


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_in_several_dimensions_new_points_follow_the_paused_trials(sampler: str) -> None:
    """No trial is complete when the first new points are proposed."""
    cell = cell_of("two", sampler=sampler, worth=16)
    first = [train(cell, one, lambda values, share: valley(values, 1.0)) for one in next_stage(cell, [], RUN_COST)]
    assert {trial.status for trial in first} <= {"paused", "diverged"}
    new = [one for one in next_stage(cell, first, RUN_COST) if one.number >= len(first)]
    distances = [abs(math.log10(one.hyperparameters["lr"] / 0.004)) for one in new]
    assert len(new) >= 4
    assert np.median(distances) < 0.5


@pytest.mark.parametrize(("worth", "repeated"), [(4, 0), (6, 2)])
def test_no_point_is_trained_twice_on_one_seed(worth: int, repeated: int) -> None:
    """A space of six points: each is one trial, and the best ones are trained to the end, from worth 6 on twice."""
    cell = cell_of("names", worth=worth)
    parts, seeds = [], {}
    while proposals := next_stage(cell, parts, RUN_COST):
        seeds |= {proposal.number: proposal.seed for proposal in proposals}
        parts += [train(cell, proposal, lambda values, share: 1 + values["weight_decay"] - share)
                  for proposal in proposals]  # fmt: skip
    trials = latest(parts)
    points = [(seeds[trial.number], *sorted(trial.hyperparameters.items())) for trial in trials]
    assert len(points) == len(set(points)) == 6 + repeated
    assert len({point[1:] for point in points}) == 6
    best = best_trial(trials)
    assert best is not None
    assert best.hyperparameters["weight_decay"] == 0.0


@pytest.mark.parametrize("worth", [1, 2, 4, 5.9, 6, 7, 10])
@pytest.mark.parametrize("run_cost", [100, 400, 1000])
@pytest.mark.parametrize("most", [4, 25])
def test_line_searches_of_any_length_stay_within_the_budget_and_one_trial_ends(
    worth: float, run_cost: int, most: int
) -> None:
    """Each step computes 1 to `most` gradients; one that exceeds the limit is charged up to there, and the last one."""
    cell = replace(cell_of("lbfgs", batch_size=20, worth=worth), batch_size=10)
    race, random = Race(cell, run_cost), np.random.default_rng(run_cost)
    parts: list[Trial] = []
    while proposals := race.propose(parts):
        for proposal in proposals:
            until, limit = proposal.until or EVALUATIONS, (3 * run_cost if proposal.limit is None else proposal.limit)
            thirds = next((part.thirds for part in parts[::-1] if part.number == proposal.number), 0)
            undone = False
            while thirds * EVALUATIONS < until * 3 * run_cost and not undone:
                step = 30 * int(random.integers(1, most + 1))
                undone = thirds + step > limit
                thirds = limit - limit % 30 if undone else thirds + step
            status = "ok" if until == EVALUATIONS else "skipped" if undone else "paused"
            value = valley(proposal.hyperparameters, until / EVALUATIONS, 1.0)
            parts.append(Trial(proposal.number, proposal.hyperparameters, status, 2.3, value, thirds, {}, until))
    trials = latest(parts)
    assert sum(trial.thirds for trial in trials) <= 3 * worth * run_cost
    assert any(trial.status == "ok" for trial in trials)


@pytest.mark.parametrize("optimizer", ["adam", "two"])
@pytest.mark.parametrize("study", [0, 1])
def test_a_quasi_random_race_tries_the_halton_sequence_throughout(optimizer: str, study: int) -> None:
    cell = cell_of(optimizer, sampler="quasi-random", worth=12)
    parts: list[Trial] = []
    while proposals := next_stage(cell, parts, RUN_COST, study):
        parts += [train(cell, proposal, lambda values, share: values["lr"] + 1 - share) for proposal in proposals]
    space, places = cell.optimizer.search, {}
    for trial in latest(parts)[1:]:  # the first one is the default
        place = tuple(space[name].position(trial.hyperparameters[name]) for name in sorted(space))
        places.setdefault(tuple(round(share, 9) for share in place))
    covered = sum(part.number > 0 for part in parts[: next(i for i, p in enumerate(parts) if p.until > 1)])
    sequence = qmc.Halton(len(space), scramble=False).random(len(places) + 2)[1:]
    default = [space[name].position(cell.optimizer.defaults[name]) for name in sorted(space)]
    expected = [point for point in sequence if np.abs(point - default).max() > 0.02]
    assert len(places) > covered + 3, "later stages try new points"
    np.testing.assert_allclose([*places], expected[: len(places)], atol=1e-8)


def test_a_quasi_random_race_of_a_finite_space_tries_each_point() -> None:
    cell = cell_of("names", sampler="quasi-random", worth=5.9)
    parts: list[Trial] = []
    while proposals := next_stage(cell, parts, RUN_COST):
        parts += [train(cell, proposal, lambda values, share: 1 - share) for proposal in proposals]
    points = {tuple(sorted(trial.hyperparameters.items())) for trial in latest(parts)}
    assert len(points) == len(latest(parts)) == 6


@pytest.mark.parametrize("optimizer", ["adam", "two", "names"])
@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "quasi-random"])
@pytest.mark.parametrize(("worth", "batch_size", "noise"), [(1.5, 500, 0.0), (4, 100, 1.0), (7, 1200, 0.0)])
def test_every_race_pays_for_different_trainings_within_its_budget(
    optimizer: str, sampler: str, worth: float, batch_size: int, noise: float
) -> None:
    cell = cell_of(optimizer, batch_size, sampler=sampler, worth=worth)
    race, random = Race(cell, RUN_COST), np.random.default_rng(0)
    parts: list[Trial] = []
    seeds: dict[int, int] = {}
    while proposals := race.propose(parts):
        assert proposals == next_stage(cell, parts, RUN_COST)
        seeds |= {proposal.number: proposal.seed for proposal in proposals}
        parts += [
            train(cell, proposal, lambda values, share: values.get("lr", 1.0) + noise * random.random() - share)
            for proposal in proposals
        ]
    trials = latest(parts)
    assert len({(seeds[t.number], *sorted(t.hyperparameters.items())) for t in trials}) == len(trials)
    assert any(trial.status == "ok" for trial in trials)
    assert sum(trial.thirds for trial in trials) <= 3 * worth * (RUN_COST - RUN_COST % batch_size)


def test_a_budget_of_two_whole_runs_buys_a_second_rate() -> None:
    cell = replace(cell_of(batch_size=1200, worth=2), evaluations=1)
    first = next_stage(cell, [], RUN_COST)
    assert [(proposal.hyperparameters["lr"], proposal.until) for proposal in first] == [(0.001, 1)]
    done = Trial(0, {"lr": 0.001}, "ok", 2.3, 1.0, 3 * RUN_COST, {1: 1.0}, 1)
    [second] = next_stage(cell, [done], RUN_COST)
    assert second.hyperparameters["lr"] == pytest.approx(0.001 / 10**0.5)


def test_beyond_two_distant_rates_the_next_one_is_near() -> None:
    """Not two decades above the range."""
    tried = {rate: Trial(n, {"lr": rate}, "ok", 2.3, 1.0 - n, 100) for n, rate in enumerate((0.001, 0.1))}
    assert [round(rate, 3) for rate in between(tried, tried[0.1])] == [0.316, 0.01]


def test_diverged_trials_leave_their_budget_to_others() -> None:
    cell = cell_of()
    some = latest(tune(cell, lambda values, share: valley(values, share, 1e-4)))
    assert sum(trial.status == "diverged" for trial in some) >= 2
    assert sum(trial.thirds for trial in some) <= 3 * 4 * RUN_COST


def test_a_tuning_in_which_everything_diverges_or_raises_ends() -> None:
    def fail(cell: Cell, status: str) -> list[Trial]:
        parts: list[Trial] = []
        while proposals := next_stage(cell, parts, RUN_COST):
            parts += [Trial(p.number, p.hyperparameters, status, 2.3, math.nan, 60, {}, 1) for p in proposals]
        return parts

    assert len(fail(cell_of(), "diverged")) <= 10 + 3
    assert len(fail(cell_of("two"), "diverged")) <= 5 * 4 + 1
    assert len(fail(cell_of(), "error")) < 12


def test_trials_that_raise_buy_no_others() -> None:
    cell = cell_of("two")
    parts: list[Trial] = []
    while proposals := next_stage(cell, parts, RUN_COST):
        for p in proposals:
            raised = Trial(p.number, p.hyperparameters, "error", 2.3, math.nan, 0, {}, 1)
            parts.append(raised if p.number else train(cell, p, lambda values, share: 1.0 - share))
    assert parts[-1].status == "error"
    assert len(latest(parts)) <= 8 * 4


def test_if_no_trial_is_complete_the_one_that_came_farthest_is_chosen() -> None:
    trials = [
        Trial(0, {"lr": 1.0}, "paused", 2.3, 0.5, 100, {}, 1),
        Trial(1, {"lr": 0.1}, "paused", 2.3, 0.9, 400, {}, 4),
        Trial(2, {"lr": 0.2}, "diverged", 2.3, math.nan, 700, {}, 7),
    ]
    assert best_trial(trials) is trials[1]
    assert best_trial([*trials, Trial(3, {"lr": 0.3}, "ok", 2.3, 2.0, 800, {}, 8)]).number == 3  # type: ignore[union-attr]


def test_on_recorded_curves_the_race_ends_near_the_best_rate() -> None:
    """Curves of a parabola that falls with the share of the run; the grid has the best rate."""
    [cell] = [one for one in recorded_cells(worth=4, pruner="race") if one.key[1:3] == ("adam", 20)][:1]
    shares = np.arange(cell.evaluations + 1) / cell.evaluations
    losses = [[[valley({"lr": rate}, share, 0.1) for share in shares]] * 5 for rate in rates_of(cell)]
    truth = Truth(cell, np.where(np.isnan(losses), np.inf, losses))
    assert 1.0 <= truth.regret(0) == truth.regret(4) <= 1.5


def test_the_regret_on_recorded_trainings_stays_low() -> None:
    """Of the cells of the quick preset (AMD EPYC, torch 2.14.1; `python -m tests.support.truth record`), one seed each.

    A whole grid that is judged on one seed has a mean regret of 1.05, at six times the cost.
    """
    regrets = np.array([truth.regret(0) for truth in truths(RECORDED, worth=4)])
    assert len(regrets) == 54
    assert np.median(regrets) <= 1.05
    assert regrets.mean() <= 1.12
    assert regrets.max() <= 2.0


def test_a_second_seed_for_the_best_two_points_lowers_the_regret(monkeypatch: pytest.MonkeyPatch) -> None:
    known = truths(RECORDED, worth=8)[::3]
    two = np.array([truth.regret(seed) for truth in known for seed in range(4)])
    monkeypatch.setattr("optbench.tuning.race.SECOND_SEED_FROM", math.inf)
    one = np.array([truth.regret(seed) for truth in known for seed in range(4)])
    assert two.mean() < one.mean()
    assert np.quantile(two, 0.95) < np.quantile(one, 0.95)


def test_the_best_two_points_are_trained_on_a_second_seed_and_compared_by_the_mean() -> None:
    cell = cell_of(worth=8)
    parts = tune(cell)
    trials = latest(parts)
    seeds = [proposal.seed for done in range(len(parts)) for proposal in next_stage(cell, parts[:done], RUN_COST)[:1]]
    assert seeds == [trial_seed(0)] * (len(parts) - 2) + [trial_seed(1)] * 2
    rates = [trial.hyperparameters["lr"] for trial in trials if trial.status == "ok"]
    assert sorted(rates.count(rate) for rate in set(rates))[-2:] == [2, 2]
    lucky = [
        Trial(0, {"lr": 0.1}, "ok", 2.3, 0.2, 100), Trial(1, {"lr": 0.2}, "ok", 2.3, 0.3, 100),
        Trial(2, {"lr": 0.3}, "ok", 2.3, 0.1, 100), Trial(3, {"lr": 0.1}, "ok", 2.3, 0.9, 100),
        Trial(4, {"lr": 0.2}, "ok", 2.3, 0.4, 100),
    ]  # fmt: skip
    assert best_trial(lucky) is lucky[1]
    assert best_trial([*lucky[:4], replace(lucky[4], status="diverged", loss=math.nan)]) is lucky[0]
