"""User files that define a problem or an optimizer are sent to workers with the cell."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from optbench.errors import UserError
from optbench.importing import target_sources
from optbench.planning.matrix import Cell, problem_identity
from optbench.planning.planned_code import changed_code
from optbench.selection import Selection

#: By folder: the contents of files by their path in the folder.
Files = Mapping[str, Mapping[str, bytes]]


def read_sources(cell: Cell) -> Files:
    """Reads the user files that define a cell's problem and optimizer, and the modules next to them that they import.

    Args:
        cell: The cell.

    Returns:
        The contents, by folder and by the path in the folder.

    Raises:
        UserError: A file can't be read.
    """
    optimizer = cell.optimizer
    folders: dict[str, dict[str, bytes]] = {}
    for target in (cell.problem.selection.name, optimizer.constructor, *optimizer.partners.values(), optimizer.reset):
        location = target.rpartition(":")[0]
        if not location.endswith(".py"):
            continue
        if not Path(location).expanduser().is_file():
            raise UserError(f"{location} can't be read: No such file or directory")
        sources = target_sources(target)
        assert sources is not None
        files = folders.setdefault(_folder(location), {})
        for path, content in ((sources.file, sources.content), *sources.helpers.values()):
            if path.is_relative_to(sources.file.parent):
                files[path.relative_to(sources.file.parent).as_posix()] = content
    return folders


def place_sources(cell: Cell, sources: Files, folder: Path) -> Cell:
    """Makes the files of a cell available on this machine.

    Files that exist at their location with the same content are used as they are. Otherwise all files of their folder
    are written to `folder`.

    Args:
        cell: The cell.
        sources: The result of `read_sources` on the coordinator.
        folder: Where files are written that this machine does not have.

    Returns:
        The cell, with the locations of its files on this machine.
    """
    if not sources:
        return cell
    places = {origin: _place(origin, files, folder) for origin, files in sources.items()}

    def here(target: str) -> str:
        location, _, attribute = target.rpartition(":")
        place = places.get(_folder(location)) if location.endswith(".py") else None
        return target if place is None else f"{place / Path(location).name}:{attribute}"

    problem, optimizer = cell.problem, cell.optimizer
    chosen = problem.selection
    return replace(
        cell,
        problem=replace(problem, selection=Selection(here(chosen.name), chosen.parameters)),
        optimizer=replace(
            optimizer,
            constructor=here(optimizer.constructor),
            partners={group: here(target) for group, target in optimizer.partners.items()},
            reset=here(optimizer.reset),
        ),
    )


def check_same(cell: Cell) -> None:
    """Checks that the problem and the optimizer on this machine are those with which the cell was planned.

    A problem's identity contains its version, its parameters (including a digest of image folders), and the digest of
    a user's file.

    Raises:
        UserError: The problem or the optimizer differs.
    """
    chosen = cell.problem.selection
    planned = cell.problem.identity
    # The data directory of the plan need not be here: its content is not compared.
    here = {**planned, "data": None, **problem_identity(chosen.name, cell.problem.make())}
    if here != {**planned, "data": None}:
        differing = sorted(key for key in {*here, *planned} if here.get(key) != planned.get(key))
        raise UserError(f"problem {cell.problem.label} differs on this worker (in {', '.join(differing)})")
    if changed := changed_code(cell):
        raise UserError(f"optimizer {cell.optimizer.label} differs on this worker (in its source: {changed})")


def _folder(location: str) -> str:
    return str(Path(location).expanduser().parent)


def _place(origin: str, files: Mapping[str, bytes], folder: Path) -> Path:
    """Returns the folder that has the files on this machine."""
    place = Path(origin)
    if all((place / name).is_file() and (place / name).read_bytes() == content for name, content in files.items()):
        return place
    # One folder per origin, so that an edited module replaces the earlier one; files keep their names, which are part
    # of the cell's identity.
    place = folder / hashlib.sha256(origin.encode()).hexdigest()[:16]
    for name, content in files.items():
        path = place / name
        if not (path.is_file() and path.read_bytes() == content):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return place
