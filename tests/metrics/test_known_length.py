"""Optimizers that know the length of a training have a remark where they win against others that do not."""

from __future__ import annotations

import pandas as pd
import pytest

from optbench.cli.leaderboard import format_leaderboard
from optbench.metrics.audit import add_findings, audit
from optbench.metrics.known_length import NOTE, KnownLengths
from optbench.metrics.leaderboard import leaderboard, summary
from optbench.metrics.recommendation import Budget, recommendation
from optbench.metrics.verdicts import verdicts
from optbench.reporting.comparison import verdict_blocks
from optbench.reporting.html_tables import groups
from tests.support.studies import Study, study

BETTER, WORSE = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], [2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6]
RECEIVES = {"length_arguments": "total_steps"}
SCHEDULE, WARMUP = {"hp_lr_schedule": "cosine"}, {"hp_lr_schedule": "constant", "hp_lr_warmup": 0.1}
CONSTANT = {"hp_lr_schedule": "constant", "hp_lr_warmup": 0.0}


def compared(
    mine: list[float], know: dict[str, dict], schedule: str = "constant", others: dict[str, list[float]] | None = None
) -> Study:
    """A study of `mine`, `adam` and others, with columns of runs (`hp_…`) and cells by optimizer."""
    found = study({"adam": BETTER if mine is WORSE else WORSE, "mine": mine} | (others or {}))
    for optimizer, columns in know.items():
        for column, value in columns.items():
            frame = found.runs if column.startswith("hp_") else found.cells
            if column not in frame:
                frame[column] = pd.Series(index=frame.index, dtype=object)
            frame.loc[frame["optimizer"] == optimizer, column] = value
    for frame in (found.runs, found.trials, found.curves, found.cells):
        frame["schedule"] = schedule
    return found


def texts(found: Study) -> dict[str, str]:
    """Everything that a user reads about the comparison."""
    findings = audit(found.trials, found.runs, found.cells)
    board, judged = (
        add_findings(leaderboard(found.runs, found.cells), findings),
        verdicts(found.runs, found.cells),
    )
    advised = recommendation(found.trials, found.runs, found.cells, [Budget()])
    [group] = groups(board, {}, judged)
    return {
        "verdicts": " ".join(judged["note"]),
        "compare": " ".join(verdict_blocks(judged, board)),
        "leaderboard": format_leaderboard(board, judged, found.cells, summary(board)),
        "answer": advised.loc[advised["recommended"], "sentence"].iloc[0],
        "page": group.against,
        "audit": " ".join(findings.loc[findings["finding"] == "known_length", "reason"]),
    }


def test_optimizers_that_know_the_length_share_a_remark() -> None:
    found = texts(compared(BETTER, {"mine": SCHEDULE, "other": WARMUP}, others={"other": BETTER}))
    assert f"mine and other know the length of the training, and others do not: {NOTE}" in found["leaderboard"]


@pytest.mark.parametrize(
    ("knows", "how"),
    [(RECEIVES, "it receives total_steps"), (SCHEDULE, "lr_schedule=cosine"), (WARMUP, "lr_warmup=0.1"),
     (SCHEDULE | RECEIVES, "lr_schedule=cosine; it receives total_steps")],
)  # fmt: skip
def test_a_win_has_a_remark_everywhere(knows: dict, how: str) -> None:
    found = texts(compared(BETTER, {"mine": knows}))
    assert found["verdicts"] == f"{NOTE}: it knows the length of the training ({how}), and adam does not"
    assert found["verdicts"] in found["compare"]
    assert found["leaderboard"].endswith(f"  mine knows the length of the training, and others do not: {NOTE}")
    assert f" mine knows the length of the training ({how}), and adam does not: {NOTE}." in found["answer"]
    assert found["page"].endswith("which may explain part of it: mine.")
    assert found["audit"] == f"it knows the length of the training ({how}), and adam does not"


def test_a_win_of_the_reference_has_a_remark() -> None:
    found = texts(compared(WORSE, {"adam": RECEIVES}))
    assert found["verdicts"].startswith(f"{NOTE}: adam knows the length of the training (it receives total_steps)")
    assert "adam knows the length of the training" in found["leaderboard"]
    assert "adam knows the length of the training" in found["answer"]


def test_a_loss_has_only_the_finding() -> None:
    found = texts(compared(WORSE, {"mine": RECEIVES}))
    assert found.pop("audit")
    assert [name for name, text in found.items() if "length of the training" in text or NOTE in text] == []


