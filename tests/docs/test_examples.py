"""Each file of `examples/` runs, with less compute, and returns what its text announces."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import optbench
from optbench.importing import load_module
from tests.support.executed import shortened
from tests.support.pages import ROOT

pytestmark = pytest.mark.docs

FOLDER = ROOT / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
#: Trainings of less than a second, in this process.
CHEAP: dict[str, Any] = {"seeds": 2, "run_budget": "1epochs", "tuning_worth": 2, "engine": "serial"}


@pytest.fixture(autouse=True)
def cheaply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shortened(monkeypatch)
    monkeypatch.setenv("OPTBENCH_CACHE", str(tmp_path / "cache"))


def example(name: str) -> ModuleType:
    """An example as workers import it: by its path."""
    return load_module(str(FOLDER / f"{name}.py"))


def assert_complete(run: optbench.Results, optimizers: set[str], problems: set[str]) -> None:
    """Every optimizer has `CHEAP` runs on every problem, with tuned and with default hyperparameters."""
    assert set(run.states().values()) == {"done"}
    assert set(run.runs["optimizer"]) == optimizers
    assert set(run.runs["problem"]) == problems
    assert (run.runs["status"] == "ok").all()
    assert len(run.runs) == 2 * CHEAP["seeds"] * len(optimizers) * len(problems)


def test_own_optimizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = example("own_optimizer").main(tmp_path, **CHEAP)
    assert_complete(run, {"Signum", "adam", "sgd"}, {"mlp", "mlp[layers=4]"})
    betas = run.trials.loc[run.trials["optimizer"] == "Signum", "hp_beta"]
    assert betas.nunique() > 2  # the default and proposals
    assert betas.between(0.5, 0.99).all()
    verdicts = optbench.compare(run.folder).verdicts
    assert sorted(zip(verdicts["problem"], verdicts["optimizer"], strict=True)) == [
        (problem, name) for problem in ("mlp", "mlp[layers=4]") for name in ("Signum", "sgd")
    ]
    out = capsys.readouterr().out
    assert re.search(r"^ok +search_space +beta 0\.5 to 0\.99 linear; lr 1e-05 to 0\.1$", out, re.M)
    assert len(re.findall(r"^(Signum|sgd) +inconclusive ", out, re.M)) == len(verdicts)  # two seeds decide nothing


def test_own_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = example("own_problem").main(tmp_path, **CHEAP)
    assert_complete(run, {"adam", "momentum"}, {"spirals"})
    assert set(run.cells["metric_name"]) == {"accuracy"}
    assert set(run.cells["target"]) == {0.95}
    curves = run.curves[run.curves["kind"] == "run"].sort_values("step").groupby(["cell_id", "seed", "tuned"])
    assert (curves["valid_loss"].last() < curves["valid_loss"].first()).all()
    out = capsys.readouterr().out
    assert re.search(r"^ok +shapes +1200 train, 400 valid, 400 test$", out, re.M)
    assert "against adam by test_metric" in out
    assert "against adam by cost_to_target" in out


def test_own_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a folder that it writes, and with one that is given."""
    module = example("own_data")
    run = module.main(tmp_path, per_class=(10, 4), **CHEAP)
    assert_complete(run, {"adam", "momentum"}, {"cifar_resnet[data=stripes,depth=8,width=8]"})
    assert "stripes: 27 images to train on" in capsys.readouterr().out
    given = tmp_path / "my images, old" / "stripes"
    module.write(given, 10, 4)
    assert {path.parent.name for path in given.glob("*/*/*.png")} == set(module.STRIPES)
    trainings = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.jsonl")}
    again = module.main(tmp_path, given, **CHEAP)
    assert set(again.runs["cell_id"]) == set(run.runs["cell_id"])
    assert {path: path.stat().st_mtime_ns for path in again.folder.rglob("*.jsonl")} == trainings != {}


def test_own_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("own_table")
    run = module.main(tmp_path, **CHEAP)
    assert set(run.states().values()) == {"done"}
    assert (run.runs["status"] == "ok").all()
    assert "failed " not in capsys.readouterr().out.partition("<optbench results")[0], "every check passes"
    file = tmp_path / "flats.csv"
    assert file.stat().st_size < 10_000
    table = pd.read_csv(file)
    assert table["age"].isna().any()
    data = module.Flats(str(file)).load_data(None)
    numbers = data.train[0][:, :3]
    assert numbers.mean(0).tolist() == pytest.approx([0] * 3, abs=1e-5)
    assert numbers.std(0).tolist() == pytest.approx([1] * 3, abs=1e-5)
    assert not any(part[0].isnan().any() for part in (data.train, data.valid, data.test))
    assert abs(float(data.test[0][:, 0].mean())) > 1e-3, "the test part is not standardised by itself"


def test_lesson(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = example("lesson").main(tmp_path, **{**CHEAP, "tuning_worth": 0})
    assert set(run.runs["optimizer"]) == set(example("lesson").OPTIMIZERS)
    diverged = run.runs[run.runs["status"] == "diverged"]
    assert len(diverged)
    assert set(zip(diverged["problem"], diverged["optimizer"], strict=True)) == {("quadratic_valley", "sgd[lr=0.1]")}
    ended = run.runs[run.runs["problem"] == "mlp"].groupby("optimizer")["test_loss"].median()
    assert ended["sgd[lr=0.1]"] < ended["sgd[lr=0.01]"] < ended["sgd[lr=0.001]"]
    out, err = capsys.readouterr()
    assert f"{len(diverged)} of {len(run.runs)} runs diverged>" in out
    assert "cells to compute" in err
    for name in ("paths", "loss"):
        assert "<svg" in (tmp_path / f"lesson-{name}.svg").read_text("utf-8")


def test_paper_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With a verdict; then with a failed cell, from which nothing is concluded."""
    run = example("paper_comparison").main(tmp_path, **CHEAP)
    assert_complete(run, {"adam", "nesterov"}, {"autoencoder"})
    [verdict] = optbench.compare(run.folder, reference="adam").verdicts.to_dict("records")
    assert (verdict["optimizer"], verdict["n_pairs"]) == ("nesterov", CHEAP["seeds"])
    out = capsys.readouterr().out
    assert f"{verdict['effect']:.2f} times its error" in out
    assert "2 paired seeds; with the tuning 12 trainings of 1epochs" in out
    said = {"win": "ends lower than", "loss": "ends higher than", "inconclusive": "cannot be told apart from"}
    assert f"nesterov {said[verdict['verdict']]} adam\n(" in out
    assert (tmp_path / "paper_comparison.pdf").read_bytes().startswith(b"%PDF")
    assert "nesterov & adam & " + verdict["verdict"] in (tmp_path / "paper_comparison.tex").read_text("utf-8")
    assert "more_seeds" in (tmp_path / "paper_comparison.csv").read_text("utf-8")
    monkeypatch.setattr(optbench.Results, "states", lambda self: {"one": "done", "other": "failed"})
    with pytest.raises(SystemExit, match="retry_failed=True"):
        example("paper_comparison").main(tmp_path, **CHEAP)
    assert "What may be said" not in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_each_is_listed_and_short(name: str) -> None:
    assert f"`python examples/{name}.py`" in (FOLDER / "README.md").read_text("utf-8")
    text = (FOLDER / f"{name}.py").read_text("utf-8")
    assert f"    python examples/{name}.py [FOLDER]" in text
    assert len(text.splitlines()) <= 90
