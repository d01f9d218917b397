"""The quick start, typed from top to bottom: it prints what the page shows, but for numbers and verdicts. And the
tutorial, which concludes what the verdicts say.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from optbench.cli.verbs import COMPLETE, _main
from tests.support.executed import words
from tests.support.pages import blocks, commands_of

pytestmark = pytest.mark.docs

PAGE = "docs/quick-start.md"


def _shape(text: str) -> list[str]:
    """The lines without what differs between machines: digits, verdicts, the space between columns, the order."""
    text = re.sub(r"\b(win|loss|tie|inconclusive)\b", "VERDICT", text)
    text = re.sub(r"-?(\d[\d.,]*(e[+-]\d+)?|–)", "0", text)
    return sorted(re.sub(r" +", " ", line).strip() for line in text.splitlines() if line.strip())


def test_it_prints_what_the_page_shows(
    reader: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [command for block in blocks("console", page=PAGE) for command in commands_of(block)]
    assert [words(command.text)[1] for command in typed] == ["check", "run", "compare", "run", "compare"]
    (reader / "results" / "first").rename(reader / "results" / "another")
    for command in typed:
        less = ["--run-budget", "2epochs", "--engine", "serial"] if " run " in command.text else []
        assert _main([*words(command.text)[1:], *less]) == COMPLETE, command
        out = capsys.readouterr().out
        assert _shape(out) == _shape(command.shown), f"{command} prints\n{out}"


def test_shapes_differ_where_texts_do() -> None:
    assert _shape("a  win 0.1\nb loss 0.2") == _shape("b tie -12.5\na inconclusive –")
    assert _shape("a win") != _shape("a won")


def test_the_tutorial_concludes_what_the_verdicts_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`docs/tutorial.py` with less compute, in this process."""
    import runpy

    import optbench
    from optbench.metrics.registry import TABLES
    from tests.support.pages import ROOT

    run = optbench.run
    monkeypatch.setattr(
        "optbench.metrics.tables.TABLES", {name: TABLES[name] for name in ("lr_sensitivity", "verdicts")}
    )

    def serially(**choices: Any) -> Any:
        return run(**{**choices, "run_budget": "1epochs", "tuning_worth": 4}, engine="serial")

    monkeypatch.setattr(optbench, "run", serially)
    monkeypatch.setattr("sys.argv", ["tutorial.py", str(tmp_path / "made")])
    runpy.run_path(str(ROOT / "docs" / "tutorial.py"), run_name="__main__")
    out = capsys.readouterr().out
    results = optbench.load(tmp_path / "made" / "adam-momentum")
    assert set(results.runs["optimizer"]) == {"adam", "momentum"}
    assert set(results.runs["problem"]) == {"quadratic_valley", "mlp"}
    verdicts = optbench.compare(results.directory.folder, reference="adam").verdicts
    for row in verdicts.itertuples():
        [line] = [line for line in out.splitlines() if line.startswith(f"- {row.problem}, batch 50: ")]
        said = {"win": "better than", "loss": "worse than", "tie": "as good as", "inconclusive": "don't tell"}
        assert said[str(row.verdict)] in line
        assert f"{row.n_pairs} paired seeds" in line
    assert (tmp_path / "made" / "lr_sensitivity.png").stat().st_size > 10_000
