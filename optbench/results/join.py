"""Joins several results directories, such as a new optimizer and stored baselines.

Cells, runs, trials and curves are combined if they are comparable; the others are left out, and notes say why. A cell
comes whole from one directory: runs of one tuning are never mixed with runs of another.
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
from optbench.results.frozen import FrozenResults, open_results
from optbench.results.load import Results
from optbench.results.stored import GROUP

#: Columns that must be equal for a fair comparison, with their names in messages.
_PROTOCOL = {
    "problem_version": "version of the problem", "threads": "number of threads", "evaluations": "number of evaluations",
    "run_budget": "run budget", "tuning_budget": "tuning budget", "target": "target", "metric_name": "metric",
    "metric_higher_is_better": "direction of the metric",
    "environment": "machine or its software, whose speed decides what a run budget in seconds buys,",
}  # fmt: skip
#: Results that can be joined: those of a results directory, or frozen ones.
ResultsOnDisk = Results | FrozenResults
_FRAMES = ("runs", "trials", "studies", "curves", "trajectories")


@dataclass(frozen=True)
class JoinedResults:
    """The results of several directories, with the frames of `Results`.

    `notes` are sentences about cells that were left out, renamed or duplicated. `machines` describes where timings were
    measured; with more than one machine, timings are dropped.
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


def join(folders: Sequence[str | Path]) -> JoinedResults:
    """Joins results directories; earlier ones take precedence.

    A cell that several directories have is taken from the one with the most completed runs. A cell is left out if its
    budgets, target or metric differ from those of its task. If two directories have different cells for an optimizer of
    the same name, the later one is renamed to `name (directory)`. Timings are dropped if they come from different
    machines.

    Args:
        folders: Results directories or frozen results.

    Raises:
        UserError: No folder is given, one is given twice, one is not readable, or no cells are comparable.
    """
    if not folders:
        raise UserError("no results directory is given (accepted: one or more)")
    return join_results([open_results(folder) for folder in folders])


def join_results(results: Sequence[ResultsOnDisk], own_timings: bool = False) -> JoinedResults:
    """Joins opened results (see `join`).

    Args:
        results: Opened results; earlier ones take precedence.
        own_timings: Keep the timings of the first results' machine and drop only the others, instead of dropping all
            timings if there are several machines.
    """
    paths = [one.folder.resolve() for one in results]
    for index, path in enumerate(paths):
        if path in paths[:index]:
            raise UserError(f"results directory {results[index].folder} is given twice")
    names = _name_folders([one.folder for one in results])
    notes: list[str] = []
    parts = [one.cells.assign(_place=place, _of=names[place]) for place, one in enumerate(results)]
    cells = pd.concat(parts, ignore_index=True)
    cells = _keep_most_complete(cells, results, notes)
    cells = _keep_one_protocol(cells, notes)
    cells = _make_names_unique(cells, notes)
    frames: dict[str, Any] = {name: _select_rows(name, cells, results) for name in _FRAMES}
    machines = _list_machines(cells, results)
    if own_timings:
        own = set(_list_machines(cells[cells["_place"] == 0], results))
        others = {place: _list_machines(cells[cells["_place"] == place], results) for place in range(1, len(results))}
        elsewhere = [place for place, computed_on in others.items() if not set(computed_on) <= own]
        untimed = cells.loc[cells["_place"].isin(elsewhere), "cell_id"]
        frames = {name: _drop_timings(frame, untimed) for name, frame in frames.items()}
        cells = _drop_timings(cells, untimed)
    kept = cells.drop(columns=["_place", "_of"]).reset_index(drop=True)
    if len(machines) > 1 and not own_timings:
        frames |= {name: _drop_timings(frame) for name, frame in frames.items()}
        kept = _drop_timings(kept)
        notes.append(f"timings are left out because they come from different machines: {'; '.join(machines)}")
    planes = {label: plane for one in reversed(list(results)) for label, plane in one.planes.items()}
    return JoinedResults(**frames, cells=kept, planes=planes, names=names, machines=machines, notes=notes)


def _name_folders(folders: list[Path]) -> list[str]:
    """Returns the folders' names, prefixed by their parent's name if two are equal."""
    names = [folder.name for folder in folders]
    return [
        f"{folder.resolve().parent.name}/{name}" if names.count(name) > 1 else name
        for folder, name in zip(folders, names, strict=True)
    ]


def _keep_most_complete(cells: pd.DataFrame, results: Sequence[ResultsOnDisk], notes: list[str]) -> pd.DataFrame:
    """Keeps each cell from the directory with the most completed runs, the earlier of equals."""
    done = [one.runs.loc[one.runs["status"] == "ok"].groupby("cell_id").size() for one in results]
    counts = [done[place].get(cell, 0) for place, cell in zip(cells["_place"], cells["cell_id"], strict=True)]
    ordered = cells.assign(_done=counts).sort_values(["_done", "_place"], ascending=[False, True], kind="stable")
    kept = ordered.drop_duplicates("cell_id").sort_index().drop(columns="_done")
    for name, number in cells.drop(kept.index)["_of"].value_counts(sort=False).items():
        notes.append(
            f"{number} cells of {name} are taken from another directory, which has at least as many of their runs"
        )
    return kept


