"""What is installed is all that the package needs: its subpackages, and the files beside them that it reads."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from optbench.baselines.located import SHIPPED, reference_folder

ROOT = Path(__file__).parents[1]
#: Where the package's parts lie in the source tree.
PARTS = {"optbench": ROOT / "optbench", "optbench.problems": ROOT / "problems"}
#: Parts without modules.
DATA = {f"optbench.{folder}": ROOT / "results" / folder for folder in SHIPPED.values()}


@pytest.fixture(scope="module")
def setuptools() -> dict[str, Any]:
    """What pyproject.toml tells setuptools."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    return found


def _packages() -> Iterator[tuple[str, Path]]:
    """Every folder of modules, by the name under which it is imported."""
    for part, root in PARTS.items():
        for file in sorted(root.rglob("*.py")):
            below = file.parent.relative_to(root).parts
            yield ".".join((part, *below)), file.parent


def test_every_folder_with_modules_is_listed(setuptools: dict[str, Any]) -> None:
    assert set(setuptools["packages"]) == {name for name, _ in _packages()} | set(DATA)


def test_every_other_file_is_among_the_package_data(setuptools: dict[str, Any]) -> None:
    """Templates, scripts, styles, presets and frozen targets: a wheel without one of them is found here."""
    listed = set()
    folders = {**dict(_packages()), **DATA}
    for name, patterns in setuptools["package-data"].items():
        for pattern in patterns:
            found = set(folders[name].glob(pattern))
            assert found, f"{name}: nothing is called {pattern}"
            listed |= found
    other = {
        path
        for root in (*PARTS.values(), *DATA.values())
        for path in root.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and not path.name.startswith(".")
    }
    assert {path.relative_to(ROOT) for path in other} == {path.relative_to(ROOT) for path in listed}


def test_what_the_package_reads_is_found_through_it(setuptools: dict[str, Any]) -> None:
    for name, patterns in setuptools["package-data"].items():
        shipped = {f"optbench.{folder}": reference_folder(one) for one, folder in SHIPPED.items()}
        folder = shipped.get(name) or resources.files(name)
        for pattern in patterns:
            inner = folder.joinpath(str(Path(pattern).parent))
            assert any(Path(entry.name).match(Path(pattern).name) for entry in inner.iterdir()), (name, pattern)
