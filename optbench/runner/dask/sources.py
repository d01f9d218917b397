"""User files that define a problem or an optimizer are sent to workers with the cell."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from optbench.errors import UserError
from optbench.importing import source_digest
from optbench.planning.matrix import Cell
from optbench.selection import Selection


def read_sources(cell: Cell) -> dict[str, bytes]:
    """Reads the user files that define a cell's problem and optimizer.

    Args:
        cell: The cell.

    Returns:
        The content of each file by its location.

    Raises:
        UserError: A file can't be read.
    """
    sources = {}
    for target in (cell.problem.selection.name, cell.optimizer.constructor):
        location = target.rpartition(":")[0]
        if location.endswith(".py"):
            try:
                sources[location] = Path(location).expanduser().read_bytes()
            except OSError as error:
                raise UserError(f"{location} can't be read: {error.strerror}") from None
    return sources


def place_sources(cell: Cell, sources: Mapping[str, bytes], folder: Path) -> Cell:
    """Makes the files of a cell available on this machine.

    A file that exists at its location with the same content is used as it is. Otherwise it is written to `folder`.

    Args:
        cell: The cell.
        sources: The result of `read_sources` on the coordinator.
        folder: Where files are written that this machine does not have.

    Returns:
        The cell, with the locations of its files on this machine.
    """
    if not sources:
        return cell
    problem, optimizer = cell.problem, cell.optimizer
    chosen = problem.selection
    relocated = Selection(_place(chosen.name, sources, folder), chosen.parameters)
    constructor = _place(optimizer.constructor, sources, folder)
    return replace(
        cell,
        problem=replace(problem, selection=relocated),
        optimizer=replace(optimizer, constructor=constructor),
    )


def check_same(cell: Cell) -> None:
    """Checks that the problem and the optimizer on this machine are those with which the cell was planned.

    A problem's identity contains its version, its parameters (including a digest of image folders), and the digest of
    a user's file.

    Raises:
        UserError: The problem or the optimizer differs.
    """
    from optbench.planning.matrix import problem_identity

    chosen = cell.problem.selection
    planned = cell.problem.identity
    # The data directory of the plan need not be here: its content is not compared.
    here = {**planned, "data": None, **problem_identity(chosen.name, cell.problem.make())}
    if here != {**planned, "data": None}:
        differing = sorted(key for key in {*here, *planned} if here.get(key) != planned.get(key))
        raise UserError(f"problem {cell.problem.label} differs on this worker (in {', '.join(differing)})")
    constructor = cell.optimizer.constructor
    if cell.optimizer.source and source_digest(constructor) != cell.optimizer.source:
        raise UserError(f"optimizer {cell.optimizer.label} differs on this worker (in its source)")


def _place(target: str, sources: Mapping[str, bytes], folder: Path) -> str:
    """Returns the target `FILE.py:NAME` with the file's location on this machine."""
    location, _, attribute = target.rpartition(":")
    if location not in sources:
        return target
    path, content = Path(location).expanduser(), sources[location]
    if not (path.is_file() and path.read_bytes() == content):
        # One folder per content; the file keeps its name, which is part of the cell's identity.
        path = folder / hashlib.sha256(content).hexdigest()[:16] / path.name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return f"{path}:{attribute}"
