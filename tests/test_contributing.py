"""The examples of CONTRIBUTING.md, written into an empty folder as they stand there, work on the first attempt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import optbench
from optbench.cli.verbs import COMPLETE, _main
from tests.support.cluster import Cluster
from tests.support.drawn import only
from tests.support.same_results import assert_same_results

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
PROBLEMS = {"tensors.py:MyTensors": "my_tensors", "counting.py:Counting": "counting",
            "himmelblau.py:Himmelblau": "himmelblau"}  # fmt: skip
FILES = [*(target.partition(":")[0] for target in PROBLEMS), "lion.py"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the page's files, and tensors of a user's own."""
    folder = tmp_path_factory.mktemp("contributing")
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)
    for name, text in blocks:
        (folder / name).write_text(text, "utf-8")
    assert [name for name, _ in blocks] == FILES
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    torch.save({"x": x, "y": x[:, :1] - x[:, 1:2]}, folder / "tensors.pt")
    return folder


def test_each_is_short(folder: Path) -> None:
    lines = {name: len((folder / name).read_text("utf-8").splitlines()) for name in FILES}
    assert {name: count for name, count in lines.items() if count >= 55} == {}


def test_all_conform(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    assert _main(["check", *FILES]) == COMPLETE
    out = capsys.readouterr().out
    assert out.count("\n  all checks passed") == len(FILES)
    assert "  failed  " not in out


def test_they_are_run_and_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the preset's settings except for what makes them short, and few plots; the page is then made again."""
    monkeypatch.chdir(folder)
    chosen = [word for target in PROBLEMS for word in ("--problem", target)]
    short = ("--run-budget", "500examples", "--seeds", "2", "--tuning-worth", "2", "--engine", "serial")
    with only("trajectories"):
        assert _main(["run", *chosen, "--optimizer", "lion.py:Lion", *short, "--name", "mine"]) == COMPLETE
    out = capsys.readouterr().out
    assert "\n5 of 5 cells complete\n" in out  # two batch sizes of the preset, of which a function takes none
    results = optbench.load(folder / "results" / "mine")
    assert set(results.cells["problem"]) == set(PROBLEMS.values())
    assert (results.runs["status"] == "ok").all()
    curves = results.curves[(results.curves["kind"] == "run") & results.curves["seed"].notna()]
    ends = curves.sort_values("step").groupby(["problem", "batch_size"])["valid_loss"].agg(["first", "min"])
    assert (ends["min"] < ends["first"]).all()
    assert {path.name for path in (folder / "results" / "mine" / "plots").glob("trajectories*.svg")}
    page = folder / "reports" / "mine.html"
    before = page.read_text("utf-8")
    assert all(label in before for label in (*PROBLEMS.values(), "Lion"))
    page.unlink()
    with only():
        assert _main(["report", "mine"]) == COMPLETE
    assert capsys.readouterr().out.strip() == str(Path("reports") / "mine.html")
    assert page.read_text("utf-8").count("<table") == before.count("<table")


def test_another_content_of_the_file_makes_other_cells(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    def cell() -> str:
        return optbench.plan(problems=["tensors.py:MyTensors"], optimizers=["adam"], batch_sizes=[20]).cells[0].id

    before, own = cell(), torch.load("tensors.pt")
    torch.save({**own, "y": own["y"] + 1}, "tensors.pt")
    assert cell() != before
    torch.save(own, "tensors.pt")
    assert cell() == before


@pytest.mark.processes
def test_a_worker_elsewhere_computes_what_a_serial_run_does(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Dask worker in another directory, to which the files travel."""
    monkeypatch.chdir(folder)
    choices: dict[str, Any] = {
        "problems": ["counting.py:Counting", "himmelblau.py:Himmelblau"], "optimizers": ["lion.py:Lion"], "seeds": 2,
        "run_budget": "500examples", "tuning_worth": 2, "results": tmp_path, "outputs": False,
    }  # fmt: skip
    optbench.run(engine="serial", name="serial", **choices)
    (tmp_path / "cluster").mkdir()
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.add_worker()
        optbench.run(engine="dask", scheduler=cluster.address, name="dask", **choices)
    assert_same_results(tmp_path / "serial", tmp_path / "dask")
