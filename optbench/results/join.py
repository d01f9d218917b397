"""Several results directories as one: a new optimizer beside stored baselines.

Cells, runs, trials and curves are put together where they are comparable; what isn't is left out, and
said. A cell is taken whole from one directory: runs of one tuning are never mixed with those of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optbench.errors import UserError
from optbench.results.frames import TIMING_COLUMNS
from optbench.results.frozen import Frozen, opened
from optbench.results.load import Results
from optbench.results.stored import GROUP

#: What has to be equal for optimizers to be compared, in words.
_PROTOCOL = {
    "problem_version": "version of the problem", "threads": "number of threads", "evaluations": "number of evaluations",
    "run_budget": "run budget", "tuning_budget": "tuning budget", "target": "target", "metric_name": "metric",
    "metric_higher_is_better": "direction of the metric",
}  # fmt: skip
#: What can be joined: a results directory, or frozen ones.
Stored = Results | Frozen
_FRAMES = ("runs", "trials", "studies", "curves", "trajectories")


@dataclass(frozen=True)
class Joined:
    """What `optbench.load` gives, of several directories. `notes` says what was left out, renamed or kept apart;
    `machines` are those on which timings were taken: with more than one there are no timings.
    """

    runs: pd.DataFrame
    trials: pd.DataFrame
    studies: pd.DataFrame
    curves: pd.DataFrame
    cells: pd.DataFrame
    trajectories: pd.DataFrame
    planes: dict[str, Any]
    names: list[str]
    machines: list[str]
    notes: list[str] = field(default_factory=list)
    warnings: Sequence[str] = ()


def join(folders: Sequence[str | Path]) -> Joined:
    """Joins results directories, the earlier of which goes before the later.

    A cell that several have is taken from the one with the most runs that ended. A cell whose budgets,
    target or metric are not those of its group is left out. An optimizer of which another directory has a
    different cell under the same name is named `name (directory)`. Timings are dropped where they come from unlike
    machines. Raises UserError for no directory, one given twice, or one of another schema.
    """
    if not folders:
        raise UserError("no results directory given (accepted: one or more)")
    return join_opened([opened(folder) for folder in folders])


def join_opened(opened: Sequence[Stored], own_timings: bool = False) -> Joined:
    """Joins opened results (see `join`). With `own_timings`, timings are those of the first one's machine alone, and
    missing for the cells of others.
    """
    paths = [results.folder.resolve() for results in opened]
    for index, path in enumerate(paths):
        if path in paths[:index]:
            raise UserError(f"results directory {opened[index].folder} is given twice")
    names = _names([results.folder for results in opened])
    notes: list[str] = []
    placed = [results.cells.assign(_place=place, _of=names[place]) for place, results in enumerate(opened)]
    cells = pd.concat(placed, ignore_index=True)
    cells = _most_complete(cells, opened, notes)
    cells = _one_protocol(cells, notes)
    cells = _own_names(cells, notes)
    frames: dict[str, Any] = {name: _taken(name, cells, opened) for name in _FRAMES}
    machines = _machines(cells, opened)
    if own_timings:
        own = set(_machines(cells[cells["_place"] == 0], opened))
        others = {place: _machines(cells[cells["_place"] == place], opened) for place in range(1, len(opened))}
        elsewhere = [place for place, computed_on in others.items() if not set(computed_on) <= own]
        untimed = cells.loc[cells["_place"].isin(elsewhere), "cell_id"]
        frames = {name: _without_timings(frame, untimed) for name, frame in frames.items()}
        cells = _without_timings(cells, untimed)
    kept = cells.drop(columns=["_place", "_of"]).reset_index(drop=True)
    if len(machines) > 1 and not own_timings:
        frames |= {name: _without_timings(frame) for name, frame in frames.items()}
        kept = _without_timings(kept)
        notes.append(f"timings are left out, for they are of unlike machines: {'; '.join(machines)}")
    planes = {label: plane for results in reversed(list(opened)) for label, plane in results.planes.items()}
    return Joined(**frames, cells=kept, planes=planes, names=names, machines=machines, notes=notes)


def _names(folders: list[Path]) -> list[str]:
    """The folders' names, with that of the parent where two are equal."""
    names = [folder.name for folder in folders]
    return [
        f"{folder.resolve().parent.name}/{name}" if names.count(name) > 1 else name
        for folder, name in zip(folders, names, strict=True)
    ]


