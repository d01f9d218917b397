"""What notebooks show, and figures as functions."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.axes import Axes

import optbench
from optbench.formatting import format_cell
from optbench.metrics.leaderboard import leaderboard
from optbench.plots.registry import PLOTS
from optbench.results.stored import GROUP
from tests.support.directories import write_directory


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> optbench.Results:
    names = ("<b>bold</b>", "adam", "sgd")
    return optbench.load(
        write_directory(
            tmp_path_factory.mktemp("notebook") / "a & b", names, batch_sizes=(32,), seeds=3, trials=3, points=8
        )
    )


def test_the_summary_shows_the_best_of_each_task(results: optbench.Results) -> None:
    class Text(HTMLParser):
        rows = 0
        bold = 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.rows += tag == "tr"
            self.bold += tag == "b"

    text = results._repr_html_()
    page = Text()
    page.feed(text)
    board = leaderboard(results.runs, results.cells)
    assert page.rows == 1 + len(board.drop_duplicates(GROUP)) == 4
    assert page.bold == 1, "the name of the results, and no optimizer's"
    assert "a &amp; b" in text
    assert "9 of 9 cells complete, 0 failed" in text
    assert "3 seeds: too few" in text
    for row in board[board["rank"] == 1].drop_duplicates(GROUP).to_dict("records"):
        assert f"<td>{format_cell('test_metric', row['test_metric'])}</td>" in text


def test_a_partial_directory_has_a_summary_too(tmp_path: Path) -> None:
    partial = optbench.load(write_directory(tmp_path / "part", missing=18, trials=2, seeds=1, points=4))
    assert "0 of 18 cells complete, 0 failed, 18 not run" in partial._repr_html_()


@pytest.mark.parametrize("name", ["aggregate", "trajectories"])
def test_a_figure_gives_axes_and_its_frame(results: optbench.Results, name: str) -> None:
    axes, frame = optbench.figure(results, name, "valley" if PLOTS[name].each_problem else None)
    assert all(isinstance(ax, Axes) for ax in (axes if isinstance(axes, list) else [axes]))
    assert isinstance(frame, pd.DataFrame)
    assert len(frame)


def test_what_cannot_be_drawn_is_one_line(results: optbench.Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optbench.metrics.tables.TABLES", {})  # trajectories are drawn from none of these
    with pytest.raises(optbench.UserError, match=r"unknown figure 'lr_sensitivty'.*lr_sensitivity"):
        optbench.figure(results, "lr_sensitivty")
    with pytest.raises(optbench.UserError, match=r"'valey'.*valley"):
        optbench.figure(results, "lr_sensitivity", "valey")
    with pytest.raises(optbench.UserError, match="not a two-dimensional function"):
        optbench.figure(results, "trajectories", "clouds")
