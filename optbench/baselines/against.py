"""The results of a directory, joined with the stored results that they are compared with (`--against`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from optbench.baselines.fair import select_new_cells
from optbench.baselines.located import decode_location, reject_time_metric
from optbench.baselines.stale import find_stale_cells
from optbench.errors import UserError
from optbench.planning.matrix import Plan
from optbench.results.directory import ResultsDirectory
from optbench.results.frozen import FrozenResults, open_results
from optbench.results.join import JoinedResults, ResultsOnDisk, join_results
from optbench.results.load import Results, load
from optbench.results.machines import describe_machine
from optbench.results.stored import GROUP

#: Equal initial weights give equal losses of the untrained network on every machine, up to this relative error.
_SAME_START = 1e-3


@dataclass(frozen=True, kw_only=True)
class ComparedResults(JoinedResults):
    """Own results joined with stored ones.

    `baseline` is a sentence on where the cells come from: which optimizers, versions and hardware. `warnings` are
    sentences that a reader of the comparison needs.
    """

    directory: ResultsDirectory
    baseline: str
    warnings: Sequence[str]


def load_stored_results(folder: Path) -> tuple[ResultsOnDisk, list[str]]:
    """Opens stored results and drops the cells that are out of date (see `baselines.stale`).

    Returns:
        The results, and a note for each problem on which cells were dropped.

    Raises:
        UserError: The folder has no results, or all its cells are out of date.
    """
    stored = open_results(folder)
    stale = find_stale_cells(stored) if isinstance(stored, FrozenResults) else {}
    if not stale or not isinstance(stored, FrozenResults):
        return stored, []
    cells = pd.DataFrame([cell for cell in stored.plan["cells"] if cell["cell_id"] in stale])
    notes = []
    for problem, part in cells.groupby("problem", sort=False):
        first = part.iloc[0]
        notes.append(
            f"{len(part)} cells of {stored.name} on {problem} are out of date and left out, such as "
            f"{first['optimizer']}: {stale[first['cell_id']]}; `optbench reference make` with its "
            "preset computes them again"
        )
    if len(stale) == len(stored.plan["cells"]):
        raise UserError(f"all cells of {stored.name} are out of date: {notes[0]}")
    return stored.drop_cells(stale, notes), notes


def plan_against(folder: Path, plan: Plan, own: Path | None = None) -> Plan:
    """Reduces a plan to the cells that stored results lack, with notes on the cells that are not computed.

    Args:
        folder: The stored results.
        plan: The plan of all cells.
        own: The results directory that the run fills, if any.

    Raises:
        UserError: The comparison would not be fair (see `baselines.fair`), or `own` is `folder`.
    """
    if own is not None and folder.resolve() == own.resolve():
        raise UserError(f"cannot compare {own} with itself; choose another --name")
    stored, stale = load_stored_results(folder)
    new, notes = select_new_cells(plan, stored)
    return replace(new, notes=(*plan.notes, *stale, *notes))


def load_with_baseline(directory: ResultsDirectory, metric: str = "test_metric") -> Results | ComparedResults:
    """Loads a directory's results, joined with the stored results that they were run against, if any.

    Args:
        directory: The results directory.
        metric: The metric by which optimizers are compared; seconds cannot be compared with stored results.

    Raises:
        UserError: Own or stored results cannot be read, or `metric` is in seconds.
    """
    own = load(directory.folder)
    folder = directory.against()
    if folder is None:
        return own
    reject_time_metric(metric)
    stored, stale = load_stored_results(decode_location(folder))
    joined = join_results([own, stored], own_timings=True)
    # Only tasks on which own optimizers ran: the others do not compare anything with them.
    compared = joined.cells.merge(own.cells[GROUP].drop_duplicates(), on=GROUP)["cell_id"]
    values = {field.name: getattr(joined, field.name) for field in fields(JoinedResults) if field.name != "warnings"}
    values |= {
        name: frame[frame["cell_id"].isin(compared)].reset_index(drop=True)
        for name, frame in values.items()
        if isinstance(frame, pd.DataFrame)
    }
    cells = values["cells"]
    taken = cells[~cells["cell_id"].isin(own.cells["cell_id"])]
    return ComparedResults(
        **values,
        directory=directory,
        baseline=_describe_origin(own, stored, taken),
        warnings=[
            *stale,
            *_warn_about_pairing(values["curves"], set(taken["cell_id"])),
            *joined.notes,
            *_warn_no_times(stored, taken),
        ],
    )


def _describe_origin(own: Results, stored: ResultsOnDisk, taken: pd.DataFrame) -> str:
    text = (
        f"{len(taken)} cells ({', '.join(sorted(taken['optimizer'].unique()))}) come from {stored.name}, and "
        f"{len(own.cells)} ({', '.join(sorted(own.cells['optimizer'].unique()))}) were computed here"
    )
    if isinstance(stored, FrozenResults):
        about = stored.about
        text += f"; {stored.name} {about['version']} was created on {about['made']} by optbench {about['optbench']}"
    keys = [key for key in taken["environment"].unique() if key]
    machines = dict.fromkeys(describe_machine(stored.environments.get(key, {}), key) for key in keys)
    return text + (f" on {'; '.join(machines)}" if machines else "")


def _warn_no_times(stored: ResultsOnDisk, taken: pd.DataFrame) -> Sequence[str]:
    if taken["step_ms"].notna().any():
        return ()
    return (
        f"Times are from this machine only: the cells of {stored.name} have none and are left out of all tables, axes "
        "and profiles in seconds.",
    )


def _warn_about_pairing(curves: pd.DataFrame, stored: set[str]) -> Sequence[str]:
    """Warns about problems on which own and stored networks start with different losses: seeds are not paired."""
    start = curves[(curves["kind"] == "run") & (curves["step"] == 0)]
    is_stored = start["cell_id"].isin(stored)
    loss = [
        part.groupby([*GROUP, "seed"], observed=True)["valid_loss"].median()
        for part in (start[~is_stored], start[is_stored])
    ]
    both = pd.concat(loss, axis=1, keys=["own", "stored"]).dropna()
    unlike = both[~np.isclose(both["own"], both["stored"], rtol=_SAME_START, atol=0)]
    problems = unlike.index.get_level_values("problem").unique()
    return [
        f"On {problem}, the untrained models have a different loss than the stored ones: the seeds are not paired, and "
        "the verdicts are not valid."
        for problem in problems
    ]