def _most_complete(cells: pd.DataFrame, opened: Sequence[Stored], notes: list[str]) -> pd.DataFrame:
    """Each cell from the directory with the most runs that ended, the earlier of equals."""
    done = [results.runs.loc[results.runs["status"] == "ok"].groupby("cell_id").size() for results in opened]
    counts = [done[place].get(cell, 0) for place, cell in zip(cells["_place"], cells["cell_id"], strict=True)]
    ordered = cells.assign(_done=counts).sort_values(["_done", "_place"], ascending=[False, True], kind="stable")
    kept = ordered.drop_duplicates("cell_id").sort_index().drop(columns="_done")
    for name, number in cells.drop(kept.index)["_of"].value_counts(sort=False).items():
        notes.append(
            f"of {name}, {number} cells are in another directory too, where no fewer of their runs ended, and are "
            "taken from there"
        )
    return kept


def _one_protocol(cells: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Cells whose protocol is that of the first cell of their group that states it."""
    keep = pd.Series(True, index=cells.index)
    for column, words in _PROTOCOL.items():
        stated = cells[column].mask(cells[column] == "")  # what an older version didn't record contradicts nothing
        first = stated.groupby([cells[name] for name in GROUP], observed=True).transform("first")
        unlike = stated.notna() & (stated != first).fillna(False).astype(bool)
        for (problem, name), part in cells[unlike & keep].groupby(["problem", "_of"], observed=True):
            notes.append(
                f"{len(part)} cells of {name} on {problem} are left out: their {words} is "
                f"{_values(part[column])}, not {_values(first[part.index])}"
            )
        keep &= ~unlike
    if not keep.any():
        raise UserError("the results directories have no comparable cells: " + "; ".join(notes))
    return cells[keep]


def _values(column: pd.Series) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in column.unique())


def _own_names(cells: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Cells of which no two of a group share a name: the later ones bear their directory's."""
    later = cells.duplicated([*GROUP, "optimizer"])
    # An optimizer that is another one somewhere is another one everywhere in that directory.
    other = set(zip(cells.loc[later, "optimizer"], cells.loc[later, "_of"], strict=True))
    both = zip(cells["optimizer"], cells["_of"], strict=True)
    renamed = [f"{name} ({of})" if (name, of) in other else name for name, of in both]
    for name, of in sorted(other):
        notes.append(f"{name} of {of} is another cell than that of the same name before, and called {name} ({of})")
    return cells.assign(optimizer=renamed)


def _taken(name: str, cells: pd.DataFrame, opened: Sequence[Stored]) -> pd.DataFrame:
    """The rows of a frame that belong to the cells taken from each directory, under the cells' names."""
    parts = []
    for place, results in enumerate(opened):
        own = cells[cells["_place"] == place].set_index("cell_id")["optimizer"]
        frame = getattr(results, name)
        part = frame[frame["cell_id"].isin(own.index)]
        parts.append(part.assign(optimizer=part["cell_id"].map(own)))
    # Columns of hyperparameters that a directory doesn't have are empty there, and of no type to agree on.
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


def _machines(cells: pd.DataFrame, opened: Sequence[Stored]) -> list[str]:
    """The machines, with their versions of torch, on which the cells were computed."""
    found = []
    for place, results in enumerate(opened):
        known = results.environments
        for key in cells.loc[cells["_place"] == place, "environment"].unique():
            if key:
                found.append(machine(known.get(key, {}), key))
    return list(dict.fromkeys(found))


def machine(environment: dict[str, Any], key: str) -> str:
    """An environment in a line: processor, cores, accelerators and version of torch."""
    if not environment:
        return f"unknown environment {key}"
    parts = [environment.get("processor"), f"{environment.get('cores')} cores"]
    parts += [str(name) for name in (environment.get("accelerators") or {}).values()]
    parts.append(f"torch {(environment.get('packages') or {}).get('torch')}")
    return ", ".join(str(part) for part in parts)


def _without_timings(frame: pd.DataFrame, cells: pd.Series | None = None) -> pd.DataFrame:
    """The frame with no timings, or with none of these cells."""
    timings = [name for name in TIMING_COLUMNS if name in frame]
    if cells is None:
        return frame.assign(**dict.fromkeys(timings, np.nan))
    return frame.assign(**{name: frame[name].mask(frame["cell_id"].isin(cells)) for name in timings})
