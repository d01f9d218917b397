"""Stored cells that are computed again are named with the reason; other configurations are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optbench.results.checksum import seal, unseal
from optbench.results.directory import ResultsDirectory
from optbench.results.store import CellStore
from optbench.runner.outdated import describe_outdated
from tests.support.tiny import run_tiny


def relabel(folder: Path, **changes: Any) -> None:
    """Gives all stored cells other ids, as if their identities had been different."""
    plan = unseal(json.loads((folder / "plan.json").read_bytes()), "plan.json")
    for cell in plan["cells"]:
        former = folder / "cells" / cell["cell_id"]
        cell["cell_id"] = cell["cell_id"][::-1]
        renamed = former.rename(former.with_name(cell["cell_id"]))
        identity = unseal(json.loads((renamed / "cell.json").read_bytes()))
        (renamed / "cell.json").unlink()
        CellStore(renamed).write_cell({**identity, **changes})
    (folder / "plan.json").write_text(json.dumps(seal(plan, "plan.json")))


def described(folder: Path, tmp_path: Path, **changes: Any) -> list[str]:
    from optbench.config.load import configure
    from optbench.planning.matrix import make_plan
    from tests.support.tiny import CHOICES

    relabel(folder, **changes)
    keys = {name: value for name, value in CHOICES.items() if name not in ("engine", "outputs", "workers")}
    cells = make_plan(configure(**{**keys, "devices": ["cpu"]})).cells
    return describe_outdated(ResultsDirectory(folder), cells)


def test_a_change_of_the_computation_is_named(tmp_path: Path) -> None:
    run_tiny(tmp_path / "run")
    [text] = described(tmp_path / "run", tmp_path, scheduled="another way")
    assert text == "stored cells that are computed again, because optbench computes them in another way (scheduled): 2"


def test_another_budget_is_another_configuration(tmp_path: Path) -> None:
    run_tiny(tmp_path / "run")
    assert described(tmp_path / "run", tmp_path, run_budget=7) == []


def test_nothing_is_said_of_a_new_directory(tmp_path: Path) -> None:
    assert describe_outdated(ResultsDirectory(tmp_path / "none"), []) == []
