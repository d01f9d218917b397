"""Joins several results directories, such as a new optimizer and stored baselines.

Cells, runs, trials and curves are combined if they are comparable; the others are left out, and notes say why. A cell
comes whole from one directory: runs of one tuning are never mixed with runs of another.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optbench.errors import UserError
from optbench.results.frozen import FrozenResults, open_results
from optbench.results.load import Results
from optbench.results.machines import (
    describe_machine,
    drop_timings,
    explain_dropped_times,
    list_machines,
    timing_environments,
)
from optbench.results.protocol import has_search_space, list_protocol_differences
from optbench.results.stored import GROUP

#: Columns that must be equal for a fair comparison, with their names in messages.
_PROTOCOL = {
    "problem_version": "version of the problem", "threads": "number of threads", "evaluations": "number of evaluations",
    "run_budget": "run budget", "tuning_budget": "tuning budget", "target": "target", "metric_name": "metric",
    "metric_higher_is_better": "direction of the metric",
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
    environments: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    warnings: Sequence[str] = ()
    identities: dict[str, Any] = field(default_factory=dict)


def join(folders: Sequence[str | Path]) -> JoinedResults:
    """Joins results directories; earlier ones take precedence.

    A cell that several directories have is taken from the one with the most completed runs. A cell is left out if its
    problem (with its data), budgets, tuning, target or metric differ from those of its task. If two directories have
    different cells for an optimizer of the same name, the later one is renamed to `name (directory)`. Timings are
    dropped if they come from different machines.

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
    notes: list[str] = [one.damage[""] for one in results if "" in one.damage]
    parts = [one.cells.assign(_place=place, _of=names[place]) for place, one in enumerate(results)]
    cells = pd.concat(parts, ignore_index=True)
    cells = _keep_most_complete(cells, results, notes)
    identities = [dict(one.identities) for one in results]
    cells = cells.assign(
        _identity=[identities[place].get(cell) for place, cell in zip(cells["_place"], cells["cell_id"], strict=True)]
    )
    cells = _keep_one_protocol(cells, notes)
    cells = _keep_one_identity(cells, [one.environments for one in results], notes).drop(columns="_identity")
    cells = _make_names_unique(cells, notes)
    taken = zip(cells["_place"], cells["cell_id"], strict=True)
    notes += [one.not_compared for one in results if one.not_compared]
    notes += [results[place].damage[cell] for place, cell in taken if cell in results[place].damage]
    frames: dict[str, Any] = {name: _select_rows(name, cells, results) for name in _FRAMES}
    environments = {key: value for one in reversed(list(results)) for key, value in one.environments.items()}
    timed_in = [
        timing_environments(cells[cells["_place"] == place], one.environments) for place, one in enumerate(results)
    ]
    machines = list_machines(itertools.chain.from_iterable(timed_in))
    if own_timings:
        own = list_machines(timed_in[0])
        elsewhere = [
            place for place, some in enumerate(timed_in) if len(list_machines([*timed_in[0], *some])) > len(own)
        ]
        untimed = cells.loc[cells["_place"].isin(elsewhere), "cell_id"]
        frames = {name: drop_timings(frame, untimed) for name, frame in frames.items()}
        cells, machines = drop_timings(cells, untimed), own
    taken = zip(cells["_place"], cells["cell_id"], strict=True)
    found = {cell: identities[place][cell] for place, cell in taken if cell in identities[place]}
    kept = cells.drop(columns=["_place", "_of"]).reset_index(drop=True)
    if len(machines) > 1:
        frames |= {name: drop_timings(frame) for name, frame in frames.items()}
        kept = drop_timings(kept)
        notes.append(explain_dropped_times(machines))
    planes = {label: plane for one in reversed(list(results)) for label, plane in one.planes.items()}
    return JoinedResults(
        **frames,
        cells=kept,
        planes=planes,
        names=names,
        machines=machines,
        environments=environments,
        notes=notes,
        identities=found,
    )


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
    for column, words in _PROTOCOL.items():
        stated = cells[column].mask(cells[column] == "")  # older versions did not record all of it
        if column.endswith("_budget"):
            stated = stated.mask(np.array([_is_exempt(identity, column) for identity in cells["_identity"]]))
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


def _is_exempt(identity: Mapping[str, Any] | None, column: str) -> bool:
    """Whether a budget in examples may differ: the run budget is in seconds, or there is nothing to tune."""
    if identity is None:
        return False
    in_seconds = isinstance(identity.get("run_budget"), Mapping)
    return in_seconds or (column == "tuning_budget" and not has_search_space(identity))


def _keep_one_identity(
    cells: pd.DataFrame, environments: Sequence[Mapping[str, Any]], notes: list[str]
) -> pd.DataFrame:
    """Keeps the cells whose identity, except the optimizer, is that of the first cells of their task."""
    first: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    left_out: dict[tuple[str, str, str], list[int]] = {}
    for row in cells.to_dict("records"):
        if row["_identity"] is None:
            continue
        identity = _with_machine(row, environments[row["_place"]])
        # The first one, and the first one with something to tune, which also shows how cells are tuned.
        shown = first.setdefault(tuple(row[name] for name in GROUP), [])
        difference = next((d for other in shown for d in list_protocol_differences(identity, other)), None)
        if difference is not None:
            words, new, old = difference
            reason = f"their {words} is {_format_side(new)}, not {_format_side(old)}"
            left_out.setdefault((row["_of"], str(row["problem"]), reason), []).append(row["cell_id"])
        elif not any(has_search_space(other) for other in shown):
            shown.append(identity)
    for (name, problem, reason), some in left_out.items():
        notes.append(f"{len(some)} cells of {name} on {problem} are left out: {reason}")
    return cells[~cells["cell_id"].isin(itertools.chain.from_iterable(left_out.values()))]


def _with_machine(cell: Mapping[Any, Any], environments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the identity of a cell; a budget in seconds also says on which machine they were measured."""
    identity: dict[str, Any] = cell["_identity"]
    if not isinstance(identity.get("run_budget"), Mapping):
        return identity
    key = cell.get("timed_in") or cell["environment"]
    machine = describe_machine(environments.get(key) or {}, key)
    return {**identity, "run_budget": {**identity["run_budget"], "measured_on": machine}}


def _format_side(value: Any) -> str:
    """Formats one side of a difference (see `results.protocol`) for a message."""
    return "missing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


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
