"""Two commits of a repository, each checked out and installed in its own folder, to be measured in turn."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optbench.errors import UserError
from optbench.timing.pytest_plugin import TREE
from optbench.timing.visits import visit


@dataclass(frozen=True)
class Side:
    """One commit: `tree` is its checkout, `site` the folder of its installed packages, `packages` their names."""

    ref: str
    tree: Path
    site: Path
    packages: tuple[str, ...]

    def visit(self, suite: Path, select: list[str], expression: str) -> dict[str, Any]:
        """One visit of the suite with the packages of this commit only, which the plugin verifies."""
        paths = [str(self.site), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        environment = {
            "PYTHONPATH": os.pathsep.join(paths),
            TREE: str(self.tree.parent),
            f"{TREE}_PACKAGES": os.pathsep.join(self.packages),
            "PYTHONSAFEPATH": "1",
        }
        return visit(suite, self.tree, environment, select, expression)


@contextmanager
def sides(refs: list[str], suite: Path) -> Iterator[list[Side]]:
    """A context with the commits as sides, both with the present files of the suite; it always removes them at its end.

    Raises UserError for an unknown commit, outside a repository, for a suite inside a package that is compared, and
    for a commit that cannot be installed.
    """
    root = Path(_git("rev-parse", "--show-toplevel"))
    inside = suite.resolve().relative_to(root) if suite.resolve().is_relative_to(root) else None
    if inside is None or not inside.parts or not suite.exists():
        raise UserError(f"the suite {suite} is not a file or folder in the repository {root}")
    for ref in refs:
        _git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", error=f"{ref!r} is not a commit of {root}")
    with TemporaryDirectory(prefix="optbench-timing-") as scratch, ExitStack() as stack:
        commits = []
        for name, ref in zip("ab", refs, strict=True):
            tree = Path(scratch) / name / "tree"
            _git("worktree", "add", "--detach", "--quiet", str(tree), ref)
            stack.callback(_git, "worktree", "remove", "--force", str(tree))
            site = tree.parent / "site"
            _install(ref, tree, site)
            packages = _packages(site)
            if inside.parts[0] in packages:
                # The whole top folder of the suite comes from the present checkout on both sides.
                raise UserError(f"the suite {suite} is inside the package {inside.parts[0]}, which is to be compared")
            _put(root / inside.parts[0], tree / inside.parts[0])
            commits.append(Side(ref, tree, site, packages))
        yield commits


def _put(suite: Path, place: Path) -> None:
    """Replaces the commit's suite by the present one, so that the same tests measure both sides."""
    if place.is_dir():
        shutil.rmtree(place)
    if suite.is_dir():
        shutil.copytree(suite, place, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        place.unlink(missing_ok=True)
        shutil.copy2(suite, place)


def _install(ref: str, tree: Path, site: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--target", str(site), str(tree)], capture_output=True, text=True, check=False, cwd=tree.parent
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip gave no reason"]
        raise UserError(f"{ref} cannot be installed: {lines[-1].strip()}")


def _packages(site: Path) -> tuple[str, ...]:
    """The names of the modules and packages in a folder."""
    modules = [path.stem for path in site.glob("*.py")]
    return tuple(sorted([*modules, *(path.name for path in site.iterdir() if (path / "__init__.py").exists())]))


def _git(*arguments: str, error: str = "") -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError("git is not installed; it is needed to check out commits") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["git gave no reason"]
        raise UserError(error or f"git {arguments[0]}: {lines[-1]}")
    return done.stdout.strip()
