"""Writes tables, plots and the report of a results directory, only if they are out of date."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.baselines.located import fingerprint, reject_time_metric
from optbench.metrics.definitions import write_index
from optbench.results.atomic import write_bytes
from optbench.results.directory import ResultsDirectory
from optbench.results.stored import StoredResults

if TYPE_CHECKING:
    from optbench.reporting.section import Section

#: Tables that are also written as Markdown and LaTeX, in addition to those that `metrics.registry` marks.
PAPER_TABLES = {"audit", "leaderboard", "summary"}


@dataclass(frozen=True)
class Outputs:
    """The paths of the outputs: the folders of tables and plots, and the page."""

    tables: Path
    plots: Path
    report: Path


def places(directory: ResultsDirectory, report: Path | None = None, rank_by: str = "test_metric") -> Outputs:
    """The paths to which `write_outputs` writes, whether or not they exist."""
    folder = directory.folder
    return Outputs(folder / "tables", folder / "plots", report or report_path(folder))


def write_outputs(
    directory: ResultsDirectory,
    report: Path | None = None,
    rank_by: str = "test_metric",
    force: bool = False,
    sections: Sequence[Section] = (),
    every_plot: bool = True,
) -> Outputs:
    """Writes tables, plots and HTML page of a results directory, which may be partial.

    Outputs that are up to date are kept, unless `force` is set or there are `sections`.

    Args:
        directory: The results directory.
        report: The path of the page; by default that of `report_path`.
        rank_by: The column by which the leaderboard ranks.
        force: Whether to write outputs that are up to date.
        sections: Additional sections of the page.
        every_plot: Whether all plots are written, in all formats, or those of the page, as SVG.

    Returns:
        The paths of the outputs.

    Raises:
        OSError: A file cannot be written.
    """
    outputs = places(directory, report)
    if not (force or sections) and up_to_date(directory, report, rank_by):
        return outputs
    outputs.report.parent.mkdir(parents=True, exist_ok=True)  # fails early, before the plots are drawn
    mark, stamp = _mark(directory), f"{_state(directory)} {rank_by}"
    mark.unlink(missing_ok=True)
    from optbench.baselines.against import load_with_baseline

    _write(load_with_baseline(directory, rank_by), outputs, rank_by, sections, every_plot)
    write_bytes(mark, stamp.encode())
    return outputs


def write_frozen_outputs(
    folder: Path, report: Path | None = None, rank_by: str = "test_metric", sections: Sequence[Section] = ()
) -> Outputs:
    """Writes tables, plots and HTML page of frozen results: the page to `reports`, the others to a folder next to it.

    Cells that are out of date are left out, and the page says so. Raises UserError if no cell is left.
    """
    reject_time_metric(rank_by)
    from optbench.baselines.against import load_stored_results

    page = report or frozen_report_path(folder)
    outputs = Outputs(page.with_suffix("") / "tables", page.with_suffix("") / "plots", page)
    page.parent.mkdir(parents=True, exist_ok=True)
    _write(load_stored_results(folder)[0], outputs, rank_by, sections)
    return outputs


def _write(
    results: StoredResults, outputs: Outputs, rank_by: str, sections: Sequence[Section], every_plot: bool = True
) -> None:
    from optbench.metrics.registry import TABLES
    from optbench.metrics.tables import all_tables
    from optbench.plots import draw_all
    from optbench.reporting.figures import SHOWN
    from optbench.reporting.files import write_tables
    from optbench.reporting.page import report_page

    tables = all_tables(results, rank_by)
    write_bytes(outputs.tables / "README.md", write_index(tables, outputs.tables, results.warnings).encode())
    write_tables(tables, outputs.tables, PAPER_TABLES | {name for name, table in TABLES.items() if table.paper})
    only, formats = (None, None) if every_plot else (SHOWN, ())
    figures = draw_all(results, tables, outputs.plots, only, formats)
    write_bytes(outputs.report, report_page(results, tables, figures, rank_by, sections).encode())


def up_to_date(directory: ResultsDirectory, report: Path | None = None, rank_by: str = "test_metric") -> bool:
    """Whether the outputs exist and were made from the records that are on the disk now."""
    outputs, mark = places(directory, report), _mark(directory)
    made = (outputs.report, outputs.tables / "summary.parquet", outputs.plots, mark)
    return all(path.exists() for path in made) and mark.read_text("utf-8") == f"{_state(directory)} {rank_by}"


def _mark(directory: ResultsDirectory) -> Path:
    return directory.folder / "tables" / ".made-from"


def _state(directory: ResultsDirectory) -> str:
    """A hash of everything from which the outputs are made."""
    digest = hashlib.sha256(version("optbench").encode())
    plan = directory.plan()
    digest.update((directory.folder / "plan.json").read_bytes())
    if (folder := directory.against()) is not None:
        digest.update(fingerprint(folder).encode())
    for cell in plan["cells"]:
        files = directory.cell(cell["cell_id"]).files()
        digest.update(f"{cell['cell_id']}:{files}".encode())
    return digest.hexdigest()


def frozen_report_path(folder: Path) -> Path:
    """`reports/NAME.html` in the working directory: frozen results may be part of an installed package."""
    return Path("reports") / f"{folder.name}.html"


def report_path(folder: Path) -> Path:
    """`reports/NAME.html` next to the `results` folder; `report.html` in a results directory that is elsewhere."""
    if folder.parent.name == "results":
        return folder.parent.parent / "reports" / f"{folder.name}.html"
    return folder / "report.html"
