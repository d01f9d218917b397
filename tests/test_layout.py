"""The order of the rooms: each imports only those before it (docs/design.md, section 2)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.layout import ROOMS, ROOT, circles, imports, layers, rooms, upward


@pytest.fixture(scope="module")
def modules() -> dict[str, set[str]]:
    return imports(ROOT / "optbench", ROOT / "problems")


def test_every_import_is_of_a_room_that_comes_before(modules: dict[str, set[str]]) -> None:
    assert upward(modules) == []


def test_there_are_no_circles_and_every_room_has_its_place(modules: dict[str, set[str]]) -> None:
    graph = rooms(modules)
    assert circles(graph) == []
    assert set(graph) == set(ROOMS)
    assert layers(graph) <= 13


@pytest.mark.parametrize(
    "line",
    ["from optbench.api import run", "import optbench.api", "def f():\n    from optbench import api"],
)  # fmt: skip
def test_a_planted_upward_import_is_found(line: str, tmp_path: Path) -> None:
    package = Path(shutil.copytree(ROOT / "optbench", tmp_path / "optbench"))
    (package / "statistics" / "planted.py").write_text(line)
    modules = imports(package, ROOT / "problems")
    assert upward(modules) == ["statistics.planted imports api"]
    assert any({"statistics", "api"} <= circle for circle in circles(rooms(modules)))


def test_imports_for_type_hints_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "errors.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from optbench.api import run\n"
    )
    (tmp_path / "api.py").touch()
    assert upward(imports(tmp_path)) == []


def test_layers_count_a_circle_once() -> None:
    graph = {"a": set[str](), "b": {"a", "c"}, "c": {"b"}, "d": {"c"}}
    assert circles(graph) == [{"b", "c"}]
    assert layers(graph) == 3


def test_the_command_line_computes_through_the_api_alone(modules: dict[str, set[str]]) -> None:
    """Verbs parse, call `optbench.api` and print: what they can do, a script can."""
    computing = {"runner.run", "planning.matrix", "config.load", "reporting.comparison", "metrics.recommendation"}
    assert {
        target for module in ("cli.verbs", "cli.check", "cli.reference") for target in modules[module]
    } & computing == set()
