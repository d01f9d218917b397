"""Completion: the names that exist, as the shells ask for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from optbench.cli.completion import SHELLS
from optbench.cli.verbs import COMPLETE, _main, cli


def offered(*words: str) -> set[str]:
    """What is offered for the last of the words."""
    asked = ShellComplete(cli, {}, "optbench", "_OPTBENCH_COMPLETE")
    return {item.value for item in asked.get_completions(list(words[:-1]), words[-1])}


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_ask_the_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["completion", shell]) == COMPLETE
    out = capsys.readouterr().out
    assert f"_OPTBENCH_COMPLETE={shell}_complete" in out
    assert "%(" not in out


def test_verbs_options_and_names() -> None:
    assert offered("r") == {"run", "report", "recommend", "reference"}
    assert "--run-budget" in offered("run", "--run")
    assert offered("run", "--preset", "s") == {"standard"}
    assert offered("plan", "--problem", "quad") >= {"quadratic_valley"}
    assert offered("run", "--optimizer", "adamw") >= {"adamw", "adamw_scheduled"}
    assert offered("experiment", "batch-s") == {"batch-size", "batch-speedup"}
    assert offered("check", "") >= {"adam", "mlp"}
    assert offered("check", "ml") >= {"mlp"}
    assert offered("run", "--engine", "s") == {"serial"}
    assert offered("run", "--sampler", "g") == {"gp", "grid"}
    assert offered("plan", "--pruner", "s") == {"successive-halving"}
    assert offered("plan", "--execution", "c") == {"compile", "cuda_graph"}
    assert offered("report", "--rank-by", "test_") == {"test_metric", "test_loss"}
    assert offered("run", "--against", "ref") == offered("compare", "ref") == {"reference"}
    assert offered("list", "p") == {"problems", "presets"}
    assert offered("run", "--schedule", "w") == {"wsd"}
    assert offered("plan", "--schedule", "") >= {"constant", "inverse_sqrt", "restarts"}


def test_results_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, file in (("results/one", "format.json"), ("results/none", "x"), ("other/only", "format.json")):
        Path(folder).mkdir(parents=True)
        Path(folder, file).touch()
    assert offered("status", "o") == {"one"}
    assert offered("report", "--results", "other", "o") == {"only"}
    assert offered("status", "z") == {"z"}  # a folder's name, which the shell completes


def test_a_wrong_verb_offers_nothing_and_fails_nothing() -> None:
    offered("no-such-verb", "")
