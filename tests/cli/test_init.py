"""`optbench init`: the file it writes is the preset that it was made from, and names every setting."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from optbench.cli import text as listing
from optbench.cli.init import template
from optbench.cli.verbs import COMPLETE, WRONG_USE, _main
from optbench.config.load import load_config
from optbench.config.presets import PRESETS
from optbench.config.schema import Config, Ladder, Tuning
from optbench.planning.matrix import make_plan


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("preset", PRESETS)
def test_it_plans_what_the_preset_plans(preset: str) -> None:
    assert _main(["init", "mine.toml", "--preset", preset]) == COMPLETE
    plans = [make_plan(load_config(file=Path("mine.toml"))), make_plan(load_config(preset))]
    assert plans[0].cells == plans[1].cells
    assert listing.plan_text(plans[0], 1) == listing.plan_text(plans[1], 1)


def test_every_setting_has_a_meaning_and_a_line_that_is_accepted_without_its_mark() -> None:
    text = template("quick").partition("# Define your own optimizers")[0]
    fields = {**Config.model_fields, **Tuning.model_fields, **Ladder.model_fields}
    assert all(field.description for name, field in fields.items() if name not in ("tuning", "ladder", "optimizer"))
    unmarked = "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines())
    settings = tomllib.loads(unmarked)
    Config.model_validate(settings)
    assert {*settings, "optimizer"} == set(Config.model_fields)
    assert set(settings["tuning"]) == set(Tuning.model_fields)
    assert set(settings["ladder"]) == set(Ladder.model_fields)


@pytest.mark.parametrize("preset", PRESETS)
def test_commands_in_comments_are_whole(preset: str) -> None:
    comments = [line for line in template(preset).splitlines() if line.startswith("#")]
    assert [line for line in comments if line.count("`") % 2] == []
    assert [line for line in comments if len(line) > 120 or "\N{NO-BREAK SPACE}" in line] == []
    assert any("`optbench list optimizers`" in line for line in comments)


def test_a_file_that_is_there_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("optbench.toml")
    file.write_text("seeds = 7\n")
    assert _main(["init"]) == WRONG_USE
    assert capsys.readouterr().err == "optbench: optbench.toml already exists (--force overwrites it)\n"
    assert file.read_text() == "seeds = 7\n"
    assert _main(["init", "--force"]) == COMPLETE
    assert file.read_text("utf-8") == template("quick")


def test_an_unknown_preset_is_refused_and_nothing_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["init", "--preset", "quik"]) == WRONG_USE
    assert "did you mean 'quick'?" in capsys.readouterr().err
    assert not Path("optbench.toml").exists()