def _keep_one_protocol(cells: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Keeps the cells whose protocol is that of the first cell of their task which records it."""
    keep = pd.Series(True, index=cells.index)
    protocol = _state_protocol(cells)
    for column, words in _PROTOCOL.items():
        stated = protocol[column].mask(protocol[column] == "")  # older versions did not record all of it
        first = stated.groupby([cells[name] for name in GROUP], observed=True).transform("first")
        unlike = stated.notna() & (stated != first).fillna(False).astype(bool)
        for (problem, name), part in cells[unlike & keep].groupby(["problem", "_of"], observed=True):
            notes.append(
                f"{len(part)} cells of {name} on {problem} are left out: their {words} is "
                f"{_format_values(stated[part.index])}, not {_format_values(first[part.index])}"
            )
        keep &= ~unlike
    if not keep.any():
        raise UserError("the results directories have no comparable cells: " + "; ".join(notes))
    return cells[keep]


def _state_protocol(cells: pd.DataFrame) -> pd.DataFrame:
    """Returns the columns of the protocol, in the units in which budgets were given.

    With a run budget in seconds, each cell has its own number of examples. It is the same budget if the seconds are,
    and the environment in which they were measured. A tuning budget is then a number of runs.
    """
    if "run_budget_seconds" not in cells or cells["run_budget_seconds"].isna().all():
        return cells.assign(environment="")
    timed = cells["run_budget_seconds"].notna() & cells["run_budget"].notna()
    examples = cells[["run_budget", "tuning_budget"]].astype(float)
    runs = examples["tuning_budget"] / examples["run_budget"]
    return cells.assign(
        run_budget=_state(examples["run_budget"]).mask(timed, _state(cells["run_budget_seconds"], " seconds")),
        tuning_budget=_state(examples["tuning_budget"]).mask(timed, _state(runs.round(9), " runs")),
        environment=cells["environment"].where(timed, ""),
    )


def _state(numbers: pd.Series, unit: str = "") -> pd.Series:
    """Returns numbers as texts, with empty ones for missing numbers."""
    return numbers.map(lambda number: "" if pd.isna(number) else f"{number:.15g}{unit}").astype("str")


def _format_values(column: pd.Series) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in column.unique())


def _make_names_unique(cells: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Renames later cells of a task that have the optimizer name of an earlier one, by their directory's name."""
    later = cells.duplicated([*GROUP, "optimizer"])
    # An optimizer that is renamed on one task is renamed on all tasks of that directory.
    other = set(zip(cells.loc[later, "optimizer"], cells.loc[later, "_of"], strict=True))
    both = zip(cells["optimizer"], cells["_of"], strict=True)
    renamed = [f"{name} ({of})" if (name, of) in other else name for name, of in both]
    for name, of in sorted(other):
        notes.append(f"{name} of {of} differs from an earlier cell of the same name and is called {name} ({of})")
    return cells.assign(optimizer=renamed)


def _select_rows(name: str, cells: pd.DataFrame, results: Sequence[ResultsOnDisk]) -> pd.DataFrame:
    """Selects the rows of a frame that belong to the kept cells, with the cells' optimizer names."""
    parts = []
    for place, one in enumerate(results):
        own = cells[cells["_place"] == place].set_index("cell_id")["optimizer"]
        frame = getattr(one, name)
        part = frame[frame["cell_id"].isin(own.index)]
        parts.append(part.assign(optimizer=part["cell_id"].map(own)))
    # Empty frames have no types for hyperparameter columns that concat could use.
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


def _list_machines(cells: pd.DataFrame, results: Sequence[ResultsOnDisk]) -> list[str]:
    """Describes the machines that computed the cells, with their torch versions."""
    machines = []
    for place, one in enumerate(results):
        environments = one.environments
        for key in cells.loc[cells["_place"] == place, "environment"].unique():
            if key:
                machines.append(describe_machine(environments.get(key, {}), key))
    return list(dict.fromkeys(machines))


def describe_machine(environment: dict[str, Any], key: str) -> str:
    """Describes an environment in one line: processor, cores, accelerators and torch version."""
    if not environment:
        return f"unknown environment {key}"
    parts = [environment.get("processor"), f"{environment.get('cores')} cores"]
    parts += [str(name) for name in (environment.get("accelerators") or {}).values()]
    parts.append(f"torch {(environment.get('packages') or {}).get('torch')}")
    return ", ".join(str(part) for part in parts)


def _drop_timings(frame: pd.DataFrame, cells: pd.Series | None = None) -> pd.DataFrame:
    """Sets the timings to missing, of all rows or of the given cells."""
    timings = [name for name in TIMING_COLUMNS if name in frame]
    if cells is None:
        return frame.assign(**dict.fromkeys(timings, np.nan))
    return frame.assign(**{name: frame[name].mask(frame["cell_id"].isin(cells)) for name in timings})
