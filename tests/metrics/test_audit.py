"""Every finding of the audit, and that it isn't found where it isn't."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from optbench.config.load import configure
from optbench.metrics.audit import add_findings, audit
from optbench.planning.matrix import make_plan
from optbench.results.stored import CELL
from optbench.tuning.race import next_stage
from optbench.tuning.trial import Trial
from tests.support.frames import make
from tests.support.studies import Study, study

FINE = {"adam": [1.0, 0.5, 0.7, 0.8, 0.9]}


def findings(found: Study) -> dict[str, str]:
    table = audit(found.trials, found.runs, found.cells)
    return dict(zip(table["finding"], table["reason"], strict=True))


def test_nothing_to_find() -> None:
    found = study({"adam": [1.0, 0.9]}, trials=FINE)
    table = audit(found.trials, found.runs, found.cells)
    assert table.empty
    assert list(table.columns)[-2:] == ["finding", "reason"]


def test_edge() -> None:
    found = study({"adam": [1.0]}, trials=FINE)
    found.cells["edge"] = "high"
    assert findings(found) == {"edge": "the best rate lies at the high edge of the declared range, 0.0001 to 1"}


@pytest.mark.parametrize(("losses", "finite"), [([1.0, None, 0.5, None, None], 2), ([None] * 4, 0)])
def test_few_finite_trials(losses: list, finite: int) -> None:
    found = study({"adam": [1.0]}, trials={"adam": losses})
    assert findings(found)["few_trials"].startswith(f"{finite} of {len(losses)} trials ended with a finite loss")


@pytest.mark.parametrize(
    ("losses", "falling"),
    [([1.0, 0.9, 0.8, 0.5], True), ([1.0, 0.5, 0.8, 0.49], False), ([1.0, 0.5, 0.8, 0.9], False),
     ([None, None, None, 0.5], False), ([-1.0, -1.2, -1.1, -1.5], True)],
)  # fmt: skip
def test_best_still_falling(losses: list, falling: bool) -> None:
    found = study({"adam": [1.0]}, trials={"adam": losses})
    assert ("still_falling" in findings(found)) == falling


def test_default_not_beaten() -> None:
    found = study({"adam": [1.0]}, trials={"adam": [0.5, 0.6, 0.7, 0.8]})
    assert "none of the 3 other trials" in findings(found)["default_not_beaten"]
    found = study({"adam": [1.0, 1.1, 1.2]}, trials=FINE)
    default = found.runs.assign(tuned=False, valid_loss=[0.5, 0.6, 9.0])
    found.runs = pd.concat([found.runs, default], ignore_index=True)
    assert (
        "the tuned rate ends with a median validation loss of 1.100, the default rate with 0.6000"
        in (findings(found)["default_not_beaten"])
    )
    found.runs.loc[~found.runs["tuned"], "valid_loss"] = 1.1
    assert findings(found) == {}
    found.runs.loc[found.runs["tuned"], "status"] = "diverged"
    assert "that is not finite" in findings(found)["default_not_beaten"]


def test_the_best_trial_is_the_one_with_the_lowest_validation_loss() -> None:
    """Not the last, not the first, not the one that is best on the test set."""
    found = study({"adam": [1.0]}, trials=FINE)
    found.cells["lr_tuned"] = found.trials["lr"].iloc[-1]
    assert findings(found) == {
        "selection": "the rate 10 was chosen, but the lowest validation loss is that of rate 0.01"
    }


def test_seeds_that_served_twice() -> None:
    found = study({"adam": [1.0, 0.9]}, trials=FINE)
    found.trials["seed"] = [5, 6, 7, 7, 1]
    found.trials.loc[3, "lr"] = found.trials.loc[2, "lr"]
    table = audit(found.trials, found.runs, found.cells)
    assert table["finding"].tolist() == ["reused_seed", "reused_seed"]
    assert "seed 1 was used for tuning and for a final run" in table["reason"].iloc[0]
    assert table["reason"].iloc[1] == "several trials trained the same values on seed 7"


def test_several_dimensions_need_more_trials() -> None:
    found = study({"adam": [1.0, 0.9]}, trials=FINE)
    count = len(found.trials)
    found.trials["hp_momentum"] = [0.1 * place for place in range(count)]
    found.trials["hp_eps"] = 1e-8
    table = audit(found.trials, found.runs, found.cells)
    assert table["finding"].tolist() == ["few_trials"]
    assert table["reason"].iloc[0].endswith("(required for 2 tuned hyperparameters: 6)")


def test_a_race_on_one_seed_is_no_reused_seed() -> None:
    found = study({"adam": [1.0, 0.9]}, trials=FINE)
    found.trials["seed"] = 5
    assert audit(found.trials, found.runs, found.cells)["finding"].tolist() == []
    found.trials["seed"] = [5, 5, 5, 6, 6]
    found.trials["lr"] = [0.1, 0.2, 0.3, 0.1, 0.2]
    assert "reused_seed" not in findings(found), "the best two points on a second seed"
    found.trials["hp_momentum"] = [0.5, 0.5, 0.5, 0.9, None]
    found.trials["lr"], found.trials["seed"] = 0.1, [5, 6, 7, 5, 5]
    assert "reused_seed" not in findings(found), "they differ in their momentum"


def test_the_further_seeds_of_a_long_race_are_no_reused_seeds() -> None:
    """A race as it is proposed at worth 10: its two best points have further seeds, and no point has a seed twice."""
    config = configure(
        problems=["mlp[data=digits]"], optimizers=["adam"], batch_sizes=[20], devices=["cpu"], evaluations=8,
        run_budget="3600examples", tuning={"worth": 10, "pruner": "race"},
    )  # fmt: skip
    [cell] = make_plan(config).cells
    parts: list[Trial] = []
    rows: dict[int, dict[str, object]] = {}
    while proposals := next_stage(cell, parts, 3600):
        for proposal in proposals:
            rate, until = proposal.hyperparameters["lr"], proposal.until or 8
            loss, status = 0.1 + math.log10(rate / 0.004) ** 2, "ok" if until == 8 else "paused"
            steps = math.ceil(until * 3600 / (8 * 20))
            parts.append(Trial(proposal.number, proposal.hyperparameters, status, 2.3, loss, 60 * steps, {}, until))
            rows[proposal.number] = {"trial": proposal.number, "lr": rate, "seed": proposal.seed, "valid_loss": loss}
    found = study({"adam": [1.0, 0.9]}, trials={"adam": [1.0] * len(rows)})
    found.trials[["trial", "lr", "seed", "valid_loss"]] = pd.DataFrame(rows.values())
    counts = found.trials["seed"].value_counts()
    assert len(counts) > 1
    assert set(counts.iloc[1:]) == {2}
    assert "reused_seed" not in findings(found)
    found.trials.loc[1, "lr"] = found.trials.loc[2, "lr"]
    assert "several trials trained the same values on seed" in findings(found)["reused_seed"]


def test_runs_that_are_there_twice() -> None:
    found = study({"adam": [1.0, 0.9]}, trials=FINE)
    again = found.runs.iloc[:1]
    found.runs = pd.concat([found.runs, again], ignore_index=True)
    assert "on seed 0 occurs 2 times, with the same losses" in findings(found)["repeated_seed"]
    found.runs.loc[2, "test_loss"] = 0.1
    assert "with different losses; the first one is counted" in findings(found)["repeated_seed"]


def test_seeds_without_effect() -> None:
    found = study({"adam": [1.0] * 4}, trials=FINE)
    found.runs["train_loss"] = 1.0
    assert findings(found) == {"seedless": "3 seeds repeat another one and are not counted as observations"}


def test_a_leaderboard_marks_each_finding_once() -> None:
    found = study({"adam": [1.0], "sgd": [1.0]}, trials={"adam": [None, 0.5, 0.1], "sgd": [1.0, 0.5, 0.7, 0.8]})
    found.cells["edge"] = ["low", ""]
    board = found.cells[CELL].assign(rank=[2, 1])
    findings = audit(found.trials, found.runs, found.cells)
    assert add_findings(board, findings)["audit"].tolist() == ["edge, few_trials, still_falling", ""]
    assert add_findings(board, findings.iloc[:0])["audit"].tolist() == ["", ""]
    twice = add_findings(add_findings(board, findings), findings)
    assert list(twice.columns) == [*board.columns, "audit"]
    assert len(twice) == 2


def test_nothing_there() -> None:
    found = study({"adam": [1.0]}, trials=FINE)
    assert audit(found.trials.iloc[:0], found.runs.iloc[:0], found.cells).empty


def test_the_same_cell_in_two_frames_is_one_cell() -> None:
    """Put together from two directories that share cells: no seed was reused, and nothing is found twice."""
    frames = make()
    once = audit(frames.trials, frames.runs, frames.cells)
    twice = audit(*(pd.concat([part, part], ignore_index=True) for part in (frames.trials, frames.runs, frames.cells)))
    repeated = twice["finding"] == "repeated_seed"
    assert repeated.any()
    pd.testing.assert_frame_equal(twice[~repeated].reset_index(drop=True), once)
