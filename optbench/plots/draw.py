"""All plots of a results directory, drawn and written, each beside the frame that it draws."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from optbench.errors import one_line
from optbench.plots import style
from optbench.plots.registry import PLOTS
from optbench.results.atomic import write_bytes
from optbench.results.stored import StoredResults

#: From so many pictures on they are drawn by several processes at once: fewer take no longer than starting these.
_MANY = 16


@dataclass(frozen=True)
class Picture:
    """A plot as it was written: the problem (empty: all of them) and plot it is of, its heading, how
    to read it, its SVG (empty where it could not be drawn; the caption says why), and where its files are,
    but for their suffix.
    """

    problem: str
    plot: str
    title: str
    caption: str
    svg: str
    file: Path | None = None


def draw_all(results: StoredResults, tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Picture]:
    """Draws and writes the plots of `results` (what `optbench.load` gives): those of all problems
    together, then those of each problem.

    `tables` has what `tables.all_tables` gives. Raises OSError where the disk does not take them.
    """
    overall = [("", plot) for plot, entry in PLOTS.items() if not entry.each_problem]
    single = [plot for plot, entry in PLOTS.items() if entry.each_problem]
    each = [(problem, plot) for problem in results.cells["problem"].unique() for plot in single]
    jobs = _named([*overall, *each])
    processes = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    found: list[Picture | None] | None = None
    if processes > 1 and len(jobs) >= _MANY:
        # Forked, so that the frames are there without being copied; elsewhere than on Linux one by one.
        held = (results, tables, folder, os.getpid())
        # One of them killed, for want of memory say, costs only the time: then all is drawn here.
        with (
            suppress(BrokenProcessPool),
            ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _hold, held) as pool,
        ):
            found = list(pool.map(_draw_held, *zip(*jobs, strict=True)))
    if found is None:
        found = [_draw(results, tables, folder, *job) for job in jobs]
    return [picture for picture in found if picture is not None]


def _named(pictures: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Problem, plot and the stem of its files, which no two share."""
    jobs, stems = [], set()
    for problem, plot in pictures:
        slug = re.sub(r"[^\w.=,-]+", "_", problem).strip("_")[:80]
        stem = f"{plot}-{slug}" if problem else plot
        while stem in stems:
            stem += "_"
        stems.add(stem)
        jobs.append((problem, plot, stem))
    return jobs


#: In a process that draws: what it draws of, and where to.
_held: list[Any] = []


def _hold(results: StoredResults, tables: Mapping[str, pd.DataFrame], folder: Path, parent: int) -> None:
    # Whoever interrupts means the process that waits, which ends these; and with which they end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _held[:] = [results, tables, folder]


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _draw_held(problem: str, plot: str, stem: str) -> Picture | None:
    results, tables, folder = _held
    return _draw(results, tables, folder, problem, plot, stem)


def _draw(
    results: StoredResults, tables: Mapping[str, pd.DataFrame], folder: Path, problem: str, plot: str, stem: str
) -> Picture | None:
    """Draws and writes one plot; None where it has no meaning."""
    svg, caption = "", PLOTS[plot].caption
    try:
        drawn = PLOTS[plot].draw(results, tables, problem)
        if drawn is None:
            return None
        figure, frame = drawn
        svg = style.save(figure, folder, stem)
        write_bytes(folder / f"{stem}.csv", _csv(frame))
    except OSError:
        raise
    except style.NothingToDraw as reason:
        caption = f"Not drawn: {reason}."
    except Exception as error:
        # One figure that fails must not cost the tables, the other figures and the page.
        caption = f"This figure could not be drawn ({one_line(error)})."
    title = plot.replace("_", " ").replace("lr", "learning rate") + (f": {problem}" if problem else "")
    return Picture(problem, plot, title[0].upper() + title[1:], caption, svg, folder / f"{stem}.svg")


def _csv(frame: pd.DataFrame) -> bytes:
    labelled = not isinstance(frame.index, pd.RangeIndex)
    return frame.to_csv(index=labelled, lineterminator="\n").encode()
