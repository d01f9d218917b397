"""Verdicts: their errors and power by simulation, what they say of failures, and what they can't say."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from optbench.errors import UserError
from optbench.metrics.quotation import quotations
from optbench.metrics.verdicts import COLUMNS, SMALL, TIE_RATIO, is_small, verdicts
from optbench.statistics import paired, planning
from optbench.statistics.equality import RESOLUTION
from tests.support.frames import make
from tests.support.studies import Study, paired_draws, study


def only(found: Study, **options: object) -> dict:
    [row] = verdicts(found.runs, found.cells, **options).to_dict("records")
    return row


def test_errors_and_power_are_as_computed_in_advance() -> None:
    """The guarantees of the tests in `tests/statistics`, once from end to end: each study is a problem of its own."""
    rng = np.random.default_rng(0)
    truths = {"alike": (150, 0.0, 0.3), "better": (150, 0.4, 0.3), "at the margin": (100, math.log(1.05), 0.01)}
    outcomes = {}
    for truth, (studies, better, spread) in truths.items():
        for index in range(studies):
            draws = paired_draws(rng, 8, better, spread)
            outcomes |= {(f"{truth} {index}", 10, name): values for name, values in draws.items()}
    found = study(outcomes)
    table = verdicts(found.runs, found.cells)
    alike, better, margin = (table.loc[table["problem"].str.startswith(truth), "verdict"] for truth in truths)
    assert (len(alike), len(better), len(margin)) == (150, 150, 100)
    assert alike.isin(["win", "loss"]).mean() <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 150)
    assert (better == "win").mean() == pytest.approx(planning.power(0.4 / (0.3 * math.sqrt(2)), 8), abs=0.08)
    assert (better == "loss").mean() <= 0.02
    # A difference that matters is called a tie in at most five of a hundred studies.
    assert (margin == "tie").mean() <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 100)


def many(n: int, better: float, studies: int, optimizers: int = 1) -> pd.DataFrame:
    """The verdicts of independent studies, each a problem of its own."""
    rng = np.random.default_rng(int(1000 * n + 10 * better))
    outcomes = {}
    for index in range(studies):
        draws = paired_draws(rng, n, better)
        outcomes[f"p{index}", 10, "adam"] = draws["adam"]
        for other in range(optimizers):
            again = paired_draws(rng, n, better)["mine"] if other else draws["mine"]
            outcomes[f"p{index}", 10, f"mine{other}"] = again
    found = study(outcomes)
    return verdicts(found.runs, found.cells)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 6, 8, 10])
def test_no_difference_is_called_one_in_at_most_five_of_a_hundred_studies(n: int) -> None:
    studies = 300 if n >= 6 else 60
    found = many(n, 0.0, studies)["verdict"]
    wrong = found.isin(["win", "loss"]).mean()
    assert wrong <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / studies)
    if n < 6:
        assert wrong == 0


@pytest.mark.slow
def test_nor_is_any_of_nine_optimizers_in_a_group() -> None:
    found = many(10, 0.0, 120, optimizers=9)
    wrong = found["verdict"].isin(["win", "loss"]).groupby(found["problem"]).any().mean()
    assert wrong <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 120)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "better"), [(6, 0.6), (8, 0.4), (10, 0.4), (10, 0.8)])
def test_power_is_as_computed_in_advance(n: int, better: float) -> None:
    found = many(n, better, 400)["verdict"]
    planned = planning.power(better / (0.3 * math.sqrt(2)), n)
    assert (found == "win").mean() == pytest.approx(planned, abs=0.06)
    assert (found == "loss").mean() <= 0.01


def test_verdicts_follow_from_the_tests_of_a_family() -> None:
    """The optimizers of a problem are one family, whose p-values are adjusted together."""
    rng = np.random.default_rng(1)
    truths = {"adam": (0.0, 0.3), "same": (0.0, 0.3), "better": (0.7, 0.3), "worse": (-0.7, 0.3), "close": (0.0, 0.005),
              "nearly": (0.025, 0.02)}  # fmt: skip
    outcomes = {}
    for problem in range(30):
        shared = rng.normal(0, 1, 9)
        reference = shared + 0.005 * rng.normal(size=9)
        for name, (better, spread) in truths.items():
            values = reference if name == "adam" else shared - better + spread * rng.normal(size=9)
            outcomes[f"p{problem}", 10, name] = np.exp(values).tolist()
    found = study(outcomes)
    table = verdicts(found.runs, found.cells)
    for problem, family in table.groupby("problem"):
        differences = [
            np.log(outcomes[problem, 10, "adam"]) - np.log(outcomes[problem, 10, name]) for name in family["optimizer"]
        ]
        p = paired.sign_flip(np.array(differences), resolution=RESOLUTION)
        p_tie = paired.equivalence(np.array(differences), math.log(TIE_RATIO), resolution=RESOLUTION)
        adjusted, alike = paired.holm(p), paired.holm(p_tie)
        for column, expected in (("p", p), ("p_holm", adjusted), ("p_tie", alike)):
            np.testing.assert_allclose(family[column], expected, rtol=1e-9)
        leads = ["win" if row.sum() > 0 else "loss" for row in differences]
        undecided = np.where(alike <= 0.05, "tie", "inconclusive")
        assert family["verdict"].tolist() == np.where(adjusted <= 0.05, leads, undecided).tolist()
        assert is_small(family["note"]).tolist() == ((adjusted <= 0.05) & (alike <= 0.05)).tolist()
    by_optimizer = table.groupby("optimizer")["verdict"].value_counts()
    for name, verdict in (("better", "win"), ("worse", "loss"), ("close", "tie"), ("same", "inconclusive")):
        assert by_optimizer[name, verdict] > 15, by_optimizer
    assert (table["p_holm"] > table["p"]).any()


def test_what_is_alike_is_a_tie_and_five_seeds_decide_nothing_else() -> None:
    assert only(study(paired_draws(np.random.default_rng(1), 8, better=0.0, spread=0.01)))["verdict"] == "tie"
    five = {f"p{index}": paired_draws(np.random.default_rng(index), 5, better=3.0) for index in range(5)}
    found = study({(problem, 10, name): values for problem, draws in five.items() for name, values in draws.items()})
    assert set(verdicts(found.runs, found.cells)["verdict"]) == {"inconclusive"}


def test_figures_of_a_row() -> None:
    draws = paired_draws(np.random.default_rng(2), 9, better=0.5)
    row = only(study(draws))
    differences = np.log(draws["adam"]) - np.log(draws["mine"])
    assert row["effect"] == pytest.approx(math.exp(-differences.mean()))
    low, high = stats.t.interval(0.95, 8, differences.mean(), stats.sem(differences))
    assert (row["effect_low"], row["effect_high"]) == pytest.approx((math.exp(-high), math.exp(-low)))
    assert row["effect_size"] == pytest.approx(differences.mean() / differences.std(ddof=1))
    found = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert row["p"] == row["p_holm"] == pytest.approx(found.pvalue)
    assert row["probability"] == np.mean(differences > 0)
    assert (row["reference"], row["effect_unit"], row["n_pairs"]) == ("adam", "ratio", 9)


@pytest.mark.parametrize("higher", [True, False])
def test_directions(higher: bool) -> None:
    good, bad = np.linspace(0.6, 0.7, 8), np.linspace(0.3, 0.35, 8)
    good, bad = (good, bad) if higher else (bad, good)
    row = only(study({"adam": bad.tolist(), "mine": good.tolist()}, higher=higher))
    assert row["verdict"] == "win"
    assert row["effect_unit"] == ("difference" if higher else "ratio")
    assert row["effect"] == pytest.approx((good - bad).mean() if higher else math.exp(np.log(good / bad).mean()))
    assert only(study({"adam": good.tolist(), "mine": bad.tolist()}, higher=higher))["verdict"] == "loss"


def test_a_diverged_seed_is_never_left_out() -> None:
    """Averages over successes only would call `mine` the winner: the published trap."""
    good, bad = np.linspace(0.1, 0.2, 8).tolist(), np.linspace(0.5, 0.9, 8).tolist()
    assert only(study({"adam": bad, "mine": good}))["verdict"] == "win"
    row = only(study({"adam": bad, "mine": [*good[:6], None, None]}))
    assert row["verdict"] == "inconclusive"
    assert (row["n_pairs"], row["n_failed"], row["probability"]) == (8, 2, 6 / 8)
    assert math.isnan(row["effect"])
    assert pd.isna(row["more_seeds"])
    assert "no mean effect because of runs that failed" in row["note"]
    lost = only(study({"adam": bad, "mine": [None] * 8}))
    assert (lost["verdict"], lost["probability"]) == ("loss", 0)
    both = only(study({"adam": [None] * 8, "mine": [None] * 8}))
    assert (both["verdict"], both["p"], both["probability"]) == ("inconclusive", 1, 0.5)
    assert "all runs of both failed" in both["note"]


def test_a_missing_value_is_no_zero() -> None:
    """A NaN read as 0 would be the lowest loss of all."""
    found = study({"adam": np.linspace(0.5, 0.6, 8).tolist(), "mine": np.linspace(0.7, 0.8, 8).tolist()})
    found.runs.loc[found.runs["optimizer"] == "mine", "test_metric"] = math.nan
    assert only(found)["verdict"] == "loss"


def test_too_few_seeds_say_how_many_more() -> None:
    row = only(study({"adam": [1.0, 1.1, 1.2], "mine": [0.5, 0.56, 0.61]}))
    assert (row["verdict"], row["p"]) == ("inconclusive", 0.25)
    assert row["more_seeds"] >= 3
    assert "fewer than 6 pairs cannot decide 1 comparison" in row["note"]
    one = only(study({"adam": [1.0], "mine": [0.5]}))
    assert (one["verdict"], one["p"]) == ("inconclusive", 1.0)
    assert pd.isna(one["more_seeds"])
    assert "more seeds cannot be estimated from one pair" in one["note"]
    assert math.isnan(one["effect_low"])


def test_the_seeds_that_it_asks_for_decide() -> None:
    """Four in five times and more: the plan allows for the pilot's spread being too small by luck."""
    rng = np.random.default_rng(5)
    decided = []
    for _ in range(25):
        pilot = paired_draws(rng, 5, better=0.5)
        row = only(study(pilot))
        if pd.isna(row["more_seeds"]):
            continue
        more = paired_draws(rng, int(min(row["more_seeds"], 60)), better=0.5)
        decided.append(only(study({name: pilot[name] + more[name] for name in pilot}))["verdict"] == "win")
    assert len(decided) > 20
    assert np.mean(decided) >= 0.7


