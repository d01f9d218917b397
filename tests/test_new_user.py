"""What somebody new does with an optimizer of their own, in an empty folder: check it, and run it against baselines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import optbench
from optbench.baselines.located import reference_folder
from optbench.cli.verbs import COMPLETE, SOME_FAILED, WRONG_USE, _main
from optbench.results.frozen import FrozenResults
from tests.support import forked

ROOT = Path(__file__).parents[1]
#: Muon for matrices, AdamW for the rest, as docs say it.
PAIR = """
[optimizer.muon_adamw]
class = "torch.optim:Muon"
arguments = { adjust_lr_fn = "match_rms_adamw" }
groups.rest = { where = "ndim != 2", base = "adamw" }
"""
OWN = ("--optimizer", "lion.py:Lion", "--optimizer", "newcomer.py:ScheduleFree")


def optbench_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a process of its own says in this folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return forked.run([sys.executable, "-m", "optbench", *arguments], cwd=folder, env=environment, timeout=1800)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    [lion] = re.findall(r"^```python\n# lion\.py\n(.*?)^```", page, re.S | re.M)
    (folder / "lion.py").write_text(lion, "utf-8")
    shutil.copy(Path(__file__).parent / "support" / "newcomer.py", folder)
    (folder / "pair.toml").write_text(PAIR)
    return folder


@pytest.mark.processes
def test_what_is_right_conforms(folder: Path) -> None:
    done = optbench_in(folder, "check", "lion.py", "newcomer.py:ScheduleFree", "muon_adamw", "--config", "pair.toml")
    assert done.returncode == COMPLETE, done.stdout + done.stderr
    assert done.stdout.count("\n  all checks passed") == 3
    [switches] = [line for line in done.stdout.splitlines() if line.startswith("  ok      switches")]
    assert switches.endswith("evaluates other weights than it trains")


@pytest.mark.processes
def test_what_is_broken_is_refused_with_the_reason(folder: Path) -> None:
    done = optbench_in(folder, "check", "newcomer.py:IgnoresRate", "newcomer.py:Leaks")
    assert done.returncode == SOME_FAILED
    ignores, leaks = done.stdout.split("\n\n")
    assert re.search(r"failed  zero_rate +moves by up to .* so it ignores param_groups.*\n +fix: read group", ignores)
    assert re.search(r"  \d of 18 checks failed: zero_rate, rate_matters", ignores)
    assert re.search(r"failed  isolated +state leaks between instances.*\n +fix: keep state in self\.state", leaks)
    assert re.search(r"  \d of 18 checks failed: .*isolated", leaks)


def compared(folder: Path, out: str, name: str, new: set[str], groups: int) -> None:
    """Whether a run against the reference computed the new optimizers alone, and judged them beside all others."""
    computed = len(new) * groups
    assert f"\n{computed} of {computed} cells complete\n" in out
    assert out.count(": against adam by test_metric\n") == groups
    made = optbench.load(folder / "results" / name)
    assert set(made.cells["optimizer"]) == new
    assert (made.runs.loc[made.runs["tuned"].astype(bool), "status"] == "ok").all()
    verdicts = pd.read_parquet(folder / "results" / name / "tables" / "verdicts.parquet")
    reference = FrozenResults(reference_folder())
    assert set(verdicts["optimizer"]) == {*reference.cells["optimizer"], *new} - {"adam"}
    assert len(verdicts) == groups * verdicts["optimizer"].nunique()
    assert set(verdicts.loc[verdicts["optimizer"].isin(new), "n_pairs"]) == {len(reference.plan["seeds"])}
    page = (folder / "reports" / f"{name}.html").read_text("utf-8")
    assert f"were computed here; reference {reference.about['version']} was created" in page


def test_against_the_reference_with_nothing_but_a_problem_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batch sizes, budgets and seeds are the reference's. Without plots, which take seconds."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("optbench.plots.draw_all", lambda *_: [])
    chosen = [*OWN, "--against", "reference", "--problem", "quadratic_valley", "--batch-size", "100"]
    assert _main(["plan", *chosen]) == COMPLETE
    assert "\n2 cells, " in capsys.readouterr().out
    assert _main(["run", *chosen, "--name", "valley", "--engine", "serial"]) == COMPLETE
    compared(folder, capsys.readouterr().out, "valley", {"Lion", "ScheduleFree"}, 1)


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.timeout(3600)
def test_all_three_against_the_networks_of_the_reference(folder: Path) -> None:
    """Minutes: real processes, with plots, and the page made again."""
    cells = FrozenResults(reference_folder()).cells
    problems = [name for name in cells["problem"].unique() if name != "quadratic_valley"]
    groups = len(cells.loc[cells["problem"].isin(problems), ["problem", "batch_size"]].drop_duplicates())
    chosen = [*OWN, "--optimizer", "muon_adamw", "--config", "pair.toml", "--against", "reference"]
    for problem in problems:
        chosen += ["--problem", problem]
    done = optbench_in(folder, "run", *chosen, "--name", "all")
    assert done.returncode == COMPLETE, done.stdout + done.stderr
    compared(folder, done.stdout, "all", {"Lion", "ScheduleFree", "muon_adamw"}, groups)
    (folder / "reports" / "all.html").unlink()
    again = optbench_in(folder, "report", "all")
    assert (again.returncode, again.stdout.strip()) == (COMPLETE, str(Path("reports") / "all.html"))
    fewer = optbench_in(folder, "run", *chosen, "--name", "fewer", "--seeds", "1")
    assert fewer.returncode == WRONG_USE
    assert "seeds = 1 does not match reference, which has" in fewer.stderr
