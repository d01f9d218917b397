"""The texts of user errors: one line that names the thing, what is accepted, and the nearest match."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

import optbench
from optbench.config.load import configure
from optbench.errors import UserError, one_line, out_of_range, unknown
from optbench.importing import load_attribute
from optbench.results.directory import ResultsDirectory


def test_unknown_names_the_thing_the_nearest_match_and_what_is_accepted() -> None:
    error = unknown("optimizer", "adm", ["sgd", "adam"])
    assert isinstance(error, UserError)
    assert str(error) == "unknown optimizer 'adm'; did you mean 'adam'? (accepted: adam, sgd)"


def test_suggestions_ignore_case() -> None:
    assert "did you mean 'adamw'?" in str(unknown("optimizer", "AdamW", ["adam", "adamw", "sgd"]))
    assert "did you mean 'MyOpt'?" in str(unknown("name", "MYOPT", ["MyOpt", "other"]))


def test_a_file_lists_what_it_defines_not_what_it_imports(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import math\nfrom dataclasses import dataclass\nfrom pathlib import Path\nimport torch\n"
        "from torch.optim import SGD\nimport optbench\nNUMBER = 3\n"
        "class Mine(SGD):\n    pass\n"
        "given = optbench.OptimizerSpec('given', 'torch.optim:SGD', 0.1, optbench.Range(0.01, 1.0))\n"
    )
    with pytest.raises(UserError) as caught:
        load_attribute(f"{tmp_path}/own.py:mine")
    assert str(caught.value).endswith("did you mean 'Mine'? (accepted: Mine, given)")


def test_keyword_arguments_list_the_shortcuts_that_work() -> None:
    with pytest.raises(UserError, match=r"did you mean 'problems'\? .*file, .*tuning_worth") as caught:
        configure(problem=["mlp"])
    assert "seeds" in str(caught.value)
    assert configure(tuning_worth=3).tuning.worth == 3


def test_results_are_suggested_where_they_usually_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ResultsDirectory(Path("results") / "paper").create()
    with pytest.raises(UserError, match=r"unknown results directory 'paper'; did you mean 'results/paper'\?"):
        optbench.load("paper")
    with pytest.raises(UserError, match=r"unknown results directory 'papers' in \."):
        optbench.load("papers")


def test_the_package_names_its_version() -> None:
    assert optbench.__version__ == version("optbench")


def test_unknown_guesses_nothing_where_nothing_is_near() -> None:
    assert str(unknown("device", "npu7", ["mps", "cuda"])) == "unknown device 'npu7' (accepted: cuda, mps)"
    assert str(unknown("thing", 3, [])) == "unknown thing '3' (accepted: none)"


def test_unknown_sorts_numbers_by_size() -> None:
    assert str(unknown("batch size", 7, {100, 20, 3})) == "unknown batch size '7' (accepted: 3, 20, 100)"
    assert str(unknown("device", "x", ["cuda:10", "cuda:2", "cpu"])).endswith("(accepted: cpu, cuda:2, cuda:10)")
    assert str(unknown("size", "x", ["1000", "big", "20"])).endswith("(accepted: 20, 1000, big)")


def test_out_of_range_shows_the_value_and_what_is_accepted() -> None:
    assert str(out_of_range("depth", 9, "6n + 2")) == "depth = 9 is out of range (accepted: 6n + 2)"
    assert str(out_of_range("depth", "x", "6n + 2")) == "depth = 'x' is not valid (accepted: 6n + 2)"


def test_whatever_a_user_writes_stays_on_one_line() -> None:
    for error in (unknown("name", "a\nb\r\u2028c", ["x"]), out_of_range("value", "a\nb", "x")):
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("bad\nsecond line"), "ValueError: bad"),
        (RuntimeError("\n  late"), "RuntimeError: late"),
        (KeyError("x"), "KeyError: 'x'"),
        (MemoryError(), "MemoryError"),
        (ValueError("  "), "ValueError"),
    ],
)
def test_one_line_of_any_exception(error: Exception, line: str) -> None:
    assert one_line(error) == line