def test_seeds_that_have_no_effect_are_one_observation() -> None:
    """Eight copies of one seed would be p = 0.008."""
    found = study({"adam": [1.0] * 8, "mine": [0.5] * 8})
    found.runs["train_loss"] = found.runs["test_loss"]
    row = only(found)
    assert (row["n_pairs"], row["verdict"]) == (1, "inconclusive")
    assert "7 seeds repeat others and are not counted" in row["note"]


def test_losses_of_zero_are_no_failed_runs() -> None:
    found = study({"adam": [0.0, 0.1, 0.2, 0.3], "mine": [0.1, 0.2, 0.1, 0.1]})
    row = only(found)
    assert (row["verdict"], row["n_failed"], row["n_failed_reference"]) == ("inconclusive", 0, 0)
    assert "more seeds cannot be estimated from values of 0, whose ratio to others is infinite" in row["note"]
    assert "failed" not in row["note"]
    [text] = quotations(verdicts(found.runs, found.cells), found.cells, found.runs)
    assert "values of 0 have no ratio" in text
    assert "failed" not in text
    lost = only(study({"adam": [None, 0.1, 0.2, 0.3], "mine": [0.1, 0.2, 0.1, 0.1]}))
    assert "from runs that failed or have no finite value" in lost["note"]


def test_a_seed_that_is_there_twice_counts_once() -> None:
    found = study(paired_draws(np.random.default_rng(6), 4, better=1))
    once = only(found)
    found.runs = pd.concat([found.runs, found.runs], ignore_index=True)
    assert only(found) == once


