"""Sentences to quote say everything about a comparison, with the numbers of the tables, and are escaped in files."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import optbench
from optbench.formatting import escape_latex, escape_markdown
from optbench.metrics.known_length import NOTE
from optbench.metrics.leaderboard import leaderboard
from optbench.metrics.quotation import quotations
from optbench.metrics.verdicts import verdicts
from optbench.reporting.files import write_tables
from optbench.reporting.html_tables import groups
from tests.support.studies import Study, study

ADAM = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]
BETTER = [0.50, 0.60, 0.55, 0.70, 0.75, 0.72, 0.90]
WHERE = "On bowl (batch size 10, cpu, a constant learning rate), mine "
TEST = "exact sign-flip test on 7 paired seeds)"
BUDGET = (
    "Tuning budget: 300 each; run budget: 100 each (in example gradients). "
    f"Computed with optbench {optbench.__version__}."
)


def quoted(found: Study, **options: str) -> str:
    [text] = quotations(verdicts(found.runs, found.cells, **options), found.cells, found.runs)
    return text


def test_a_ratio() -> None:
    found = study({"adam": ADAM, "mine": BETTER})
    assert quoted(found, metric="test_loss") == (
        f"{WHERE}is significantly better than adam by test loss: its value is 0.516 times that of adam in the "
        f"geometric mean, 95 % interval 0.481 to 0.553 (p = 0.016, {TEST}. {BUDGET}"
    )


def test_a_difference_has_its_sign_in_words() -> None:
    """Of accuracies, the lower ones are worse; the interval belongs to the same words."""
    found = study({"adam": [0.9 + value / 100 for value in ADAM], "mine": BETTER}, higher=True)
    row = verdicts(found.runs, found.cells).iloc[0]
    by, low, high = (f"{-row[name]:.3f}" for name in ("effect", "effect_high", "effect_low"))
    worse = f"worse by {by} in the mean, 95 % interval {low} to {high}"
    found.cells["metric_name"] = "accuracy"
    assert quoted(found).startswith(f"{WHERE}is significantly worse than adam by test accuracy: {worse} (p = 0.016, ")
    assert " is significantly better than mine by test accuracy: better by " in quoted(found, reference="mine")


def test_equivalence_and_small_differences() -> None:
    found = study({"adam": ADAM, "mine": [value * (1 + 0.001 * (-1) ** place) for place, value in enumerate(ADAM)]})
    text = quoted(found)
    assert text.startswith(f"{WHERE}is equivalent to adam by test metric: ")
    assert "(p = 0.0078, two one-sided exact sign-flip tests with the margin of a factor of 1.05 on 7 paired" in text
    small = study({"adam": ADAM, "mine": [0.99 * value for value in ADAM]})
    assert "is significantly better than adam, although by less than the margin, by test metric: " in quoted(small)


def test_what_is_not_decided_or_not_known() -> None:
    assert "mine is not shown to differ from adam by test metric: " in quoted(study({"adam": [1.0], "mine": [2.0]}))
    assert "interval" not in quoted(study({"adam": [1.0], "mine": [2.0]})), "one seed has none"
    failed = quoted(study({"adam": ADAM, "mine": [None, *BETTER[1:]]}))
    assert "1 of its runs and 0 of those of adam failed, so there is no mean effect (p = " in failed
    apart = study({"adam": ADAM, "mine": BETTER}, seeds={"mine": range(10, 17)})
    assert quoted(apart) == f"{WHERE}cannot be compared with adam by test metric: no seed was run by both."


def test_several_comparisons_are_adjusted_and_many_seeds_are_drawn() -> None:
    found = study({"adam": ADAM, "mine": BETTER, "other": BETTER[::-1]})
    texts = quotations(verdicts(found.runs, found.cells), found.cells, found.runs)
    assert all("p = 0.031, exact sign-flip test on 7 paired seeds, adjusted by Holm's method for 2" in t for t in texts)
    many = study({"adam": ADAM * 4, "mine": BETTER * 4})
    for column in ("train_loss", "valid_loss", "test_loss", "test_metric"):
        many.runs[column] += 1e-3 * many.runs["seed"]
    assert ", sign-flip test on 28 paired seeds" in quoted(many)


@pytest.mark.parametrize(
    ("trials", "budget", "text"),
    [(0, float("nan"), "Tuning budget: 300 for mine, none for adam; run budget: 100 each"),
     (3, 600.0, "Tuning budget: 300 for mine, 600 for adam; run budget: 100 each"),
     (3, float("nan"), "Tuning budget: 300 for mine, unknown for adam; run budget: 100 each")],
)  # fmt: skip
def test_unequal_tuning_is_stated(trials: int, budget: float, text: str) -> None:
    found = study({"adam": ADAM, "mine": BETTER})
    judged = verdicts(found.runs, found.cells)
    found.cells.loc[found.cells["optimizer"] == "adam", ["trials", "tuning_budget"]] = [trials, budget]
    assert text in quotations(judged, found.cells, found.runs)[0]


@pytest.mark.parametrize(
    ("mine", "adam", "rates"),
    [
        ({}, {}, ", a constant learning rate"),
        ({"lr_schedule": "constant", "lr_warmup": 0.0}, {}, ", a constant learning rate"),
        ({"lr_schedule": "cosine"}, {}, "; mine with lr_schedule=cosine, adam with a constant learning rate"),
        ({}, {"lr_warmup": 1}, "; mine with a constant learning rate, adam with lr_warmup=1"),
        ({"lr_schedule": "inverse_sqrt"}, {"lr_schedule": "constant"},
         "; mine with lr_schedule=inverse_sqrt, adam with a constant learning rate"),
        ({"lr_schedule": "wsd", "lr_cooldown": 0.5}, {"lr_schedule": "wsd", "lr_cooldown": 0.1, "lr_warmup": 0.1},
         "; mine with lr_schedule=wsd, lr_cooldown=0.5, adam with lr_schedule=wsd, lr_warmup=0.1, lr_cooldown=0.1"),
        ({"lr_schedule": "cosine"}, {"lr_schedule": "cosine"}, ", lr_schedule=cosine"),
    ],
)  # fmt: skip
def test_rates_are_those_of_the_compared_runs(mine: dict, adam: dict, rates: str) -> None:
    found = study({"adam": ADAM, "mine": BETTER})
    names = sorted({*mine, *adam})
    for name in names:
        values = {"mine": mine.get(name), "adam": adam.get(name)}
        found.runs[f"hp_{name}"] = found.runs["optimizer"].map(values)
    assert quoted(found).startswith(f"On bowl (batch size 10, cpu{rates}), mine is ")


def test_an_untuned_schedule_is_not_that_of_the_comparison() -> None:
    found = study({"adam": ADAM, "mine": BETTER})
    found.runs["hp_lr_schedule"] = "constant"
    found.runs = pd.concat([found.runs.assign(tuned=False, hp_lr_schedule="cosine"), found.runs], ignore_index=True)
    assert quoted(found).startswith(WHERE)


def test_an_advantage_is_stated() -> None:
    found = study({"adam": ADAM, "mine": BETTER})
    found.cells["length_arguments"] = ["", "total_steps"]
    assert quoted(found).endswith(f"Only the better one knows the length of the training: {NOTE}.")


def test_files_and_page_have_the_same_escaped_sentences(tmp_path: Path) -> None:
    name = "m_1[a=50%,b=<i>]"
    found = study({("p", 10, "adam"): ADAM, ("p", 10, name): BETTER, ("q", 20, "adam"): ADAM, ("q", 20, "sgd"): BETTER})
    judged, board = verdicts(found.runs, found.cells), leaderboard(found.runs, found.cells)
    texts = quotations(judged, found.cells, found.runs)
    assert len(texts) == 2
    write_tables(
        {"leaderboard": board, "verdicts": judged, "cells": found.cells, "runs": found.runs},
        tmp_path,
        {"leaderboard", "verdicts"},
    )
    latex, markdown = ((tmp_path / f"leaderboard.{kind}").read_text().splitlines() for kind in ("tex", "md"))
    assert latex[-2:] == [f"% {escape_latex(text)}" for text in texts]
    assert r"m\_1[a=50\%,b=\textless{}i\textgreater{}] is" in latex[-2]
    assert markdown[-2:] == [f"- {escape_markdown(text)}" for text in texts]
    assert r"\<i\>" in markdown[-2]
    assert [list(group.quotes) for group in groups(board.assign(audit=""), {}, judged, texts)] == [
        [texts[0]],
        [texts[1]],
    ]
    for kind in ("tex", "md"):
        assert "To quote" not in (tmp_path / f"verdicts.{kind}").read_text()


def test_a_table_without_verdicts_has_no_sentences(tmp_path: Path) -> None:
    found = study({"adam": ADAM})
    judged = verdicts(found.runs, found.cells)
    tables = {
        "leaderboard": leaderboard(found.runs, found.cells),
        "verdicts": judged,
        "cells": found.cells,
        "runs": found.runs,
    }
    write_tables(tables, tmp_path, {"leaderboard"})
    assert not any("To quote" in (tmp_path / f"leaderboard.{kind}").read_text() for kind in ("tex", "md"))
    assert [tuple(group.quotes) for group in groups(tables["leaderboard"].assign(audit=""), {}, judged)] == [()]


def test_every_number_is_one_of_the_tables(tmp_path: Path) -> None:
    found = study({"adam": ADAM, "mine": BETTER})
    row = pd.Series(verdicts(found.runs, found.cells).iloc[0])
    text = quoted(found).replace("95 % interval", "interval").partition(" Computed with")[0]
    known = {f"{row[name]:.3g}" for name in ("effect", "effect_low", "effect_high")} | {f"{row['p_holm']:.2g}"}
    assert set(re.findall(r"\d[\d.]*\d|\d", text)) == known | {"10", "7", "300", "100"}
