"""The one JSON of a page: what its scripts know of the results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics.losses import seed_losses
from optbench.metrics.normalised import normalised
from optbench.metrics.performance_profile import profile_curves
from optbench.metrics.profile_units import MEASURES, profile_units
from optbench.metrics.target_summary import compared_times
from optbench.metrics.verdicts import chosen_reference, verdicts_in_turn
from optbench.plots import style
from optbench.plots.trajectories import thinned
from optbench.problem.data import Plane
from optbench.reporting.curves import curves_json
from optbench.reporting.payload import frame_json, frames_json
from optbench.reporting.standings import speeds, standings
from optbench.results.stored import CELL

#: Tables that no figure needs: the page only hands them on, packed, the last ones only while there is room.
HANDED_ON = (
    "targets", "data_profile", "critical_difference", "verdicts", "pairwise_profile", "batch_scaling", "failures",
    "recommendation", "time_to_target", "lr_transfer", "runs", "curves",
)  # fmt: skip
#: What these may take of a page before they are packed, in characters.
MOST = 3_000_000
_DASHES = {style.SOLID: "solid", style.DASHED: "7px,3px", style.DOTTED: "2px,2px", style.DASHDOT: "8px,3px,2px,3px"}
_MARKERS = {
    "o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "<": "triangle-left",
    ">": "triangle-right", "p": "pentagon", "h": "hexagon", "*": "star", "X": "x", "P": "cross", "8": "octagon",
    "d": "diamond-tall",
}  # fmt: skip


def shared_json(
    tables: Mapping[str, pd.DataFrame],
    paths: pd.DataFrame,
    planes: Mapping[str, Any],
    about: Mapping[str, Any],
    metric: str = "test_metric",
) -> str:
    """The JSON as text: `about`, `looks`, `frames` (see `payload`), `curves`, `paths`, `planes`.

    `tables` is what `tables.all_tables` gives, `paths` and `planes` those of two-dimensional problems, and `metric`
    what the page ranks by.
    """
    cells = tables["cells"]
    entries = {
        "about": json.dumps({**about, "reference": chosen_reference(cells)}, ensure_ascii=False),
        "looks": json.dumps(_looks(cells), ensure_ascii=False),
        "frames": frames_json(page_frames(tables, metric)),
        "curves": curves_json(tables["curves"], tables["runs"], cells),
        "paths": json.dumps(_paths(paths, planes), ensure_ascii=False, separators=(",", ":")),
        "planes": json.dumps({name: _plane(plane) for name, plane in planes.items()}, separators=(",", ":")),
    }
    return "{" + ",\n".join(f'"{name}":{text}' for name, text in entries.items()) + "}"


def handed_on(tables: Mapping[str, pd.DataFrame]) -> tuple[str, list[str], list[str]]:
    """Tables that are there to be downloaded alone: their JSON, their names, and those that are too large."""
    texts: dict[str, str] = {}
    left_out: list[str] = []
    for name in HANDED_ON:
        # A row of curves takes some fifty characters: no need to write millions of them to see that.
        text = frame_json(tables[name]) if len(tables[name]) * 50 < MOST else ""
        if text and sum(map(len, texts.values())) + len(text) <= MOST:
            texts[name] = text
        else:
            left_out.append(name)
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items()) + "}", [*texts], left_out


def page_frames(tables: Mapping[str, pd.DataFrame], metric: str = "test_metric") -> dict[str, pd.DataFrame]:
    """The tables that figures need, and what they are recomputed from when a reader filters them.

    `ranked_losses` are there only if the page ranks by another metric than the test metric.
    """
    runs, curves, cells = tables["runs"], tables["curves"], tables["cells"]
    frames = {name: table for name, table in tables.items() if name not in HANDED_ON}
    times = compared_times(tables["time_to_target"], runs, cells)
    profiles = [profile_curves(times, measure).assign(measure=measure) for measure in MEASURES]
    if metric != "test_metric":
        frames["ranked_losses"] = seed_losses(runs, cells, metric)
    return frames | {
        "standings": standings(tables),
        "speeds": speeds(tables),
        "seed_losses": seed_losses(runs, cells),
        "normalised": normalised(runs, curves, cells),
        "profile_units": pd.concat([_units(times, measure) for measure in MEASURES], ignore_index=True),
        "profile_curves": pd.concat(profiles, ignore_index=True),
        "verdicts_by_reference": _verdicts(runs, cells, tables["verdicts"], metric),
    }


def _units(times: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The median time of each optimizer on each unit (see `profile_units`), a row each; infinite for a miss."""
    units = profile_units(times, measure)
    pool = units.pool()
    shared, number = np.flatnonzero(pool.shared), len(pool.optimizers)
    keys = units.keys.loc[np.repeat(shared, number)].reset_index(drop=True)
    named = np.tile(np.array(pool.optimizers, dtype=object), len(shared))
    return keys.assign(measure=measure, optimizer=named, time=pool.medians[:, shared].T.ravel())


def _verdicts(runs: pd.DataFrame, cells: pd.DataFrame, known: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Verdicts against each optimizer in turn, so that a reader can choose the reference."""
    chosen = set(known["reference"].unique())
    others = [str(name) for name in cells["optimizer"].unique() if name not in chosen]
    frames = [known, verdicts_in_turn(runs, cells, others, metric)]
    columns = [*CELL, "reference", "verdict", "effect", "effect_low", "effect_high", "effect_unit", "p_holm",
               "n_pairs", "more_seeds", "note"]  # fmt: skip
    return pd.concat([frame[columns] for frame in frames if len(frame)] or [known[columns]], ignore_index=True)


def _looks(cells: pd.DataFrame) -> dict[str, dict[str, str]]:
    """By optimizer the colour, dash and marker that it has in all figures."""
    return {
        name: {"color": look.color, "dash": _DASHES[look.dash], "marker": _MARKERS.get(look.marker, "circle")}
        for name, look in style.looks(str(name) for name in cells["optimizer"].unique()).items()
    }


def _paths(paths: pd.DataFrame, planes: Mapping[str, Any]) -> dict[str, Any]:
    """By cell id the path of its first seed, thinned."""
    found: dict[str, Any] = {}
    if not len(paths):
        return found
    for problem, ground in planes.items():
        own = style.tuned(paths[paths["problem"] == problem])
        across, up = (tuple(side) for side in ground["domain"])
        plane = Plane(tuple(ground["start"]), tuple(ground["minimum"]), (across, up))
        for cell_id, path in own[own["seed"] == own["seed"].min()].groupby("cell_id"):
            kept = thinned(path.sort_values("step"), plane)
            found[str(cell_id)] = {
                "step": [int(step) for step in kept["step"]],
                "x": [float(f"{value:.5g}") for value in kept["x"]],
                "y": [float(f"{value:.5g}") for value in kept["y"]],
                "seed": int(path["seed"].iloc[0]),
                "failed": bool((path["status"] != "ok").any()),
            }
    return found


def _plane(ground: Mapping[str, Any]) -> dict[str, Any]:
    """A plane with its values rounded: they are only drawn."""
    value = np.asarray(ground["value"], dtype=float)
    return {**ground, "value": [[float(f"{entry:.4g}") for entry in row] for row in value - value.min()]}
