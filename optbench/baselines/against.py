"""The results of a directory together with the stored ones that they were run against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from optbench.baselines.fair import new_cells
from optbench.baselines.located import recorded, refuse_times
from optbench.baselines.stale import stale_cells
from optbench.errors import UserError
from optbench.planning.matrix import Plan
from optbench.results.directory import ResultsDirectory
from optbench.results.frozen import Frozen, opened
from optbench.results.join import Joined, Stored, join_opened, machine
from optbench.results.load import Results, load
from optbench.results.stored import GROUP

#: Loss of the untrained network: equal initial weights give it to this relative accuracy on every machine.
_SAME_START = 1e-3


@dataclass(frozen=True, kw_only=True)
class Compared(Joined):
    """Own results joined with stored ones. `baseline` says which cells are whose, computed by which versions on which
    hardware; `warnings` what a reader has to know of the comparison.
    """

    directory: ResultsDirectory
    baseline: str
    warnings: Sequence[str]


def stored_results(folder: Path) -> tuple[Stored, list[str]]:
    """Stored results without their cells that are out of date, and what was left out; see `baselines.stale`.

    Raises UserError where there are none, or nothing else is left of them.
    """
    stored = opened(folder)
    stale = stale_cells(stored) if isinstance(stored, Frozen) else {}
    if not stale or not isinstance(stored, Frozen):
        return stored, []
    cells = pd.DataFrame([cell for cell in stored.plan["cells"] if cell["cell_id"] in stale])
    notes = []
    for problem, part in cells.groupby("problem", sort=False):
        first = part.iloc[0]
        notes.append(
            f"{len(part)} cells of {stored.name} on {problem} are out of date and left out, such as "
            f"{first['optimizer']}: {stale[first['cell_id']]}; `optbench reference make` computes them again"
        )
    if len(stale) == len(stored.plan["cells"]):
        raise UserError(f"all cells of {stored.name} are out of date: {notes[0]}")
    return stored.without(stale, notes), notes


def compared_with(folder: Path, plan: Plan, own: Path | None = None) -> Plan:
    """What of a plan is to be computed, in the directory `own` if anywhere, with notes on what is not.

    Raises UserError where a comparison with the stored results in `folder` would not be fair (see `baselines.fair`).
    """
    if own is not None and folder.resolve() == own.resolve():
        raise UserError(f"{own} can't be compared with itself; choose another --name")
    stored, stale = stored_results(folder)
    new, notes = new_cells(plan, stored)
    return replace(new, notes=(*plan.notes, *stale, *notes))


def results_of(directory: ResultsDirectory, metric: str = "test_metric") -> Results | Compared:
    """What tables, plots and page are made of: a directory's results, with those that it was run against, if any."""
    own = load(directory.folder)
    folder = directory.against()
    if folder is None:
        return own
    refuse_times(metric)
    stored, stale = stored_results(recorded(folder))
    joined = join_opened([own, stored], own_timings=True)
    # Only what was run here too: a problem that has none of the new optimizers says nothing of them.
    shared = joined.cells.merge(own.cells[GROUP].drop_duplicates(), on=GROUP)["cell_id"]
    values = {field.name: getattr(joined, field.name) for field in fields(Joined) if field.name != "warnings"}
    values |= {
        name: frame[frame["cell_id"].isin(shared)].reset_index(drop=True)
        for name, frame in values.items()
        if isinstance(frame, pd.DataFrame)
    }
    cells = values["cells"]
    taken = cells[~cells["cell_id"].isin(own.cells["cell_id"])]
    return Compared(
        **values,
        directory=directory,
        baseline=_origin(own, stored, taken),
        warnings=[*stale, *_unpaired(values["curves"], set(taken["cell_id"])), *joined.notes, *_untimed(stored, taken)],
    )


def _origin(own: Results, stored: Stored, taken: pd.DataFrame) -> str:
    text = (
        f"{len(taken)} cells ({', '.join(sorted(taken['optimizer'].unique()))}) are those of {stored.name}, and "
        f"{len(own.cells)} ({', '.join(sorted(own.cells['optimizer'].unique()))}) were computed here"
    )
    if isinstance(stored, Frozen):
        about = stored.about
        text += f"; {stored.name} {about['version']} was made {about['made']} by optbench {about['optbench']}"
    keys = [key for key in taken["environment"].unique() if key]
    machines = dict.fromkeys(machine(stored.environments.get(key, {}), key) for key in keys)
    return text + (f" on {'; '.join(machines)}" if machines else "")


def _untimed(stored: Stored, taken: pd.DataFrame) -> Sequence[str]:
    if taken["step_ms"].notna().any():
        return ()
    return (
        f"Times are those of this machine alone: the cells of {stored.name} have none, and are left out of every "
        "table, axis and profile in seconds.",
    )


def _unpaired(curves: pd.DataFrame, stored: set[str]) -> Sequence[str]:
    """Groups and seeds whose networks don't start alike here and there: their differences are not paired."""
    start = curves[(curves["kind"] == "run") & (curves["step"] == 0)]
    theirs = start["cell_id"].isin(stored)
    loss = [
        part.groupby([*GROUP, "seed"], observed=True)["valid_loss"].median() for part in (start[~theirs], start[theirs])
    ]
    both = pd.concat(loss, axis=1, keys=["own", "stored"]).dropna()
    unlike = both[~np.isclose(both["own"], both["stored"], rtol=_SAME_START, atol=0)]
    problems = unlike.index.get_level_values("problem").unique()
    return [
        f"On {problem} the untrained models here have another loss than the stored ones: seeds are not paired, and "
        "verdicts there don't hold."
        for problem in problems
    ]
