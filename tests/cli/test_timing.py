"""The command on documents that were made up, and, from another package's repository, on what is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from optbench.cli.timing import REGRESSION
from optbench.cli.verbs import _main
from optbench.timing.recording import place, write
from tests.support.directories import write_directory
from tests.support.drawn import only
from tests.support.recordings import MACHINE, recording

SAME, SLOW = np.linspace(1.0, 1.05, 8) * 1e-3, np.linspace(1.5, 1.55, 8) * 1e-3


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Recordings of before, the same again, slower, and of another machine."""
    for name, blocks, machine in (
        ("before", SAME, MACHINE),
        ("same", SAME, MACHINE),
        ("slow", SLOW, MACHINE),
        ("there", SAME, {**MACHINE, "cores": 64}),
    ):
        write(
            place(name, tmp_path),
            recording(name, {"suite.py::test_step": blocks, "suite.py::test_other": SAME}, machine=machine),
        )
    return tmp_path


def _run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    code = _main(["timing", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_regression_ends_with_3_and_says_what(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "compare", "before", "slow", "--results", results)
    assert code == REGRESSION == 3
    assert "slow is slower than before (bound 1.25×): 1 slower, 1 same" in out
    (line,) = [line for line in out.splitlines() if "test_step" in line]
    assert "1.49" in line
    assert "slower" in line
    assert _run(capsys, "compare", "before", "same", "--results", results)[0] == 0
    assert _run(capsys, "compare", "slow", "before", "--results", results)[0] == 0, "faster is no failure"
    assert _run(capsys, "compare", "before", "slow", "--results", results, "--fail-above", "1.6")[0] == 0


def test_markdown_plot_and_a_section_of_the_report(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results)
    folder = write_directory(results / "run", seeds=2, trials=2, points=4, batch_sizes=(32,), problems=("valley",))
    where = ["--results", results, "--markdown", "pr.md", "--plot", "found", "--report", folder.name]
    with only():  # of the report's own plots
        code, out, _ = _run(capsys, "compare", "before", "slow", *where)
    assert code == REGRESSION
    text = Path("pr.md").read_text()
    assert text.startswith("### Timings: ❌ `slow` is slower than `before`")
    assert "| suite.py::test_step | 1.02 ms | 1.52 ms | 1.49 |" in text
    assert "<details><summary>1 the same</summary>" in text
    for suffix in ("svg", "png", "pdf"):
        assert Path(f"found.{suffix}").stat().st_size > 1000
    page = Path(out.splitlines()[-1].split()[-1]).read_text()
    assert "Timings: slow against before" in page


def test_plain_files_of_pytest_benchmark_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written without the plugin, they say nothing of torch."""
    monkeypatch.chdir(tmp_path)
    info = {"python_version": "3.12.4", "cpu": {"brand_raw": "Example CPU", "count": 8}}
    for side, factor in (("before", 1.0), ("after", 2.0)):
        Path(side).mkdir()
        for visit in range(8):
            seconds = factor * (1e-3 + 1e-6 * visit)
            stats = dict.fromkeys(("min", "max", "mean", "median"), seconds) | {"rounds": 5, "iterations": 1}
            document = {"machine_info": info, "benchmarks": [{"fullname": "suite.py::test_sum", "stats": stats}]}
            Path(side, f"{visit}.json").write_text(json.dumps(document))
    code, out, _ = _run(capsys, "compare", "before", "after")
    assert (code, "after is slower than before" in out) == (REGRESSION, True)
    assert "note: not recorded on both sides, and taken to be equal: torch, threads, accelerators" in out
    assert _run(capsys, "compare", "before", "before")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "before", "nowhere"], "unknown recording 'nowhere'"),
        (["compare", "before", "there"], "different machines (cores 2 and 64)"),
        (["compare", "before", "broken.json"], "is damaged"),
        (["compare", "before", "less.json"], "test_step of before is not in less.json"),
        (["record", "before"], "recording 'before' already exists"),
        (["record", "a/b"], "invalid recording name 'a/b'"),
        (["record", "new", "--suite", "nowhere"], "suite nowhere does not exist"),
        (["ab", "HEAD", "no-such-ref"], "is not a commit of"),
        (["ab", "HEAD", "HEAD", "--suite", "."], "is not a file or folder in the repository"),
        (["compare", "before", "same", "--fail-above", "1"], "--fail-above"),
    ],
)
def test_mistakes_are_one_line_and_overwrite_nothing(
    results: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(results)
    subprocess.run(["git", "init", "--quiet"], check=True)
    Path("tests/timing").mkdir(parents=True)
    Path("broken.json").write_text('{"benchmarks": [')
    less = json.loads(place("same", results).read_text())
    less["benchmarks"] = [entry for entry in less["benchmarks"] if "other" in entry["fullname"]]
    Path("less.json").write_text(json.dumps(less))
    before = {path: path.read_bytes() for path in (results / "timing").iterdir()}
    code, out, err = _run(capsys, *arguments, "--results", results)
    assert code == 2
    assert out == ""
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in (results / "timing").iterdir()} == before


PACKAGE = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "mylib"
version = "0.1"
[tool.setuptools]
packages = ["mylib"]
""",
    "mylib/__init__.py": "def work(n=20_000):\n    return sum(range(n))\n",
    "tests/timing/test_work.py": """
import mylib
def test_work(benchmark):
    benchmark.pedantic(mylib.work, rounds=15, warmup_rounds=3, iterations=3)
""",
}


@pytest.mark.slow
@pytest.mark.processes
def test_two_commits_of_another_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one does twice the work; nothing is left behind, and the checkout is as it was."""
    monkeypatch.chdir(tmp_path)
    for name, text in PACKAGE.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@e"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for change in ("", "20_000", "40_000"):
        Path("mylib/__init__.py").write_text(
            PACKAGE["mylib/__init__.py"].replace("20_000", change or "20_000") + f"# {change}\n"
        )
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", "x"], check=True)
    command = [sys.executable, "-m", "optbench", "timing", "ab"]
    same = subprocess.run([*command, "HEAD~2", "HEAD~1"], capture_output=True, text=True, check=False)
    assert same.returncode == 0, same.stderr + same.stdout
    twice = subprocess.run([*command, "HEAD~1", "HEAD"], capture_output=True, text=True, check=False)
    assert twice.returncode == REGRESSION, twice.stderr + twice.stdout
    left = subprocess.run(["git", "worktree", "list"], capture_output=True, text=True, check=True).stdout
    assert len(left.splitlines()) == 1
    assert not subprocess.run(["git", "status", "--short"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_a_suite_within_the_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its folder comes from the present checkout, so both sides would be the same."""
    monkeypatch.chdir(tmp_path)
    for name, text in PACKAGE.items():
        path = Path(name.replace("tests/timing", "mylib/timing"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@e"]
    for arguments in (["init", "--quiet"], ["add", "-A"], ["commit", "--quiet", "-m", "x"]):
        subprocess.run([*git, *arguments], check=True)
    code, _, err = _run(capsys, "ab", "HEAD", "HEAD", "--suite", "mylib/timing")
    assert code == 2
    assert "is inside the package mylib" in err
    assert len(err.strip().splitlines()) == 1
    left = subprocess.run(["git", "worktree", "list"], capture_output=True, text=True, check=True).stdout
    assert len(left.splitlines()) == 1


def test_the_verbs_are_there() -> None:
    from optbench.cli.verbs import cli

    found = CliRunner().invoke(cli, ["timing", "--help"]).output
    assert all(verb in found for verb in ("record", "compare", "ab"))
