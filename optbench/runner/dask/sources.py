"""Files of the user that implement a problem or an optimizer: they travel with the cell."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from optbench.errors import UserError
from optbench.importing import source_digest
from optbench.planning.matrix import Cell
from optbench.selection import Selection


def carried(cell: Cell) -> dict[str, bytes]:
    """What the files hold that a cell names, by location. Raises UserError for one that is gone."""
    found = {}
    for target in (cell.problem.selection.name, cell.optimizer.constructor):
        location = target.rpartition(":")[0]
        if location.endswith(".py"):
            try:
                found[location] = Path(location).expanduser().read_bytes()
            except OSError as error:
                raise UserError(f"{location} can't be read: {error.strerror}") from None
    return found


def placed(cell: Cell, sources: Mapping[str, bytes], folder: Path) -> Cell:
    """The same cell with its files as they are found here: in place where they are there, else below `folder`."""
    if not sources:
        return cell
    problem, optimizer = cell.problem, cell.optimizer
    chosen = problem.selection
    moved = Selection(_moved(chosen.name, sources, folder), chosen.parameters)
    constructor = _moved(optimizer.constructor, sources, folder)
    return replace(
        cell,
        problem=replace(problem, selection=moved),
        optimizer=replace(optimizer, constructor=constructor),
    )


def check_same(cell: Cell) -> None:
    """Raises UserError where what is installed or lies here is not what the cell was planned with.

    A problem's identity holds its version, its parameters (of a folder of images, what lies in it), and the digest of
    a user's own file.
    """
    from optbench.planning.matrix import problem_identity

    chosen = cell.problem.selection
    here = problem_identity(chosen.name, cell.problem.make())
    if here != cell.problem.identity:
        differing = sorted(key for key in {*here, *cell.problem.identity} if _get(here, key) != _get(cell, key))
        raise UserError(f"{cell.problem.label} is another one on this worker (its {', '.join(differing)} differ)")
    constructor = cell.optimizer.constructor
    if cell.optimizer.source and source_digest(constructor) != cell.optimizer.source:
        raise UserError(f"optimizer {cell.optimizer.label} is another one on this worker (its source differs)")


def _get(of: Mapping[str, object] | Cell, key: str) -> object:
    return (of.problem.identity if isinstance(of, Cell) else of).get(key)


def _moved(target: str, sources: Mapping[str, bytes], folder: Path) -> str:
    location, _, attribute = target.rpartition(":")
    if location not in sources:
        return target
    path, content = Path(location).expanduser(), sources[location]
    if not (path.is_file() and path.read_bytes() == content):
        # A folder for each content, under the file's own name, which is part of the cell's identity.
        path = folder / hashlib.sha256(content).hexdigest()[:16] / path.name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return f"{path}:{attribute}"
