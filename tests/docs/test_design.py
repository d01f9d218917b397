"""The design names what there is: modules, verbs and their options, files of a results directory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import optbench
from optbench.cli.verbs import cli
from optbench.results.load import Results
from tests.support.layout import ROOMS
from tests.support.pages import ROOT

pytestmark = pytest.mark.docs

DESIGN = (ROOT / "docs" / "design.md").read_text("utf-8")


def _section(number: int) -> str:
    return DESIGN[DESIGN.index(f"\n## {number}. ") : DESIGN.index(f"\n## {number + 1}. ")]


def _quoted(text: str) -> set[str]:
    return {word for quoted in re.findall(r"`([^`]+)`", text) for word in re.findall(r"[\w-]+", quoted)}


def _verbs(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _verbs(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def test_every_room_has_a_line() -> None:
    named = [line.split("|")[1].strip() for line in _section(2).splitlines() if line.startswith("| `")]
    rooms = {word.strip("/") for line in named for word in re.findall(r"`(\w+)(?:\.py|/)?`", line)}
    assert rooms == set(ROOMS) - {"problems"}


def test_the_order_of_the_rooms_is_the_tested_one() -> None:
    assert ", ".join(ROOMS) in " ".join(_section(2).split())


def test_every_verb_has_a_row_and_every_option_a_place() -> None:
    section = _section(3)
    rows = [line.split("|")[1] for line in re.sub(r"\\\|", "/", section).splitlines() if line.startswith("| `")]
    verbs = dict(_verbs(cli))
    assert [verb for verb in verbs if not any(re.search(rf"`{verb}\b", row) for row in rows)] == []
    options = [
        f"{verb} {option.opts[0]}"
        for verb, command in verbs.items()
        for option in command.params
        if isinstance(option, click.Option) and option.opts[0] not in section
    ]
    assert options == []


def test_no_option_is_made_up() -> None:
    known = {name for _, command in _verbs(cli) for parameter in command.params for name in parameter.opts}
    assert set(re.findall(r"--[a-z][\w-]*", _section(3))) - known == set()


def test_frames_have_the_columns_that_are_listed(tiny_run: Results) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", _section(4), re.M))
    for name in ("trials", "runs", "curves", "cells"):
        missing = _quoted(rows[name]) - set(getattr(tiny_run, name).columns)
        assert missing == set(), name


def test_every_file_of_a_results_directory_has_a_row(tiny_run: Results) -> None:
    text = (ROOT / "results" / "README.md").read_text("utf-8")
    folder = tiny_run.directory.folder
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        parts = path.relative_to(folder).parts
        pattern = (
            parts[0] if len(parts) == 1 else (f"cells/<cell_id>/{parts[2]}" if parts[0] == "cells" else f"{parts[0]}/")
        )
        assert f"`{pattern}" in text, path


def test_functions_are_named() -> None:
    functions = {name for name in optbench.__all__ if not isinstance(getattr(optbench, name), type)} - {"optimizer"}
    assert functions - _quoted(_section(3)) == set()


def test_the_tree_is_there() -> None:
    tree = re.search(r"```\n(pyproject.*?)```", DESIGN, re.S)
    assert tree
    for line in tree[1].splitlines():
        for name in [] if line.startswith(" ") else re.split(r"\s{2,}", line) if "  " in line else [line]:
            if re.fullmatch(r"[\w.]+/?|\.ci/run", name):
                assert Path(ROOT / name).exists(), name
