"""Compares the code on the disk with the code with which a cell was planned."""

from __future__ import annotations

from optbench.errors import UserError
from optbench.importing import source_digest, target_sources
from optbench.optimizers.registry import code_targets, code_version
from optbench.planning.matrix import Cell, problem_target


def check_unchanged(cell: Cell) -> None:
    """Check that the code of a cell is the code with which it was planned.

    Raises:
        UserError: If the code has changed, or can't be imported any more.
    """
    if changed := changed_code(cell):
        raise UserError(f"{changed} has changed since the run was planned; run again to compute with the new code")


def changed_code(cell: Cell) -> str:
    """Return the place of the code that differs from the planned one: a file or a module; "" if there is none.

    Raises:
        UserError: If the code can't be imported.
    """
    planned = cell.problem.identity.get("source")
    target = "" if planned is None else problem_target(cell.problem.selection.name)
    if target and source_digest(target) != planned:
        return _place(target)
    optimizer = cell.optimizer
    if not optimizer.source or code_version(optimizer) == optimizer.source:
        return ""
    targets, digests = code_targets(optimizer), optimizer.source.split()
    for target, digest in zip(targets, digests[-len(targets) :] if targets else (), strict=False):
        if source_digest(target) != digest:
            return _place(target)
    return f"package {optimizer.package}"


def _place(target: str) -> str:
    sources = target_sources(target)
    location = target.rpartition(":")[0]
    return f"{location} (or a module that it imports)" if sources is not None and sources.helpers else location