def test_only_seeds_that_both_have_are_paired() -> None:
    values = np.linspace(0.5, 0.6, 8).tolist()
    row = only(study({"adam": values, "mine": values}, seeds={"mine": range(4, 12)}))
    assert row["n_pairs"] == 4
    none = only(study({"adam": values, "mine": values}, seeds={"mine": range(8, 16)}))
    assert (none["n_pairs"], none["verdict"]) == (0, "inconclusive")
    assert "no seed was run by both" in none["note"]
    assert math.isnan(none["p"])


def test_references() -> None:
    found = study({"sgd": [1.0, 1.1], "adam": [1.0, 1.2], "mine": [0.9, 1.0]})
    assert set(verdicts(found.runs, found.cells)["reference"]) == {"adam"}
    table = verdicts(found.runs, found.cells, reference="mine")
    assert set(table["optimizer"]) == {"adam", "sgd"}
    with pytest.raises(UserError, match="unknown reference optimizer 'adm'; did you mean 'adam'"):
        verdicts(found.runs, found.cells, reference="adm")
    with pytest.raises(UserError, match="unknown metric 'test_los'; did you mean 'test_loss'"):
        verdicts(found.runs, found.cells, metric="test_los")
    partial = found.runs[found.runs["optimizer"] != "adam"]
    notes = verdicts(partial, found.cells)
    assert set(notes["verdict"]) == {"inconclusive"}
    assert set(notes["note"]) == {"adam has no runs on this task"}


