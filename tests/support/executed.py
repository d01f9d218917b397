"""How a command of the documents is checked, and how it is executed: with cheap settings where it takes long.

Commands of optbench are executed in this process (`main` is what the script calls), in a folder that holds what the
documents speak of, and with the shortcuts of `shortened`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import pytest

import optbench
from optbench.cli.verbs import COMPLETE, _main, cli
from optbench.metrics.registry import TABLES
from optbench.timing import visits
from optbench.timing.recording import place, write
from tests.support.pages import ROOT
from tests.support.recordings import recording
from tests.support.tiny import CHOICES, TINY_NET

#: What a benchmark is cut down to.
CHEAP: dict[str, Any] = {"batch_sizes": [10], "run_budget": "1epochs", "seeds": 2, "tuning_worth": 2.0}
#: Medians of eight visits, in seconds.
_VISITS = [0.001, 0.00101, 0.00102, 0.00103, 0.00104, 0.00105, 0.00106, 0.00107]

_visited = functools.cache(visits.visit)


def shortened(patch: pytest.MonkeyPatch) -> None:
    """Leaves out what other tests have: most tables, plots, the page, second visits."""
    patch.setattr("optbench.metrics.tables.TABLES", {"verdicts": TABLES["verdicts"]})
    patch.setattr("optbench.plots.draw_all", lambda *_: [])
    patch.setattr("optbench.reporting.page.report_page", lambda *_: "")
    patch.setattr("optbench.timing.visits.visit", _visited)


def words(text: str) -> list[str]:
    """The words of a command without variables of the environment; `python -m optbench` is `optbench`."""
    found = shlex.split(text, comments=True)
    while re.match(r"[A-Z_]+=", found[0]):
        found = found[1:]
    return ["optbench", *found[3:]] if found[:3] == ["python", "-m", "optbench"] else found


def check(command: list[str]) -> bool:
    """Checks a command without executing more of it than a plan, a page of help or `make --dry-run`.

    Raises where it is wrong; False where nothing here knows the command.
    """
    match command:
        case ["optbench", *_, "--help"]:
            _succeeds(command[1:])
        case ["optbench", "run", *options]:
            planned(options)
        case ["optbench", "experiment", *options]:
            _experiments_are_known(options)
        case ["optbench", *arguments]:
            _parsed(arguments)
        case ["python", "-m", module, *_]:
            found = importlib.util.find_spec(module)
            assert found is not None
            assert '__name__ == "__main__"' in Path(str(found.origin)).read_text("utf-8")
        case ["python", script, *_]:
            assert (ROOT / script).is_file()
        case ["make", *arguments]:
            makefile = ["make", "--dry-run", "--directory", str(ROOT)]
            subprocess.run([*makefile, *arguments], check=True, capture_output=True)
        case ["pip", "install", *requirements]:
            _extras_exist(requirements)
        case ["pytest", *options]:
            _tests_exist(options)
        case _:
            return False
    return True


def is_executed(command: list[str]) -> bool:
    """Whether `execute` does more than `check`."""
    match command:
        case ["optbench", *_, "--help"] | ["optbench", "run", *_] | ["optbench", "timing", "ab", *_]:
            return False
        case ["optbench", "bench", *_]:
            return False  # measures for minutes
        case ["optbench", "experiment", *options]:
            return not ("--data-dir" in options or "data=cifar" in " ".join(options))  # minutes, on data not here
    return command[0] == "optbench" or command[:3] == ["python", "-m", "optbench.metrics.targets.freeze"]


def execute(command: list[str]) -> None:
    """Executes a command that `is_executed`, asserting that it succeeds."""
    match command:
        case ["optbench", "timing", "record", name]:
            _succeeds([*command[1:], "--visits", "2"])
            assert place(name, Path("results")).exists()
        case ["optbench", "timing", "compare", base, head]:
            for name in (base, head):
                write(place(name, Path("results")), recording(name, {"suite.py::test_step": _VISITS}))
            _succeeds(command[1:])
        case ["optbench", "reference", "make", *_]:
            cheap = functools.partial(optbench.run, engine="serial", **CHOICES)
            with patch("optbench.api.run", lambda **given: cheap(**{**given, **CHOICES})):
                _succeeds(command[1:])
        case ["python", "-m", module, *arguments]:
            with patch.object(sys, "argv", [module, *arguments]):
                importlib.import_module(module).main()
        case _:
            _succeeds(command[1:])


def planned(options: list[str]) -> None:
    """`run` accepts all of its options, and `plan` plans what they select."""
    given = _given("run", options)
    chosen = {name: value for name, value in given.items() if name in _options("plan")}
    if "cuda" in chosen.get("devices", ()):
        chosen["devices"] = ["cpu"]  # a device that isn't there is refused
    _succeeds(["plan", *_typed("plan", chosen)])


def option_set(options: list[str]) -> tuple[str, ...]:
    """The options that a `run` is given, in the order of their names, the engine with its value."""
    given = _given("run", options)
    return tuple(sorted(f"engine={value}" if name == "engine" else name for name, value in given.items()))


def run_cheaply(options: list[str]) -> None:
    """Runs `run` with the same options: the values are cheap, own files are as they are, and the problem is tiny."""
    given = _given("run", options)
    own = [text for text in given.get("problems", ()) if ".py:" in text]
    given = {"engine": "serial", "optimizers": ["sgd", "adam"], **given, **CHEAP, "problems": own or [TINY_NET]}
    if "against" in given:
        stored = {**given, "optimizers": ["sgd", "adam"], "name": "stored"}
        del stored["against"]
        _succeeds(["run", *_typed("run", stored)])
        given["against"] = "stored"
    _succeeds(["run", *_typed("run", given)])


def _succeeds(arguments: list[str]) -> None:
    assert _main(arguments) == COMPLETE, arguments


def _parsed(arguments: list[str]) -> click.Context:
    """The parameters of a verb, or of a verb of a verb, as click takes them."""
    command: click.Command = cli
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        command = command.commands[rest.pop(0)]
    return command.make_context(" ".join(arguments), rest)


def _options(verb: str) -> dict[str, click.Option]:
    return {str(option.name): option for option in cli.commands[verb].params if isinstance(option, click.Option)}


def _given(verb: str, options: list[str]) -> dict[str, Any]:
    context = _parsed([verb, *options])
    typed = click.core.ParameterSource.COMMANDLINE
    return {name: value for name, value in context.params.items() if context.get_parameter_source(name) is typed}


def _typed(verb: str, given: dict[str, Any]) -> list[str]:
    """The reverse of `_given`."""
    found: list[str] = []
    for name, value in given.items():
        option = _options(verb)[name]
        if option.is_flag:
            found += [option.opts[0]] * bool(value)
        else:
            for one in value if option.multiple else [value]:
                found += [option.opts[0], str(one)]
    return found


def _experiments_are_known(options: list[str]) -> None:
    from optbench.experiments.conduct import select_experiment

    for name in _parsed(["experiment", *options]).params["names"]:
        assert select_experiment(name).size(False)


def _extras_exist(requirements: Iterable[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for text in requirements:
        named = re.fullmatch(r"optbench\[(\w+)\]", text)
        assert text in ("-e", ".") or (named and named[1] in project["optional-dependencies"]), text


def _tests_exist(options: list[str]) -> None:
    paths = [ROOT / option for option in options if "/" in option]
    assert paths
    for path in paths:
        assert path.exists(), path
        assert "slow" not in options or "pytest.mark.slow" in path.read_text("utf-8")
