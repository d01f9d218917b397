"""The JSON of a page: all that its scripts know about the results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.compared import keep_shared_seeds
from optbench.metrics.final import final_metric
from optbench.metrics.losses import seed_losses
from optbench.metrics.normalised import normalise_scores
from optbench.metrics.performance_profile import profile_curves
from optbench.metrics.profile_units import MEASURES, profile_units
from optbench.metrics.target_summary import select_times
from optbench.metrics.verdicts import choose_reference, verdicts_against
from optbench.plots import style
from optbench.plots.trajectories import thin_path
from optbench.problem.data import Plane
from optbench.reporting import html_tables, matrices
from optbench.reporting.coordinates import coordinate_axes, coordinates
from optbench.reporting.curves import curves_json
from optbench.reporting.payload import frame_json, frames_json
from optbench.reporting.standings import speeds, standings
from optbench.results.stored import CELL

#: Tables that no figure needs. The page offers them for download, packed; the last ones only while there is room.
DOWNLOADS = (
    "targets", "data_profile", "critical_difference", "verdicts", "pairwise_profile", "batch_scaling", "failures",
    "recommendation", "hyperparameters", "importance", "tracks", "track_agreement", "scaling", "scaling_slopes",
    "projection", "transfer_rules", "time_to_target",
    "lr_transfer", "runs", "curves",
)  # fmt: skip
#: The size of these tables before packing is at most this, in characters.
MOST = 3_000_000
_DASHES = {style.SOLID: "solid", style.DASHED: "7px,3px", style.DOTTED: "2px,2px", style.DASHDOT: "8px,3px,2px,3px"}
_MARKERS = {
    "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "<": "triangle-left",
    ">": "triangle-right", "p": "pentagon", "h": "hexagon", "H": "hexagon2", "P": "cross", "8": "octagon",
    "d": "diamond-tall",
}  # fmt: skip


def page_json(
    tables: Mapping[str, pd.DataFrame],
    paths: pd.DataFrame,
    planes: Mapping[str, Any],
    about: Mapping[str, Any],
    metric: str = "test_metric",
) -> str:
    """The JSON as text: `about`, `looks`, `texts`, `frames` (see `payload`), `curves`, `paths`, `planes`.

    Args:
        tables: The result of `metrics.tables.all_tables`.
        paths: The trajectories of two-dimensional problems, possibly empty.
        planes: By problem, the function of a two-dimensional problem on a grid.
        about: Facts about the page, such as its name.
        metric: The column by which the page ranks.
    """
    cells = tables["cells"]
    entries = {
        "about": json.dumps({**about, "reference": choose_reference(cells)}, ensure_ascii=False),
        "looks": json.dumps(_looks(cells), ensure_ascii=False),
        "texts": json.dumps(html_tables.TEXTS | matrices.TEXTS, ensure_ascii=False),
        "frames": frames_json(page_frames(tables, metric)),
        "curves": curves_json(tables["curves"], tables["runs"], cells),
        "paths": json.dumps(_paths(paths, planes), ensure_ascii=False, separators=(",", ":")),
        "planes": json.dumps({name: _plane(plane) for name, plane in planes.items()}, separators=(",", ":")),
    }
    return "{" + ",\n".join(f'"{name}":{text}' for name, text in entries.items()) + "}"


def downloads_json(tables: Mapping[str, pd.DataFrame]) -> tuple[str, list[str], list[str]]:
    """The tables that are only offered for download (see `DOWNLOADS`).

    Returns:
        Their JSON, their names, and the names of those that are too large for the page.
    """
    texts: dict[str, str] = {}
    left_out: list[str] = []
    for name in DOWNLOADS:
        # A row of curves takes about fifty characters, so millions of rows are too large without writing them.
        text = frame_json(tables[name]) if len(tables[name]) * 50 < MOST else ""
        if text and sum(map(len, texts.values())) + len(text) <= MOST:
            texts[name] = text
        else:
            left_out.append(name)
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items()) + "}", [*texts], left_out


def page_frames(tables: Mapping[str, pd.DataFrame], metric: str = "test_metric") -> dict[str, pd.DataFrame]:
    """The tables that figures need, and the frames from which they are recomputed when a reader filters them.

    `ranked_losses` is included only if the page ranks by another metric than the test metric.
    """
    runs, curves, cells = tables["runs"], tables["curves"], tables["cells"]
    frames = {name: table for name, table in tables.items() if name not in DOWNLOADS}
    times = select_times(tables["time_to_target"], runs, cells)
    profiles = [profile_curves(times, measure).assign(measure=measure) for measure in MEASURES]
    if metric != "test_metric":
        frames["ranked_losses"] = seed_losses(runs, cells, metric)
    return frames | {
        "standings": standings(tables),
        "coordinate_axes": coordinate_axes(cells),
        "coordinates": coordinates(tables["trials"], runs, cells),
        "speeds": speeds(tables),
        "seed_losses": seed_losses(runs, cells),
        "shared_seeds": final_metric(keep_shared_seeds(runs), curves, cells),
        "normalised": normalise_scores(runs, curves, cells),
        "profile_units": pd.concat([_units(times, measure) for measure in MEASURES], ignore_index=True),
        "profile_curves": pd.concat(profiles, ignore_index=True),
        "verdicts_by_reference": _verdicts(runs, cells, tables["verdicts"], metric),
    }


def _units(times: pd.DataFrame, measure: str) -> pd.DataFrame:
    """One row per optimizer and unit (see `profile_units`) with the median time; infinite if it missed the target."""
    units = profile_units(times, measure)
    pool = units.pool()
    shared, number = np.flatnonzero(pool.has_all), len(pool.optimizers)
    keys = units.keys.loc[np.repeat(shared, number)].reset_index(drop=True)
    named = np.tile(np.array(pool.optimizers, dtype=object), len(shared))
    return keys.assign(measure=measure, optimizer=named, time=pool.medians[:, shared].T.ravel())


def _verdicts(runs: pd.DataFrame, cells: pd.DataFrame, known: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Verdicts against each optimizer in turn, so that a reader can choose the reference."""
    chosen = set(known["reference"].unique())
    others = [str(name) for name in cells["optimizer"].unique() if name not in chosen]
    frames = [known, verdicts_against(runs, cells, others, metric)]
    columns = [*CELL, "reference", "verdict", "effect", "effect_low", "effect_high", "effect_unit", "p_holm",
               "n_pairs", "more_seeds", "note"]  # fmt: skip
    return pd.concat([frame[columns] for frame in frames if len(frame)] or [known[columns]], ignore_index=True)


