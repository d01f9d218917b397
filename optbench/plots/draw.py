"""Draws and writes all plots of a results directory, each with the frame of its values."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from optbench.errors import one_line
from optbench.formatting import guard_formulas
from optbench.plots import style
from optbench.plots.glyphs import ignore_missing_glyphs
from optbench.plots.registry import PLOTS
from optbench.results.atomic import write_bytes
from optbench.results.stored import StoredResults

#: The number of plots from which several processes draw them; for fewer, starting the processes takes longer.
_MANY = 16


@dataclass(frozen=True)
class Picture:
    """A plot as it was written.

    Attributes:
        problem: The problem that it shows; empty for all problems.
        plot: The name of the plot in `PLOTS`.
        title: Its heading.
        caption: How to read it, or why it could not be drawn.
        svg: Its SVG; empty if it could not be drawn.
        file: The path of its SVG file; the other files have the same name with another suffix.
    """

    problem: str
    plot: str
    title: str
    caption: str
    svg: str
    file: Path | None = None


def draw_all(
    results: StoredResults,
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
    only: Collection[str] | None = None,
    formats: Collection[str] | None = None,
) -> list[Picture]:
    """Draws and writes the plots of all problems together, then those of each problem.

    Files of these plots that are not written are removed, because they would show earlier results.

    Args:
        results: The results, from `optbench.load`.
        tables: The result of `metrics.tables.all_tables`.
        folder: The folder for the files.
        only: The names of the plots that are drawn (default: all).
        formats: The formats in addition to SVG (default: all of `style.FORMATS`).

    Returns:
        The plots, including those that could not be drawn, without those that do not apply to these results.

    Raises:
        OSError: A file cannot be written.
    """
    overall = [("", plot) for plot, entry in PLOTS.items() if not entry.each_problem]
    single = [plot for plot, entry in PLOTS.items() if entry.each_problem]
    each = [(problem, plot) for problem in results.cells["problem"].unique() for plot in single]
    jobs = []
    for job in _name_files([*overall, *each]):
        if only is None or job[1] in only:
            jobs.append(job)
        else:
            _remove(folder, job[2])
    processes = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    pictures: list[Picture | None] | None = None
    if processes > 1 and len(jobs) >= _MANY:
        # Forked processes share the frames without copying them. On other systems, plots are drawn one by one.
        held = (results, tables, folder, formats, os.getpid())
        # If a process is killed, for example because memory is short, everything is drawn in this process.
        with (
            suppress(BrokenProcessPool),
            ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _hold, held) as pool,
        ):
            # The plots of single problems come first, because they have more panels and take longer.
            pictures = list(pool.map(_draw_held, *zip(*reversed(jobs), strict=True)))[::-1]
    if pictures is None:
        pictures = [_draw(results, tables, folder, formats, *job) for job in jobs]
    return [picture for picture in pictures if picture is not None]


def _name_files(plots: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Problem, plot and the stem of its files, which is unique."""
    jobs, stems = [], set()
    for problem, plot in plots:
        slug = re.sub(r"[^\w.=,-]+", "_", problem).strip("_")[:80]
        stem = f"{plot}-{slug}" if problem else plot
        while stem in stems:
            stem += "_"
        stems.add(stem)
        jobs.append((problem, plot, stem))
    return jobs


def _remove(folder: Path, stem: str) -> None:
    """Removes the files of a plot."""
    for suffix in (*style.FORMATS, "csv"):
        (folder / f"{stem}.{suffix}").unlink(missing_ok=True)


#: In a process that draws: the arguments of `draw_all`.
_held: list[Any] = []


def _hold(
    results: StoredResults,
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
    formats: Collection[str] | None,
    parent: int,
) -> None:
    # An interrupt is meant for the waiting process, which then ends these; they also end when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _held[:] = [results, tables, folder, formats]


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _draw_held(problem: str, plot: str, stem: str) -> Picture | None:
    results, tables, folder, formats = _held
    return _draw(results, tables, folder, formats, problem, plot, stem)


def _draw(
    results: StoredResults,
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
    formats: Collection[str] | None,
    problem: str,
    plot: str,
    stem: str,
) -> Picture | None:
    """Draws and writes one plot; None if it does not apply to the problem."""
    svg, caption = "", PLOTS[plot].caption
    try:
        with ignore_missing_glyphs():
            drawn = PLOTS[plot].draw(results, tables, problem)
        if drawn is None:
            _remove(folder, stem)
            return None
        figure, frame = drawn
        svg = style.save(figure, folder, stem, formats)
        write_bytes(folder / f"{stem}.csv", _csv(frame))
    except OSError:
        raise
    except style.NothingToDraw as reason:
        caption = f"Not drawn: {reason}."
    except Exception as error:
        # One failing figure must not prevent the tables, the other figures and the page.
        caption = f"This figure could not be drawn ({one_line(error)})."
    if not svg:
        _remove(folder, stem)
    title = plot.replace("_", " ").replace("lr", "learning rate") + (f": {problem}" if problem else "")
    return Picture(problem, plot, title[0].upper() + title[1:], caption, svg, folder / f"{stem}.svg")


def _csv(frame: pd.DataFrame) -> bytes:
    labelled = not isinstance(frame.index, pd.RangeIndex)
    table = frame.reset_index() if labelled else frame
    return guard_formulas(table).to_csv(index=False, lineterminator="\n").encode()