def test_bad_frames() -> None:
    one = study({"adam": [1.0, 2.0]})
    assert verdicts(one.runs, one.cells).columns.tolist() == COLUMNS
    assert verdicts(one.runs, one.cells).empty
    assert verdicts(one.runs.iloc[:0], one.cells).empty
    with pytest.raises(UserError, match=r"no column 'tuned'.*schema version"):
        verdicts(one.runs.drop(columns="tuned"), one.cells)
    twice = study({"adam": [1.0], "mine": [2.0]})
    again = twice.runs[twice.runs["optimizer"] == "mine"].assign(cell_id="another")
    with pytest.raises(UserError, match="'mine' stands for several cells of bowl"):
        verdicts(pd.concat([twice.runs, again]), twice.cells)


def test_the_same_frames_give_the_same_bytes() -> None:
    frames = make(optimizers=["adam", "sgd"], seeds=30)
    first, again = (verdicts(frames.runs, frames.cells, seed=3).to_csv() for _ in range(2))
    assert first == again
    shuffled = frames.runs.sample(frac=1, random_state=1)
    assert verdicts(shuffled, frames.cells, seed=3).to_csv() == first


def test_by_cost_to_target_a_miss_is_infinite() -> None:
    """A miss imputed as budget + 1 would make `mine`, which misses half, no worse than a slow optimizer."""
    found = study({"adam": [1.0] * 8, "mine": [1.0] * 8})
    mine = found.runs["optimizer"] == "mine"
    found.runs["cost_to_target"] = np.where(mine, 10.0, 99.0) + found.runs["seed"]
    assert only(found, metric="cost_to_target")["verdict"] == "win"
    found.runs.loc[mine & (found.runs["seed"] > 3), "cost_to_target"] = math.nan
    row = only(found, metric="cost_to_target")
    assert row["verdict"] == "inconclusive"
    assert (row["n_failed"], row["probability"]) == (4, 0.5)
    found.cells["target"] = math.nan
    assert verdicts(found.runs, found.cells, metric="cost_to_target").empty


@pytest.mark.parametrize(
    ("reference", "other", "verdict", "small"),
    [(0.980, 0.989, "win", True), (0.989, 0.980, "loss", True), (0.50, 0.56, "win", False), (0.98, 0.98, "tie", False)],
)
def test_a_significant_difference_is_a_win_and_said_to_be_small(
    reference: float, other: float, verdict: str, small: bool
) -> None:
    """98.0 against 98.9 % on ten of ten seeds: 45 % fewer errors, and less than 1 % of the accuracy."""
    luck = np.random.default_rng(0).uniform(-0.001, 0.001, 10)
    found = study({"adam": (reference + luck).tolist(), "mine": (other + luck[::-1]).tolist()}, higher=True)
    row = only(found)
    assert row["verdict"] == verdict
    assert row["note"] == (SMALL if small else "")
    assert row["p_tie"] <= 0.05 or verdict != "tie"


def test_shared_failures_are_no_tie() -> None:
    """Eight seeds on which both failed say nothing of how alike the two are where they don't."""
    found = study({"adam": [1.0, 1.01, *[None] * 8], "mine": [1.01, 1.0, *[None] * 8]})
    row = only(found)
    assert (row["verdict"], row["n_failed"], row["n_failed_reference"]) == ("inconclusive", 8, 8)
    assert row["p_tie"] == 0.25
    alike = [1.0, 1.01, 1.0, 1.02, 1.0, 1.01]
    assert only(study({"adam": [*alike, None], "mine": [*alike[::-1], None]}))["verdict"] == "tie"


