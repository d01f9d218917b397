"""The plugin as users of pytest meet it: in a folder of their own, found by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from optbench.timing.pytest_plugin import TREE

pytestmark = pytest.mark.processes

SUITE = """
def test_step(optimizer_step):
    optimizer_step("quick.py:Signs", problem="quadratic_valley", batch_size=10, rounds=3)

def test_gradient(forward_backward):
    forward_backward("quadratic_valley", batch_size=10, rounds=3)

def test_training(training):
    training("sgd", "quadratic_valley", 100, batch_size=10, rounds=3)

def test_still(optimizer_step):
    optimizer_step("still.py:Signs", problem="quadratic_valley", batch_size=10, rounds=3)
"""
OPTIMIZER = """
import torch

class Signs(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad.sign(), alpha=group["lr"])
"""


def _pytest(folder: Path, *arguments: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "pytest"]
    command = [sys.executable, *start, "-q", "-p", "no:cacheprovider", *arguments]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run(command, cwd=folder, env={**ours, **environment}, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_mine.py").write_text(SUITE)
    (tmp_path / "quick.py").write_text(OPTIMIZER)
    return tmp_path


def test_it_is_installed_with_the_package() -> None:
    found = [entry.value for entry in entry_points(group="pytest11", name="optbench")]
    assert set(found) == {"optbench.timing.pytest_plugin"}, "install this checkout again: pip install -e ."


def test_results_are_pytest_benchmarks_with_counters_and_the_machine(folder: Path) -> None:
    """And an optimizer that doesn't move fails."""
    (folder / "still.py").write_text(OPTIMIZER.replace('p.sub_(p.grad.sign(), alpha=group["lr"])', "pass"))
    done = _pytest(folder, "--benchmark-json=found.json", OMP_NUM_THREADS="2")
    assert done.returncode == 1, done.stdout
    assert "1 failed, 3 passed" in done.stdout
    assert "moved no parameter" in done.stdout
    found = json.loads((folder / "found.json").read_text())
    results = {entry["name"]: entry for entry in found["benchmarks"]}
    step = results["test_step"]
    assert step["stats"]["rounds"] == 3
    assert step["stats"]["median"] > 0
    assert step["stats"]["median"] * step["stats"]["iterations"] > 5e-4, "a round is about a millisecond"
    assert step["extra_info"]["counters"]["backwards"] == 1
    assert results["test_gradient"]["extra_info"]["counters"]["operations"] > 5
    assert results["test_training"]["extra_info"]["counters"]["steps"] == 10
    assert found["machine_info"]["optbench"]["threads"] == 1


def test_nothing_is_imported_before_it_is_needed(folder: Path) -> None:
    (folder / "test_mine.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    assert not {'torch', 'pandas', 'optuna', 'numpy'} & set(sys.modules), sorted(sys.modules)\n"
    )
    # Hypothesis and others look at numpy when they are there.
    done = _pytest(folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_PLUGINS="optbench.timing.pytest_plugin")
    assert done.returncode == 0, done.stdout


def test_without_pytest_benchmark_one_line_says_so(folder: Path) -> None:
    code = (
        "import sys, importlib.util as util; real = util.find_spec; "
        "util.find_spec = lambda name, *more: None if name == 'pytest_benchmark' else real(name, *more); "
        "import pytest; sys.exit(pytest.main(['-p', 'no:benchmark', *sys.argv[1:]]))"
    )
    done = _pytest(folder, "-k", "step", code=code)
    assert done.returncode == 1
    assert "optimizer_step needs pytest-benchmark (pip install 'optbench[timing]')" in done.stdout


def test_a_package_from_elsewhere_is_not_measured(folder: Path) -> None:
    (folder / "test_mine.py").write_text("import json\ndef test_nothing():\n    pass\n")
    done = _pytest(folder, **{TREE: str(folder), f"{TREE}_PACKAGES": "json"})
    assert done.returncode == 4
    assert f"{folder} was not measured: json came from" in done.stderr
    done = _pytest(folder, **{TREE: str(folder), f"{TREE}_PACKAGES": "nothing_of_the_kind"})
    assert "import none of its packages" in done.stderr
