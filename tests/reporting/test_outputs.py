"""Tables, plots and report from results: all there, equal to the frames, made anew only when needed."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

import optbench
from optbench.errors import UserError
from optbench.plots import draw, style
from optbench.reporting.figures import SHOWN
from optbench.reporting.outputs import write_outputs
from optbench.results.directory import ResultsDirectory
from tests.support.conducted import coarsely
from tests.support.drawn import only
from tests.support.tiny import RAISING, run_tiny


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and its report, with all tables, all plots (as SVG) and the page. Only to be read."""
    folder = tmp_path_factory.mktemp("outputs") / "run"
    with coarsely():
        run_tiny(folder, outputs=False, optimizers=["sgd", RAISING])
        optbench.report(folder)
    return folder


def test_every_frame_is_there_as_parquet_and_csv(written: Path) -> None:
    results = optbench.load(written)
    for name in ("runs", "trials", "curves", "cells"):
        frame = getattr(results, name)
        parquet = pd.read_parquet(written / "tables" / f"{name}.parquet")
        assert list(parquet.columns) == list(frame.columns)
        assert len(parquet) == len(frame) > 0
        pd.testing.assert_series_equal(
            parquet[frame.columns[-1]], frame[frame.columns[-1]], check_exact=True, check_dtype=False
        )
        csv = pd.read_csv(written / "tables" / f"{name}.csv")
        numbers = frame.select_dtypes("float64").columns
        pd.testing.assert_frame_equal(csv[numbers].astype(float), frame[numbers], check_exact=True)
    for suffix in ("parquet", "csv", "md", "tex"):
        assert (written / "tables" / f"leaderboard.{suffix}").stat().st_size > 0


def test_every_plot_is_there_beside_its_frame(written: Path) -> None:
    stems = {path.stem for path in (written / "plots").iterdir()}
    assert {"loss_against_cost-tiny", "lr_sensitivity-tiny", "batch_size_heatmap-tiny", "final_metric-tiny"} <= stems
    assert len(stems) >= 16, "so many that several processes draw them"
    for stem in stems:
        assert (written / "plots" / f"{stem}.svg").read_bytes().startswith(b"<?xml")
        assert (written / "plots" / f"{stem}.csv").read_text().count("\n") > 1


def test_a_report_writes_plots_in_three_formats(written: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(written, tmp_path / "run"))
    with only("final_metric"):
        optbench.report(folder)
    for suffix, magic in ((".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")):
        assert (folder / "plots" / f"final_metric-tiny{suffix}").read_bytes().startswith(magic)


def test_a_run_draws_the_plots_of_its_page_as_svg(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an earlier report that are not drawn again are removed, because they show other results."""
    folder = Path(shutil.copytree(written, tmp_path / "run"))
    for name in ("final_metric-tiny.pdf", "final_loss-tiny.png", "own.svg"):
        (folder / "plots" / name).touch()
    next(folder.glob("cells/*/result.json")).unlink()
    asked: list[str] = []

    def save_one(figure: Figure, directory: Path, stem: str, formats: Collection[str]) -> str:
        asked.append(stem)
        return saved(figure, directory, stem, formats) if stem == "final_metric-tiny" else "<svg></svg>"

    saved = style.save
    monkeypatch.setattr(draw.style, "save", save_one)
    monkeypatch.setattr(draw, "_MANY", 1000)
    run_tiny(folder, outputs=True, optimizers=["sgd", RAISING])
    assert {stem.removesuffix("-tiny") for stem in asked} <= SHOWN
    assert {path.name for path in (folder / "plots").glob("final_*")} == {
        "final_metric-tiny.svg", "final_metric-tiny.csv"
    }  # fmt: skip
    assert (folder / "plots" / "own.svg").exists()


def test_outputs_are_made_anew_only_when_something_changed(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(written, tmp_path / "run"))
    made: list[str] = []

    def page(results: object, tables: object, figures: object, rank_by: str, sections: object) -> str:
        made.append(rank_by)
        return ""

    monkeypatch.setattr("optbench.metrics.tables.TABLES", {})
    monkeypatch.setattr("optbench.plots.draw_all", lambda *_: [])
    monkeypatch.setattr("optbench.reporting.page.report_page", page)
    write_outputs(ResultsDirectory(folder))
    assert made == []
    for _ in range(2):
        write_outputs(ResultsDirectory(folder), rank_by="valid_loss")
        assert made == ["valid_loss"]
    result = next(folder.glob("cells/*/result.json"))
    result.write_bytes(result.read_bytes() + b"\n")
    for _ in range(2):
        write_outputs(ResultsDirectory(folder), rank_by="valid_loss")
        assert made == ["valid_loss"] * 2


def test_a_partial_directory_gives_a_report(tiny_copy: Path) -> None:
    for name in ("result.json", "trials.jsonl"):
        next(tiny_copy.glob(f"cells/*/{name}")).unlink()
    with only():
        page = optbench.report(tiny_copy, tiny_copy / "page.html").read_text("utf-8")
    assert "1 of 2 cells" in page


def test_the_report_shows_failures(written: Path) -> None:
    page = (written / "report.html").read_text("utf-8")
    assert "the third step is too much" in page
    assert "1 of 2 cells" in page


def test_the_directory_stays_locked_until_the_outputs_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def write(directory: ResultsDirectory, **_: object) -> None:
        with pytest.raises(UserError, match="another run is using") as caught:
            ResultsDirectory(directory.folder).lock()
        refused.append(caught)

    monkeypatch.setattr("optbench.reporting.outputs.write_outputs", write)
    run_tiny(tmp_path / "run", outputs=True)
    assert len(refused) == 1
    ResultsDirectory(tmp_path / "run").lock().__enter__()