def test_a_third_optimizer_changes_nothing_of_a_pair() -> None:
    """Not even one whose losses are negative: it must not turn ratios into differences."""
    draws = paired_draws(np.random.default_rng(3), 8, better=0.4)
    alone = only(study(draws))
    found = study(draws | {"odd": [-1.0] * 8})
    row = verdicts(found.runs, found.cells).set_index("optimizer").loc["mine"]
    assert row["effect_unit"] == alone["effect_unit"] == "ratio"
    for name in ("effect", "effect_low", "effect_high", "p", "probability", "effect_size"):
        assert row[name] == alone[name], name


def _timed(better: float, low: float, high: float, spread: float = 0.05) -> Study:
    """`mine` is faster by exp(`better`) on average; its step time is known to within `low` to `high` of the median."""
    found = study({"adam": [1.0] * 10, "mine": [1.0] * 10})
    draws = paired_draws(np.random.default_rng(8), 10, better, spread)
    seconds = [value for name in ("adam", "mine") for value in draws[name]]
    found.runs["seconds_to_target"], found.runs["target_reached"] = seconds, True
    found.cells["step_ms_low"], found.cells["step_ms_high"] = low, high
    return found


def test_seconds_are_decided_only_as_far_as_step_times_are_known() -> None:
    """More seeds don't make the timing pass more exact: its error is the same in all of them."""
    metric = "seconds_to_target"
    sure, unsure = only(_timed(0.3, 0.99, 1.01), metric=metric), only(_timed(0.3, 0.8, 1.25), metric=metric)
    assert sure["verdict"] == "win"
    assert "allows a ratio -2 to +2 % from this one" in sure["note"]
    assert (unsure["verdict"], unsure["p"]) == ("inconclusive", 1.0)
    assert pd.isna(unsure["more_seeds"]), "no number of seeds decides"
    assert unsure["effect"] == sure["effect"]
    assert unsure["effect_low"] < sure["effect_low"] < sure["effect_high"] < 1 < unsure["effect_high"]
    exact = only(_timed(0.3, 1.0, 1.0), metric=metric)
    assert math.log(sure["effect_high"] / exact["effect_high"]) == pytest.approx(math.log(1.01 / 0.99))
    assert exact["note"] == ""
    tied = [only(_timed(0.0, low, high, 0.02), metric=metric)["verdict"] for low, high in ((1.0, 1.0), (0.9, 1.1))]
    assert tied == ["tie", "inconclusive"]
    unknown = only(_timed(0.3, math.nan, math.nan), metric=metric)
    assert (unknown["verdict"], unknown["note"]) == ("inconclusive", "the error of the step times is unknown")
    assert math.isnan(unknown["p"])
    assert only(_timed(0.3, 0.8, 1.25), metric="test_metric")["note"] == "", "other metrics know no such error"


def test_an_unknown_time_is_no_miss() -> None:
    found = _timed(0.3, 1.0, 1.0)
    found.runs.loc[found.runs["optimizer"] == "mine", "seconds_to_target"] = math.nan
    assert verdicts(found.runs, found.cells, metric="seconds_to_target").empty
    found = _timed(0.3, 1.0, 1.0)
    found.runs.loc[(found.runs["optimizer"] == "mine") & (found.runs["seed"] < 2), "seconds_to_target"] = math.nan
    row = only(found, metric="seconds_to_target")
    assert (row["n_pairs"], row["n_failed"], row["verdict"]) == (8, 0, "win")


@pytest.mark.parametrize("last", [-1.1, 0.5])
def test_scores_below_zero_are_compared_by_differences(last: float) -> None:
    """R² of −2 and −1: their ratio means nothing, and the unit does not depend on whether one of them is above 0."""
    scores = {"adam": [-2.0, -1.9, -2.1, -2.05, -1.95, -2.0], "mine": [-1.0, -0.9, -1.1, -1.05, -0.95, last]}
    row = only(study({("p", 10, name): values for name, values in scores.items()}, higher=True))
    assert (row["effect_unit"], row["verdict"]) == ("difference", "win")
    assert row["effect"] == pytest.approx(np.mean(scores["mine"]) - np.mean(scores["adam"]))


def test_rounding_is_no_effect() -> None:
    """Accuracies that trade one example of 297: their mean difference is zero up to rounding."""
    counts = np.array([280, 281, 282, 283, 284, 285])
    both = {"adam": counts / 297, "mine": counts[::-1] / np.float32(297)}
    row = only(study({("p", 10, name): values.tolist() for name, values in both.items()}, higher=True))
    assert row["effect"] == 0.0
