"""What a plan has to share with stored results so that a comparison is fair, and which of its cells are new."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from optbench.errors import UserError, unknown
from optbench.planning.matrix import Plan
from optbench.results.join import Stored
from optbench.results.stored import GROUP


def new_cells(plan: Plan, stored: Stored) -> tuple[Plan, list[str]]:
    """The plan without the cells that the stored results have, and notes on cells that have no counterpart there.

    Raises UserError where the plan's seeds, budgets or another part of the
    protocol are not those of the stored results, naming the difference; where nothing of it can be compared; and
    where nothing of it is new.
    """
    cells = stored.plan["cells"]
    if list(plan.seeds) != list(stored.plan["seeds"]):
        count = len(stored.plan["seeds"])
        raise UserError(
            f"seeds {len(plan.seeds)} can't be compared with {stored.name}, which has {count} (accepted: "
            f"--seeds {count}; runs are compared in pairs of one seed)"
        )
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell in cells:
        if cell["cell_id"] in stored.identities:
            groups.setdefault(tuple(cell[name] for name in GROUP), protocol(stored.identities[cell["cell_id"]]))
    compared, alone = 0, []
    for cell in plan.cells:
        group = (cell.problem.label, cell.batch_size, cell.device, cell.schedule)
        if group not in groups:
            alone.append(" × ".join(map(str, group)))
            continue
        compared += 1
        for path, mine, theirs in differences(protocol(cell.identity), groups[group]):
            raise UserError(
                f"{path} of {cell.problem.label} is {mine}, and in {stored.name} {theirs}: no fair comparison "
                f"(accepted: {theirs}, or other stored results)"
            )
    if not compared:
        raise _nothing_shared(plan, stored, groups)
    known = {cell["cell_id"] for cell in cells}
    new = tuple(cell for cell in plan.cells if cell.id not in known)
    if not new:
        raise UserError(f"all {len(plan.cells)} cells are in {stored.name}: nothing is new (name another --optimizer)")
    notes = [f"{stored.name} has nothing to compare with on {group}" for group in dict.fromkeys(alone)]
    if there := len(plan.cells) - len(new):
        notes.append(f"{there} cells are taken from {stored.name}, and not computed")
    return replace(plan, cells=new), notes


def _nothing_shared(plan: Plan, stored: Stored, groups: Collection[tuple[Any, ...]]) -> UserError:
    """Names the first of problem, batch size, device and schedule in which nothing is shared."""
    mine = [(cell.problem.label, cell.batch_size, cell.device, cell.schedule) for cell in plan.cells]
    for place, what in enumerate(("problem", "batch size", "device", "schedule")):
        theirs = {str(group[place]) for group in groups}
        own = [str(group[place]) for group in mine]
        if not set(own) & set(theirs):
            return UserError(f"of {stored.name}: {unknown(what, own[0], theirs)}")
    return UserError(f"{stored.name} has no problem at one of these batch sizes, devices and schedules")


def protocol(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What a cell has in common with all that it may be compared with: everything but its optimizer."""
    return {name: value for name, value in identity.items() if name != "optimizer"}


def differences(new: Any, old: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each place in which two nested values differ, such as `tuning worth`, with both values (None: missing)."""
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for name in dict.fromkeys([*new, *old]):
            words = f"{path} {name}".strip().replace("_", " ")
            yield from differences(new.get(name), old.get(name), words)
    elif new != old:
        yield path, new, old
