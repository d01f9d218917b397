"""Writes what people read: tables, plots and the report, and only if they are out of date."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.baselines.located import refuse_times, state_of
from optbench.metrics.definitions import index
from optbench.results.atomic import write_bytes
from optbench.results.directory import ResultsDirectory
from optbench.results.stored import StoredResults

if TYPE_CHECKING:
    from optbench.reporting.section import Section

#: Tables that are pasted into papers, beside those that `metrics.registry` marks.
PAPER_TABLES = {"audit", "leaderboard", "summary"}


@dataclass(frozen=True)
class Outputs:
    """Where the outputs are."""

    tables: Path
    plots: Path
    report: Path


def places(directory: ResultsDirectory, report: Path | None = None, rank_by: str = "test_metric") -> Outputs:
    """Where `write_outputs` puts them, whether they are there or not."""
    folder = directory.folder
    return Outputs(folder / "tables", folder / "plots", report or report_path(folder))


def write_outputs(
    directory: ResultsDirectory,
    report: Path | None = None,
    rank_by: str = "test_metric",
    force: bool = False,
    sections: Sequence[Section] = (),
) -> Outputs:
    """Tables, plots and HTML page of a results directory, also of a partial one; with `sections` of its own, it
    is always written anew.
    """
    outputs = places(directory, report)
    if not (force or sections) and up_to_date(directory, report, rank_by):
        return outputs
    outputs.report.parent.mkdir(parents=True, exist_ok=True)  # one that can't be made is said before all is drawn
    mark, stamp = _mark(directory), f"{_state(directory)} {rank_by}"
    mark.unlink(missing_ok=True)
    from optbench.baselines.against import results_of

    _write(results_of(directory, rank_by), outputs, rank_by, sections)
    write_bytes(mark, stamp.encode())
    return outputs


def write_frozen_outputs(
    folder: Path, report: Path | None = None, rank_by: str = "test_metric", sections: Sequence[Section] = ()
) -> Outputs:
    """Tables, plots and HTML page of frozen results: the page in `reports`, the others in a folder beside it.

    Cells that are out of date are left out, and the page says so. Raises UserError where no other is left.
    """
    refuse_times(rank_by)
    from optbench.baselines.against import stored_results

    page = report or frozen_report_path(folder)
    outputs = Outputs(page.with_suffix("") / "tables", page.with_suffix("") / "plots", page)
    page.parent.mkdir(parents=True, exist_ok=True)
    _write(stored_results(folder)[0], outputs, rank_by, sections)
    return outputs


def _write(results: StoredResults, outputs: Outputs, rank_by: str, sections: Sequence[Section]) -> None:
    from optbench.metrics.registry import TABLES
    from optbench.metrics.tables import all_tables
    from optbench.plots import draw_all
    from optbench.reporting.files import write_tables
    from optbench.reporting.page import report_page

    tables = all_tables(results, rank_by)
    write_bytes(outputs.tables / "README.md", index(tables, outputs.tables, results.warnings).encode())
    write_tables(tables, outputs.tables, PAPER_TABLES | {name for name, table in TABLES.items() if table.paper})
    figures = draw_all(results, tables, outputs.plots)
    write_bytes(outputs.report, report_page(results, tables, figures, rank_by, sections).encode())


def up_to_date(directory: ResultsDirectory, report: Path | None = None, rank_by: str = "test_metric") -> bool:
    """Whether the outputs are there, and were made from the records as they lie on the disk."""
    outputs, mark = places(directory, report), _mark(directory)
    made = (outputs.report, outputs.tables / "summary.parquet", outputs.plots, mark)
    return all(path.exists() for path in made) and mark.read_text("utf-8") == f"{_state(directory)} {rank_by}"


def _mark(directory: ResultsDirectory) -> Path:
    return directory.folder / "tables" / ".made-from"


def _state(directory: ResultsDirectory) -> str:
    """A hash that changes with whatever the outputs are made from."""
    digest = hashlib.sha256(version("optbench").encode())
    plan = directory.plan()
    digest.update((directory.folder / "plan.json").read_bytes())
    if (folder := directory.against()) is not None:
        digest.update(state_of(folder).encode())
    for cell in plan["cells"]:
        files = directory.cell(cell["cell_id"]).files()
        digest.update(f"{cell['cell_id']}:{files}".encode())
    return digest.hexdigest()


def frozen_report_path(folder: Path) -> Path:
    """`reports/NAME.html`, here: frozen results may lie among installed packages, where nothing is to be written."""
    return Path("reports") / f"{folder.name}.html"


def report_path(folder: Path) -> Path:
    """`reports/NAME.html` beside a `results` folder; inside of a results directory that lies elsewhere."""
    if folder.parent.name == "results":
        return folder.parent.parent / "reports" / f"{folder.name}.html"
    return folder / "report.html"
