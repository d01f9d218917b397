"""`optbench.load`: a results directory as an object with frames."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from optbench.results.frames import Frames

from optbench.results.directory import ResultsDirectory
from optbench.results.protocol import list_protocol_differences


class Results:
    """The results of a directory, complete or partial. Frames are read at their first use.

    Costs are in example gradients, `seconds` and `*_seconds` in seconds, `*_ms` in milliseconds, `*_bytes` in bytes.
    The columns are listed in docs/design.md, section 4.

    Args:
        folder: The results directory.

    Raises:
        UserError: The folder is not a results directory, or its schema is unknown.
    """

    def __init__(self, folder: str | Path) -> None:
        self.directory = ResultsDirectory(Path(folder))
        self.directory.check()
        self.plan = self.directory.plan()
        self.folder = self.directory.folder
        self.name = self.folder.name

    @cached_property
    def _collected(self) -> Frames:
        from optbench.results.frames import collect  # pandas, which a run that has nothing to do need not import

        return collect(self.directory)

    @cached_property
    def _frames(self) -> Frames:
        from optbench.results.machines import drop_timings

        if len(self.machines) < 2:
            return self._collected
        return replace(
            self._collected,
            **{field.name: drop_timings(getattr(self._collected, field.name)) for field in fields(self._collected)},
        )

    @cached_property
    def machines(self) -> list[str]:
        """The machines that timed and computed the cells; if there are several, the frames have no times."""
        from optbench.results.machines import list_machines, timing_environments

        return list_machines(timing_environments(self._collected.cells, self.environments))

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences that a reader needs before comparing results; see `StoredResults`."""
        from optbench.results.machines import explain_dropped_times

        several = [explain_dropped_times(self.machines)] if len(self.machines) > 1 else []
        return [*self.damage.values(), *several, *([self.not_compared] if self.not_compared else [])]

    @cached_property
    def not_compared(self) -> str:
        """A sentence on cells of other configurations that could be compared with the planned ones, or ""."""
        planned: dict[str, list[dict[str, Any]]] = {}
        for identity in self.identities.values():
            planned.setdefault(_task_of(identity), []).append(identity)
        count = 0
        known = {cell["cell_id"] for cell in self.plan["cells"]}
        for folder in (self.folder / "cells").glob("*"):
            store = self.directory.cell(folder.name)
            if folder.name in known or (other := store.identity()) is None or store.result() is None:
                continue
            alike = planned.get(_task_of(other), [])
            count += any(not [*list_protocol_differences(other, identity)] for identity in alike[:1])
        if not count:
            return ""
        return (
            f"{count} cells of other configurations in {self.name} are on the same tasks and not compared; verdicts "
            "are adjusted only for the comparisons that are shown"
        )

    @cached_property
    def cell_results(self) -> dict[str, dict[str, Any] | None]:
        """By id, the result of each planned cell, or None if it is not finished; read once."""
        return {cell["cell_id"]: self.directory.cell(cell["cell_id"]).result() for cell in self.plan["cells"]}

    @cached_property
    def damage(self) -> dict[str, str]:
        """Sentences on damaged files by cell id, and by "" for one of the directory itself."""
        file = self.directory.find_damage()
        found = {"": f"{file} of {self.name} is damaged; the next `optbench run` writes it again"} if file else {}
        for cell in self.plan["cells"]:
            if file := self.directory.cell(cell["cell_id"]).find_damage(self.cell_results[cell["cell_id"]]):
                found[cell["cell_id"]] = (
                    f"cell {cell['cell_id']} of {self.name} ({cell['optimizer']} on {cell['problem']}, batch "
                    f"{cell['batch_size']}): {file} is damaged and left out; the next `optbench run` computes the cell "
                    "again"
                )
        return found

    @property
    def runs(self) -> pd.DataFrame:
        """One row per final run: tuned and untuned, on fresh seeds."""
        return self._frames.runs

    @property
    def trials(self) -> pd.DataFrame:
        """One row per training of the tuning."""
        return self._frames.trials

    @property
    def studies(self) -> pd.DataFrame:
        """One row per training of repeated tunings (study 1, 2, …), which do not choose the learning rate."""
        return self._frames.studies

    @property
    def curves(self) -> pd.DataFrame:
        """One row per evaluation of a trial or run."""
        return self._frames.curves

    @property
    def cells(self) -> pd.DataFrame:
        """One row per cell of the matrix, finished or not."""
        return self._frames.cells

    @property
    def trajectories(self) -> pd.DataFrame:
        """One row per step of a run on a two-dimensional problem (thinned)."""
        return self._frames.trajectories

    @property
    def planes(self) -> dict[str, Any]:
        """By problem label: start, minimum, domain and grid values of two-dimensional problems."""
        return self.directory.planes()

    @property
    def environments(self) -> dict[str, Any]:
        """By key: the hardware and versions that computed the cells."""
        return self.directory.environments()

    @cached_property
    def identities(self) -> dict[str, Any]:
        """By cell id: the content that the id is a hash of, for cells that have begun."""
        identities = {cell["cell_id"]: self.directory.cell(cell["cell_id"]).identity() for cell in self.plan["cells"]}
        return {cell_id: identity for cell_id, identity in identities.items() if identity is not None}

    def states(self) -> dict[str, str]:
        """Returns the state of each cell by id: `done`, `failed` or `missing`."""
        planned = self.plan["seeds"], self.plan.get("studies", 1)
        return {cell["cell_id"]: self.directory.cell(cell["cell_id"]).state(*planned) for cell in self.plan["cells"]}

    def __repr__(self) -> str:
        states = list(self.states().values())
        failed = states.count("failed")
        text = f"<optbench results {str(self.directory.folder)!r}: {states.count('done')} of {len(states)} cells"
        diverged = int((self.runs["status"] == "diverged").sum())
        text += f", {failed} failed" if failed else ""
        return f"{text}, {diverged} of {len(self.runs)} runs diverged>" if diverged else f"{text}>"

    def _repr_html_(self) -> str:
        """The number of cells by state, for notebooks (`optbench.load` and `optbench.run` add a leaderboard)."""
        states = ", ".join(f"{number} {state}" for state, number in sorted(Counter(self.states().values()).items()))
        return f"<p><b>{escape(self.name)}</b>: {states} cells</p>"


def _task_of(identity: Mapping[str, Any]) -> str:
    return json.dumps([identity.get(name) for name in ("problem", "batch_size", "device", "schedule")], sort_keys=True)


def load(folder: str | Path) -> Results:
    """Opens the results directory `folder`.

    Raises:
        UserError: It is not a results directory, or its schema is unknown.
    """
    return Results(folder)
