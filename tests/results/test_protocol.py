"""What is compared has its data, budgets and tuning in common, whatever its optimizer is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import optbench
from optbench.errors import UserError
from optbench.results.join import join
from optbench.results.protocol import list_protocol_differences
from tests.support.tiny import TINY, run_tiny

SMALL: dict[str, Any] = {"problems": [TINY], "seeds": 2, "tuning_worth": 2}
TUNED = {"optimizer": {"search": {"lr": [1, 2]}}, "tuning": {"worth": 3}, "run_budget": 5, "priced": "whole runs"}
FIXED = {"optimizer": {"search": {}}, "tuning": {"worth": 0}, "run_budget": 5}


def test_tuning_differs_only_between_optimizers_that_are_tuned() -> None:
    assert list(list_protocol_differences(FIXED, TUNED)) == list(list_protocol_differences(TUNED, FIXED)) == []
    other = {**TUNED, "tuning": {"worth": 4}, "run_budget": 6}
    assert list(list_protocol_differences(other, TUNED)) == [("run budget", 6, 5), ("tuning worth", 4, 3)]
    assert list(list_protocol_differences({**other, "scheduled": "overwritten"}, other)) == []
    del other["priced"]
    assert ("priced", None, "whole runs") in list(list_protocol_differences(other, TUNED))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tuning_sampler": "random"}, "tuning sampler is random, not tpe"),
        ({"tuning_pruner": "median"}, "tuning pruner is median, not race"),
        ({"tuning_round": 1}, "tuning round is 1, not 2"),
    ],
)
def test_another_way_of_tuning_is_left_out(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    run_tiny(tmp_path / "base", optimizers=["adam"], **SMALL)
    run_tiny(tmp_path / "other", optimizers=["sgd"], **SMALL, **change)
    joined = join([tmp_path / "base", tmp_path / "other"])
    assert joined.cells["optimizer"].tolist() == ["adam"]
    assert [note.rpartition("their ")[2] for note in joined.notes] == [words]


def test_another_text_of_the_same_name_is_left_out(tmp_path: Path) -> None:
    for name, letters in (("easy", "abcd"), ("hard", "abcdefgh")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "corpus.txt").write_text(letters * (1600 // len(letters)))
        problem = f"char_rnn[data={tmp_path}/{name}/corpus.txt,length=8,hidden=4]"
        choices = {"problems": [problem], "batch_sizes": [16], "run_budget": "1epochs", "tuning_worth": 0}
        run_tiny(tmp_path / f"on-{name}", optimizers=[{"easy": "sgd", "hard": "adam"}[name]], **choices)
    joined = join([tmp_path / "on-easy", tmp_path / "on-hard"])
    assert joined.cells["optimizer"].tolist() == ["sgd"]
    assert "their problem parameters data fingerprint is " in joined.notes[0]
    with pytest.raises(UserError, match=r"unknown reference optimizer 'adam'.*data fingerprint"):
        optbench.compare(tmp_path / "on-easy", tmp_path / "on-hard", reference="adam")


@pytest.mark.parametrize("order", [("adam", "fixed", "sgd"), ("fixed", "adam", "sgd"), ("sgd", "adam", "fixed")])
def test_an_optimizer_with_nothing_to_tune_is_compared_in_every_order(order: tuple[str, ...], tmp_path: Path) -> None:
    names = {"fixed": "sgd[lr=0.1]"}
    optimizers = [names.get(name, name) for name in order]
    run_tiny(tmp_path / "run", optimizers=optimizers, **SMALL)
    compared = optbench.compare(tmp_path / "run", reference="adam")
    assert compared.notes == []
    assert set(compared.verdicts["optimizer"]) == {"sgd", "sgd[lr=0.1]"}
    assert compared.verdicts["n_pairs"].tolist() == [2, 2]


@pytest.mark.parametrize("first", ["adam", "sgd[lr=0.1]"])
def test_it_is_compared_with_stored_results_too(first: str, tmp_path: Path) -> None:
    """Whichever of the two is stored, and although the fixed one was run without any tuning."""
    second = {"adam": "sgd[lr=0.1]", "sgd[lr=0.1]": "adam"}[first]
    run_tiny(tmp_path / "base", optimizers=[first], **SMALL)
    optbench.run(
        problems=[TINY],
        optimizers=[second],
        against=tmp_path / "base",
        name="new",
        results=tmp_path,
        engine="serial",
        outputs=False,
    )
    compared = optbench.compare(tmp_path / "new")
    assert set(compared.leaderboard["optimizer"]) == {"adam", "sgd[lr=0.1]"}
    assert compared.verdicts["n_pairs"].tolist() == [2]


def test_untuned_beside_tuned_is_left_out_where_there_is_something_to_tune(tmp_path: Path) -> None:
    run_tiny(tmp_path / "base", optimizers=["adam"], **SMALL)
    run_tiny(tmp_path / "untuned", optimizers=["sgd"], **{**SMALL, "tuning_worth": 0})
    [note] = join([tmp_path / "base", tmp_path / "untuned"]).notes
    assert "their tuning budget is 0" in note


def test_optimizers_that_a_smaller_configuration_leaves_out_are_counted(tmp_path: Path) -> None:
    """With fewer comparisons the same runs have smaller adjusted p-values: this is said."""
    run_tiny(tmp_path / "run", optimizers=["adam", "sgd", "adadelta"], **{**SMALL, "seeds": 7})
    whole = optbench.compare(tmp_path / "run")
    assert (whole.notes, "p adjusted for 2 comparisons" in str(whole)) == ([], True)
    run_tiny(tmp_path / "run", optimizers=["adam", "sgd"], **{**SMALL, "seeds": 7})
    fewer = optbench.compare(tmp_path / "run")
    assert "p adjusted" not in str(fewer)
    assert [note.partition(";")[0] for note in fewer.notes] == [
        "1 cells of other configurations in run are on the same tasks and not compared"
    ]
    # Other seeds are the same cells, and another budget is another task.
    run_tiny(tmp_path / "run", optimizers=["adam", "sgd", "adadelta"], **{**SMALL, "run_budget": "1epochs"})
    assert optbench.compare(tmp_path / "run").notes == []


def test_budgets_in_seconds_are_equal_in_seconds(tmp_path: Path) -> None:
    choices = {**SMALL, "tuning_worth": 0, "run_budget": "0.02seconds"}
    results = run_tiny(tmp_path / "run", optimizers=["adam", "lbfgs"], **choices)
    assert results.cells["run_budget"].nunique() == 2
    compared = optbench.compare(tmp_path / "run")
    assert (compared.notes, compared.verdicts["n_pairs"].tolist()) == ([], [2])
