"""Tables, plots, page and recommendations of frozen results: those of what they were made of, written elsewhere."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import optbench
from optbench.baselines.freeze import freeze
from optbench.cli.verbs import COMPLETE, WRONG_USE, _main
from optbench.errors import UserError
from optbench.metrics.leaderboard import leaderboard
from tests.support.conducted import coarsely
from tests.support.drawn import only


@pytest.fixture(scope="module")
def stored(tiny_run: optbench.Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return freeze(tiny_run, tmp_path_factory.mktemp("stored") / "kept").folder


def test_the_page_is_written_here_and_nothing_there(
    stored: Path, tiny_run: optbench.Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = sorted(stored.rglob("*"))
    monkeypatch.chdir(tmp_path)
    with coarsely(), only("final_metric"):
        assert _main(["report", str(stored)]) == COMPLETE
    assert capsys.readouterr().out == "reports/kept.html\n"
    assert sorted(stored.rglob("*")) == before
    page = Path("reports/kept.html").read_text("utf-8")
    assert "2 of 2 cells complete" in page
    assert "without times" in page
    found = pd.read_parquet("reports/kept/tables/leaderboard.parquet")
    own = leaderboard(tiny_run.runs, tiny_run.cells)
    kept = ["problem", "optimizer", "rank", "test_metric", "lr"]
    pd.testing.assert_frame_equal(found[kept], own[kept], check_dtype=False)
    assert list(Path("reports/kept/plots").glob("*.svg"))


def test_times_are_refused(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seconds_to_target cannot be compared"):
        optbench.report(stored, tmp_path / "page.html", "seconds_to_target")
    assert not (tmp_path / "page.html").exists()


def test_recommendations_are_the_same(stored: Path, tiny_run: optbench.Results) -> None:
    found, own = (optbench.recommend(folder, trials=2) for folder in (stored, tiny_run.folder))
    pd.testing.assert_frame_equal(found, own, check_dtype=False)


def test_a_command_that_needs_a_results_directory_says_what_these_are(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(["status", str(stored)]) == WRONG_USE
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "holds frozen results" in error
    assert "report, compare, recommend" in error