def _looks(cells: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The colour, dash and marker of each optimizer in all figures."""
    return {
        name: {"color": look.color, "dash": _DASHES[look.dash], "marker": _MARKERS[look.marker]}
        for name, look in style.looks(str(name) for name in cells["optimizer"].unique()).items()
    }


def _paths(paths: pd.DataFrame, planes: Mapping[str, Any]) -> dict[str, Any]:
    """By cell id, the thinned path of its first seed."""
    entries: dict[str, Any] = {}
    if not len(paths):
        return entries
    for problem, ground in planes.items():
        own = style.select_tuned(paths[paths["problem"] == problem])
        across, up = (tuple(side) for side in ground["domain"])
        plane = Plane(tuple(ground["start"]), tuple(ground["minimum"]), (across, up))
        for cell_id, path in own[own["seed"] == own["seed"].min()].groupby("cell_id"):
            kept = thin_path(path.sort_values("step"), plane)
            entries[str(cell_id)] = {
                "step": [int(step) for step in kept["step"]],
                "x": [float(f"{value:.5g}") for value in kept["x"]],
                "y": [float(f"{value:.5g}") for value in kept["y"]],
                "seed": int(path["seed"].iloc[0]),
                "failed": bool((path["status"] != "ok").any()),
            }
    return entries


def _plane(ground: Mapping[str, Any]) -> dict[str, Any]:
    """A plane with rounded values, which are only drawn."""
    value = np.asarray(ground["value"], dtype=float)
    return {**ground, "value": [[float(f"{entry:.4g}") for entry in row] for row in value - value.min()]}
