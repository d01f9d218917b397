"""All plots of a results directory, drawn and written, each beside the frame that it draws."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from optbench.errors import one_line
from optbench.plots import style
from optbench.plots.registry import PLOTS
from optbench.results.atomic import write_bytes


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


def draw_all(results: Any, tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Picture]:
    """Draws and writes the plots of `results` (what `optbench.load` gives): those of all problems
    together, then those of each problem.

    `tables` has what `tables.all_tables` gives. Raises OSError where the disk does not take them.
    """
    pictures, stems = [], set()
    overall = [("", plot) for plot, entry in PLOTS.items() if not entry.each_problem]
    single = [plot for plot, entry in PLOTS.items() if entry.each_problem]
    for problem, plot in [
        *overall,
        *((problem, plot) for problem in results.cells["problem"].unique() for plot in single),
    ]:
        slug = re.sub(r"[^\w.=,-]+", "_", problem).strip("_")[:80]
        stem = f"{plot}-{slug}" if problem else plot
        while stem in stems:
            stem += "_"
        svg, caption = "", PLOTS[plot].caption
        try:
            drawn = PLOTS[plot].draw(results, tables, problem)
            if drawn is None:
                continue
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
        stems.add(stem)
        title = plot.replace("_", " ").replace("lr", "learning rate") + (f": {problem}" if problem else "")
        pictures.append(Picture(problem, plot, title[0].upper() + title[1:], caption, svg, folder / f"{stem}.svg"))
    return pictures


def _csv(frame: pd.DataFrame) -> bytes:
    labelled = not isinstance(frame.index, pd.RangeIndex)
    return frame.to_csv(index=labelled, lineterminator="\n").encode()
