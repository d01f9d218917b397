"""Checks that a plan can be compared fairly with stored results, and selects its new cells."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from optbench.errors import UserError, unknown
from optbench.planning.matrix import Plan
from optbench.planning.revisions import OPTIMIZER_WORDS
from optbench.results.join import ResultsOnDisk
from optbench.results.stored import GROUP


def select_new_cells(plan: Plan, stored: ResultsOnDisk) -> tuple[Plan, list[str]]:
    """Returns the plan without the cells that the stored results have, and notes for the reader.

    Args:
        plan: The plan of all cells.
        stored: The results to compare with.

    Raises:
        UserError: Seeds, budgets or other settings differ from those of the stored results, no cell is comparable, or
            no cell is new.
    """
    cells = stored.plan["cells"]
    if list(plan.seeds) != list(stored.plan["seeds"]):
        count = len(stored.plan["seeds"])
        raise UserError(
            f"seeds = {len(plan.seeds)} does not match {stored.name}, which has {count} seeds (accepted: "
            f"--seeds {count}; runs are compared in pairs on the same seed)"
        )
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell in cells:
        if cell["cell_id"] in stored.identities:
            groups.setdefault(tuple(cell[name] for name in GROUP), extract_protocol(stored.identities[cell["cell_id"]]))
    comparable, unmatched = 0, []
    for cell in plan.cells:
        group = (cell.problem.label, cell.batch_size, cell.device, cell.schedule)
        if group not in groups:
            unmatched.append(" × ".join(map(str, group)))
            continue
        comparable += 1
        for path, planned, recorded in list_differences(extract_protocol(cell.identity), groups[group]):
            raise UserError(
                f"{path} of {cell.problem.label} is {planned}, but {recorded} in {stored.name}, so the comparison "
                f"would not be fair (accepted: {recorded}, or other stored results)"
            )
    if not comparable:
        raise _no_overlap_error(plan, stored, groups)
    known = {cell["cell_id"] for cell in cells}
    new = tuple(cell for cell in plan.cells if cell.id not in known)
    if not new:
        raise UserError(
            f"all {len(plan.cells)} cells are already in {stored.name}; add a new optimizer with --optimizer"
        )
    notes = [f"{stored.name} has no cells on {group}" for group in dict.fromkeys(unmatched)]
    if reused := len(plan.cells) - len(new):
        notes.append(f"{reused} cells are taken from {stored.name} and not computed")
    return replace(plan, cells=new), notes


def _no_overlap_error(plan: Plan, stored: ResultsOnDisk, groups: Collection[tuple[Any, ...]]) -> UserError:
    """Returns an error that names the first of problem, batch size, device and schedule without a common value."""
    planned = [(cell.problem.label, cell.batch_size, cell.device, cell.schedule) for cell in plan.cells]
    for place, name in enumerate(("problem", "batch size", "device", "schedule")):
        available = {str(group[place]) for group in groups}
        requested = [str(group[place]) for group in planned]
        if not set(requested) & set(available):
            return UserError(f"{unknown(name, requested[0], available)} in {stored.name}")
    return UserError(f"{stored.name} has none of the planned combinations of problem, batch size, device and schedule")


def extract_protocol(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of a cell's identity that compared cells have in common: everything except the optimizer."""
    return {name: value for name, value in identity.items() if name not in ("optimizer", *OPTIMIZER_WORDS)}


def list_differences(new: Any, old: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields the differences of two nested mappings as (path, new value, old value); a missing value is None.

    A path is a text such as `tuning worth`.
    """
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for name in dict.fromkeys([*new, *old]):
            words = f"{path} {name}".strip().replace("_", " ")
            yield from list_differences(new.get(name), old.get(name), words)
    elif new != old:
        yield path, new, old
