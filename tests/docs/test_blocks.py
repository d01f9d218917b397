"""Python of the documents runs, TOML configures, and what a block names is there."""

from __future__ import annotations

import importlib.metadata
import inspect
import tomllib
from pathlib import Path
from typing import Any

import pytest

import optbench
from optbench.config.load import load_config
from optbench.metrics.registry import TABLES
from optbench.optimizers.registry import optimizer_names
from optbench.planning.matrix import make_plan
from optbench.problem.registry import problem_names
from tests.support.executed import CHEAP
from tests.support.pages import Block, blocks
from tests.support.tiny import TINY_NET

pytestmark = pytest.mark.docs

#: Python that needs what isn't here. It is compiled, and its calls of optbench are bound to their signatures.
NOT_RUN = {
    "from dask_jobqueue import SLURMCluster": "needs SLURM",
    "from dask_kubernetes.operator import KubeCluster": "needs Kubernetes",
}

PAGES = sorted({block.page for block in blocks("python")})


def _reason(block: Block) -> str | None:
    return next((reason for line, reason in NOT_RUN.items() if line in block.text), None)


@pytest.fixture
def cheaply(monkeypatch: pytest.MonkeyPatch) -> None:
    """`optbench.run` with the problems and optimizers that it is given, cut down; figures have their tables."""
    monkeypatch.setattr("optbench.metrics.tables.TABLES", TABLES)
    run = optbench.run
    less = {**CHEAP, "engine": "serial", "outputs": False}
    monkeypatch.setattr(optbench, "run", lambda *given, **choices: run(*given, **{**choices, **less}))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("reader", "cheaply")  # in this order
def test_python_runs(page: str) -> None:
    """The blocks of a page from top to bottom, as in a notebook; a file is imported by what names it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks("python", page=page):
        code = compile(block.text, str(block), "exec")
        if _reason(block) is None:
            exec(code, names)


@pytest.mark.parametrize("block", [block for block in blocks("python") if _reason(block)], ids=str)
def test_what_is_not_run_calls_what_there_is(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def bound(*given: Any, **choices: Any) -> None:
        arguments = signature.bind(*given, **choices)
        load_config(arguments.kwargs["preset"])
        called.append(arguments)

    class Cluster:
        def __init__(self, **options: Any) -> None:
            self.scheduler_address = "tcp://127.0.0.1:8786"

        def scale(self, jobs: int) -> None: ...

    signature = inspect.signature(optbench.run)
    monkeypatch.setattr(optbench, "run", bound)
    kept = [line for line in block.text.splitlines() if not line.startswith("from dask")]
    exec("\n".join(kept), {"__name__": "__main__", "SLURMCluster": Cluster, "KubeCluster": Cluster})
    assert called


def test_what_is_not_run_is_still_there() -> None:
    assert [line for line in NOT_RUN if not any(line in block.text for block in blocks("python"))] == []


def test_toml_configures(reader: Path) -> None:
    faults = []
    for block in blocks("toml"):
        try:
            _configures(block, reader)
        except Exception as error:
            faults.append(f"{block}: {error!r}")
    assert faults == []


def _configures(block: Block, reader: Path) -> None:
    settings = tomllib.loads(block.text)
    if "project" in settings:
        for group, entries in settings["project"]["entry-points"].items():
            _is_looked_up(group, entries)
        return
    (reader / "block.toml").write_text(block.text, "utf-8")
    choices = {} if "problems" in settings else {"problems": [TINY_NET]}
    config = load_config(file=Path("block.toml"), choices=choices)
    cells = make_plan(config).cells
    assert {cell.optimizer.label for cell in cells} == set(config.optimizers)


def _is_looked_up(group: str, entries: dict[str, str]) -> None:
    """What an installed package says under this group is what `list` shows."""
    names = {"optbench.problems": problem_names, "optbench.optimizers": optimizer_names}[group]
    found = [importlib.metadata.EntryPoint(name, value, group) for name, value in entries.items()]

    def installed(*, group: str) -> list[importlib.metadata.EntryPoint]:
        return [entry for entry in found if entry.group == group]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optbench.importing.entry_points", installed)
        assert set(entries) <= set(names())
