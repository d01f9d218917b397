"""Every command of the documents is checked, and executed by the slow tests, or listed here with the reason why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.executed import check, execute, is_executed, option_set, run_cheaply, words
from tests.support.pages import commands

pytestmark = pytest.mark.docs

#: What can't be executed on a machine like this one, and isn't a command that `executed.check` knows.
NOT_EXECUTED = {
    ". .venv/bin/activate": "changes the reader's shell, nothing else",
    "dask scheduler --host 192.168.0.1 --port 8786 --scheduler-file scheduler.json":
        "several machines; tests/runner/dask/test_engine.py starts a scheduler on one",
    "dask worker tcp://192.168.0.1:8786 --nthreads 1":
        "several machines; tests/runner/dask/test_engine.py starts workers on one",
    "CUDA_VISIBLE_DEVICES=0 dask worker tcp://127.0.0.1:8786 --nthreads 1 --resources GPU=1": "needs two GPUs",
    "CUDA_VISIBLE_DEVICES=1 dask worker tcp://127.0.0.1:8786 --nthreads 1 --resources GPU=1": "needs two GPUs",
    'cat timing.md >> "$GITHUB_STEP_SUMMARY"': "of GitHub's runners",
    "py-spy record --subprocesses --rate 40 --format raw": "another program, said of a measurement",
}  # fmt: skip

#: Forms in the text, with placeholders, and what is executed in their place.
STANDS_FOR = {
    "optbench status NAME": "optbench status quick",
    "optbench report NAME": "optbench report quick",
    "optbench run --config": "optbench run --config mine.toml",
    "optbench check NAME": "optbench check adam",
    "optbench check TARGET…": "optbench check lion.py:Lion adam --only constructs",
    "optbench compare A B": "optbench compare mine quick",
    "python -m optbench VERB": "optbench list metrics",
    "python -m optbench experiment NAME": "optbench experiment 'adam[steps=50]'",
    "python -m optbench experiment NAME --quick": "optbench experiment 'adam[steps=20]' --quick",
    "optbench timing record NAME": "optbench timing record before",
    "python -m optbench.metrics.targets.freeze results/NAME --first-seed 10":
        "python -m optbench.metrics.targets.freeze results/quick --first-seed 1",
    "python -m optbench timing ab origin/${{ github.base_ref }} HEAD --markdown timing.md --plot timing":
        "optbench timing ab origin/main HEAD --markdown timing.md --plot timing",
}  # fmt: skip

#: Options with which a `run` is planned, but not run.
NOT_RUN = {
    "scheduler": "needs one that runs: tests/runner/dask/test_engine.py",
    "engine=dask": "starts a scheduler and workers: tests/runner/dask/test_engine.py",
    "devices": "needs a GPU: tests/runner/dask/test_engine.py imagines some",
}

COMMANDS = {command.text: command for command in commands()}
EXECUTED = [text for text in COMMANDS if text not in NOT_EXECUTED and is_executed(words(STANDS_FOR.get(text, text)))]
RUNS = {
    option_set(words(text)[2:]): words(text)[2:]
    for text in reversed([STANDS_FOR.get(text, text) for text in COMMANDS])
    if words(text)[:2] == ["optbench", "run"] and "--help" not in text
}


def test_the_pages_have_commands() -> None:
    pages = {command.page for command in commands()}
    assert {"README.md", "CONTRIBUTING.md", "docs/quick-start.md", "docs/scaling.md", "docs/timing.md"} <= pages
    assert len(COMMANDS) > 80


def test_every_command_is_right(reader: Path) -> None:
    """Options and values are accepted, runs can be planned, and what is named is there."""
    faults = []
    for text in [text for text in COMMANDS if text not in NOT_EXECUTED]:
        try:
            if not check(words(STANDS_FOR.get(text, text))):
                faults.append(f"{COMMANDS[text]}: neither checked nor listed in NOT_EXECUTED")
        except BaseException as error:  # also an exit with another code
            faults.append(f"{COMMANDS[text]}: {error!r}")
    assert faults == []


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("text", EXECUTED)
def test_command_succeeds(text: str, reader: Path) -> None:
    if text == "optbench init mine.toml":
        (reader / "mine.toml").unlink()
    execute(words(STANDS_FOR.get(text, text)))


@pytest.mark.slow
@pytest.mark.parametrize("given", [given for given in RUNS if not set(given) & set(NOT_RUN)], ids=" ".join)
def test_run_with_these_options(given: tuple[str, ...], reader: Path) -> None:
    run_cheaply(RUNS[given])


def test_what_is_listed_is_still_there() -> None:
    assert [text for text in [*NOT_EXECUTED, *STANDS_FOR] if text not in COMMANDS] == []
    assert [option for option in NOT_RUN if not any(option in given for given in RUNS)] == []


@pytest.mark.parametrize(
    "wrong",
    ["optbench rum", "optbench run --sedes 3", "optbench experiment adm", "make tset",
     "pip install 'optbench[zo]'"],
)  # fmt: skip
def test_a_wrong_command_is_found(wrong: str, reader: Path) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        check(words(wrong))


def test_an_unknown_command_is_neither_checked_nor_executed() -> None:
    assert not check(["rm", "-r", "results"])
    assert not is_executed(["rm", "-r", "results"])
