"""Two commits of a repository, each checked out and installed in a folder of its own, to be measured in turn."""

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
    """One commit: `tree` is its checkout, `site` where its packages are installed, `packages` their names."""

    ref: str
    tree: Path
    site: Path
    packages: tuple[str, ...]

    def visit(self, suite: Path, select: list[str], expression: str) -> dict[str, Any]:
        """One visit of the suite with this commit's packages, and with no other's (the plugin sees to that)."""
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
    """The commits as sides, both with the present files of the suite; they are gone when the context ends, however.

    Raises UserError for a ref that is none, outside of a repository, for a suite within
    a package that is compared, and for a commit that can't be installed.
    """
    root = Path(_git("rev-parse", "--show-toplevel"))
    inside = suite.resolve().relative_to(root) if suite.resolve().is_relative_to(root) else None
    if inside is None or not inside.parts or not suite.exists():
        raise UserError(f"the suite {suite} is no file or folder within the repository {root}")
    for ref in refs:
        _git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", error=f"{ref!r} is no commit of {root}")
    with TemporaryDirectory(prefix="optbench-timing-") as scratch, ExitStack() as stack:
        found = []
        for name, ref in zip("ab", refs, strict=True):
            tree = Path(scratch) / name / "tree"
            _git("worktree", "add", "--detach", "--quiet", str(tree), ref)
            stack.callback(_git, "worktree", "remove", "--force", str(tree))
            site = tree.parent / "site"
            _install(ref, tree, site)
            packages = _packages(site)
            if inside.parts[0] in packages:
                # What surrounds the suite comes from the present checkout, on both sides.
                raise UserError(f"the suite {suite} lies in the package {inside.parts[0]}, which is what is compared")
            _put(root / inside.parts[0], tree / inside.parts[0])
            found.append(Side(ref, tree, site, packages))
        yield found


def _put(suite: Path, place: Path) -> None:
    """The suite as it is now, in place of the commit's own: both sides are measured by the same tests."""
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
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip says nothing"]
        raise UserError(f"{ref} can't be installed: {lines[-1].strip()}")


def _packages(site: Path) -> tuple[str, ...]:
    """What can be imported from there."""
    modules = [path.stem for path in site.glob("*.py")]
    return tuple(sorted([*modules, *(path.name for path in site.iterdir() if (path / "__init__.py").exists())]))


def _git(*arguments: str, error: str = "") -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError("there is no git here, without which commits can't be checked out") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["git says nothing"]
        raise UserError(error or f"git {arguments[0]}: {lines[-1]}")
    return done.stdout.strip()
