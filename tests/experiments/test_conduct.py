"""What an experiment writes: its section, figure and tables, and the verb that conducts it."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pytest

from optbench.cli.verbs import COMPLETE, WRONG_USE, _main
from optbench.errors import UserError
from optbench.experiments.claims import CLAIMS
from optbench.experiments.experiment import Setting
from optbench.experiments.verdict import HOLDS
from optbench.problem.data import DataSource
from tests.support.conducted import coarsely
from tests.support.drawn import only
from tests.support.tiny import CHOICES, RAISING

SMALL = "gradient-descent-limits[steps=100,rates=41,conditions=(10)]"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a test forgets to name lands in the checkout."""
    monkeypatch.chdir(tmp_path)


def test_the_verb_writes_section_figure_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with patch("optbench.training.landscape.POINTS", 9):
        assert _main(["experiment", SMALL, "--quick", "--results", str(tmp_path), "--workers", "1"]) == COMPLETE
    out = capsys.readouterr().out
    folder = tmp_path / "experiments-quick"
    section = json.loads((folder / "gradient-descent-limits.json").read_text("utf-8"))
    assert section["claim"] == CLAIMS["gradient-descent-limits"]
    assert section["claim"] in out
    assert f"verdict  {section['verdict']}" in out
    assert section["parameters"]["conditions"] == [10]
    assert section["command"].endswith(f"experiment '{SMALL}' --quick")
    assert section["environment"]["packages"]["torch"]
    for suffix in ("svg", "png", "pdf"):
        assert (folder / f"gradient-descent-limits.{suffix}").stat().st_size > 1000
    for name in section["tables"]:
        assert len(pd.read_csv(folder / name)) == len(pd.read_parquet((folder / name).with_suffix(".parquet"))) > 0
    measurements = pd.read_csv(folder / section["tables"][0])
    assert measurements["verdict"].tolist() == [row["verdict"] for row in section["findings"]]
    assert set(measurements["verdict"]) == {HOLDS}
    assert measurements["quantity"].iloc[0] in (folder / "gradient-descent-limits/tables/findings.md").read_text(
        "utf-8"
    )


def test_the_verb_adds_sections_to_the_page_of_results(
    tiny_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smaller = "gradient-descent-limits[steps=10,rates=5,conditions=(10)]"
    arguments = ["experiment", smaller, "--quick", "--results", str(tmp_path / "here"), "--report", str(tiny_copy)]
    with coarsely(), only():
        assert _main(arguments) == COMPLETE
    page = Path(capsys.readouterr().out.splitlines()[-1].removeprefix("report   ")).read_text("utf-8")
    assert "Experiment: gradient-descent-limits" in page
    assert CLAIMS["gradient-descent-limits"] in page
    assert "largest stable rate, L = 10" in page


def test_the_list_names_every_claim(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["experiment", "--list"]) == COMPLETE
    out = capsys.readouterr().out
    assert all(name in out and claim in out for name, claim in CLAIMS.items())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["gradient-decent"], "unknown experiment 'gradient-decent'; did you mean 'gradient-descent-limits'?"),
        ([SMALL, "--device", "gpu"], "unknown device 'gpu'"),
        ([], "missing the name of an experiment (accepted: NAME…, or --list)"),
        ([SMALL, "--report", "nowhere"], "unknown results directory 'nowhere'"),
        ([SMALL, "momentun"], "unknown experiment 'momentun'"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(["experiment", *arguments, "--results", str(tmp_path)]) == WRONG_USE
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert complaint in err
    assert not list(tmp_path.iterdir())


def test_a_failed_cell_ends_the_experiment(tmp_path: Path) -> None:
    """A figure without it would not be what its caption says."""
    setting = Setting(tmp_path / "made", {}, DataSource(tmp_path, False), engine="serial")
    choices = {name: value for name, value in CHOICES.items() if name != "devices"}
    with pytest.raises(UserError, match="failed: RuntimeError: the third step is too much"):
        setting.run("part", **{**choices, "optimizers": [RAISING], "seeds": 1, "tuning_worth": 0})