@pytest.mark.parametrize(
    ("know", "schedule"),
    [({}, "constant"), ({"mine": CONSTANT, "adam": CONSTANT}, "constant"),
     ({"mine": RECEIVES, "adam": SCHEDULE}, "constant"), ({"mine": SCHEDULE, "adam": SCHEDULE}, "constant"),
     ({"mine": RECEIVES}, "cosine"), ({"mine": {"length_arguments": ""}}, "constant")],
)  # fmt: skip
def test_an_equal_comparison_has_no_remark(know: dict, schedule: str) -> None:
    found = texts(compared(BETTER, know, schedule))
    assert [name for name, text in found.items() if "length of the training" in text or NOTE in text] == []


def test_a_schedule_that_the_tuning_did_not_choose_has_no_remark() -> None:
    """The default of the optimizer is a schedule, but the runs that are compared have none."""
    found = compared(BETTER, {"mine": CONSTANT})
    default = found.runs[found.runs["optimizer"] == "mine"].assign(tuned=False, hp_lr_schedule="cosine")
    found.runs = pd.concat([default, found.runs], ignore_index=True)
    assert not any("length of the training" in text for text in texts(found).values())


@pytest.mark.parametrize(
    ("knows", "how"),
    [({"hp_average_share": 0.2}, "average_share=0.2"),
     ({"hp_average_share": 0.2, "hp_average_decay": 0.9}, "average_share=0.2"),
     ({"hp_lr_schedule": "linear[final=0.5]"}, "lr_schedule=linear[final=0.5]"),
     ({"hp_lr_schedule": "step"}, "lr_schedule=step"), ({"hp_lr_schedule": "restarts"}, "lr_schedule=restarts"),
     ({"hp_lr_schedule": "wsd", "hp_lr_cooldown": 0.1}, "lr_schedule=wsd"),
     ({"hp_lr_schedule": "wsd", "hp_lr_cooldown": 10, "hp_lr_warmup": 5}, "lr_schedule=wsd"),
     ({"hp_lr_schedule": "wsd[decay=10]"}, "lr_schedule=wsd[decay=10]"),
     ({"hp_lr_schedule": "cosine", "hp_lr_warmup": 5}, "lr_schedule=cosine"),
     ({"hp_lr_schedule": "inverse_sqrt[timescale=0.5]"}, "lr_schedule=inverse_sqrt[timescale=0.5]"),
     ({"hp_lr_schedule": "inverse_sqrt", "hp_lr_warmup": 0.1}, "lr_warmup=0.1"),
     ({"hp_lr_schedule": "unheard"}, "lr_schedule=unheard")],
)  # fmt: skip
def test_what_depends_on_the_end_of_the_run_knows_the_length(knows: dict, how: str) -> None:
    found = compared(BETTER, {"mine": knows})
    [known] = KnownLengths(found.runs, found.cells).findings().values()
    assert known == f"it knows the length of the training ({how}), and adam does not"


@pytest.mark.parametrize(
    "knows",
    [{"hp_lr_warmup": 1}, {"hp_lr_warmup": 1.0}, {"hp_lr_warmup": 100, "hp_lr_schedule": "constant"},
     {"hp_lr_schedule": "inverse_sqrt"}, {"hp_lr_schedule": "inverse_sqrt[timescale=1]"},
     {"hp_lr_schedule": "inverse_sqrt", "hp_lr_warmup": 20}, {"hp_lr_schedule": "step[factor=1]"},
     {"hp_average_decay": 0.99}, {"hp_average_decay": 0.99, "hp_average_share": 1.0}, {"hp_average_share": 0.0},
     {"hp_clip_norm": 1.0}, {"hp_clip_value": 1.0}],
)  # fmt: skip
def test_what_does_not_depend_on_the_end_of_the_run_has_no_remark(knows: dict) -> None:
    found = compared(BETTER, {"mine": knows})
    assert KnownLengths(found.runs, found.cells).findings() == {}


@pytest.mark.parametrize(
    ("schedule", "known"),
    [("constant[warmup=10]", 1), ("inverse_sqrt[timescale=10]", 1), ("constant[warmup=0.1]", 0), ("wsd", 0)],
)
def test_a_schedule_of_the_matrix_may_not_know_the_length_either(schedule: str, known: int) -> None:
    found = compared(BETTER, {"mine": {"hp_average_share": 0.2}}, schedule)
    assert len(KnownLengths(found.runs, found.cells).findings()) == known


def test_one_remark_names_all_others_over_several_tasks() -> None:
    names = {"adam": WORSE, "mine": BETTER, "sgd": [2 * value for value in WORSE]}
    found = study({(problem, 10, name): values for problem in ("a", "b") for name, values in names.items()})
    found.cells["length_arguments"] = found.cells["optimizer"].map({"mine": "epochs"})
    table = recommendation(found.trials, found.runs, found.cells, [Budget()])
    sentence = table.query("scope == 'all tasks' and recommended")["sentence"].iloc[0]
    assert sentence.endswith(
        f"mine knows the length of the training (it receives epochs), and adam and sgd do not: {NOTE}."
    )
