"""The command line: exit codes, one line for every mistake, light imports, and resuming without computing."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import optbench
from optbench.budget import UNTUNED_SEEDS
from optbench.cli import verbs
from optbench.cli.verbs import COMPLETE, INTERRUPTED, SOME_FAILED, WRONG_USE, _main
from optbench.config.load import load_config
from optbench.config.presets import PRESETS, preset
from optbench.metrics.verdicts import REFERENCES
from optbench.results import atomic
from tests.support.drawn import only
from tests.support.same_results import assert_same_results
from tests.support.tiny import EXPLODING, NO_OPTIMIZER, OUT_OF_MEMORY, RAISING, TINY, run_tiny

TINY_RUN = (
    "run", "--problem", TINY, "--optimizer", "sgd", "--optimizer", "adam", "--batch-size", "10", "--seeds", "2",
    "--run-budget", "2epochs", "--tuning-worth", "2", "--device", "cpu", "--engine", "serial",
)  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing that a test forgets to name lands in the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run by the command line, with tables, a plot and the page. Only to be read."""
    folder = tmp_path_factory.mktemp("cli") / "results" / "tiny"
    with only("final_metric"):
        assert _main([*TINY_RUN, "--results", str(folder.parent), "--name", folder.name]) == COMPLETE
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr with which a command ends that exits with 2 and prints nothing else."""
    capsys.readouterr()
    assert _main([str(argument) for argument in arguments]) == WRONG_USE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("optbench: ")
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1, err
    return err.removeprefix("optbench: ").rstrip("\n")


# Mistakes


#: One of every kind of origin. Other mistakes are tested where the rules are: tests/test_selection.py,
#: tests/optimizers/test_registry.py, tests/config/test_config.py, tests/planning/test_matrix.py, ….
RUN_MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("--problem", "quadratic_valley[dim=2"), "selection 'quadratic_valley[dim=2', column 23: expected ','"),
    (("--problem", "mnist_cn"), "unknown problem 'mnist_cn'; did you mean 'mnist_cnn'? (accepted: "),
    (("--problem", "quadratic_valley[dim=1]"), "quadratic_valley[dim] = 1 is out of range (accepted: 2 to 4096)"),
    (("--problem", "nowhere.py:Thing"), "nowhere.py does not exist (accepted: file.py:Class or package.module:Class)"),
    (("--optimizer", "adam[epz=1]"), "unknown hyperparameter of adam 'epz'; did you mean 'eps'? (accepted: amsgrad, "),
    (("--preset", "quik"), "unknown preset 'quik'; did you mean 'quick'? (accepted: full, quick, recipe, standard)"),
    (("--device", "cuda:99"), "device 'cuda:99' is not available on this machine (accepted: auto, cpu"),
    (("--schedule", "cosine[warmup=2.0]"), "cosine[warmup] = 2.0 is out of range (accepted: a fraction of at least 0"),
    (("--schedule", "wsd[decay=0.7,warmup=0.4]"), "warmup = 0.4 and decay = 0.7 are together longer than the run (acc"),
    (("--schedule", "wsd[decay=99999]"), "decay = 99999 is longer than a run of quadratic_valley at batch size 20 of "),
    (("--sampler", "tpee"), "unknown sampler 'tpee'; did you mean 'tpe'? (accepted: gp, grid, quasi-random, random, t"),
    (("--seeds", "0"), "seeds = 0 is out of range (accepted: at least 1)"),
    (("--tuning-worth", "0.5"), "tuning.worth = 0.5: less than one run budget does not cover a single trial"),
    (("--run-budget", "-1epochs"), "invalid run budget '-1epochs'"),
    (("--batch-size", "1001"), "batch size of quadratic_valley = 1001 is out of range (accepted: 1 to its 1000 traini"),
    (("--batch-size", "many"), "Invalid value for '--batch-size': 'many' is not a valid integer"),
    (("--workers", "0"), "Invalid value for '--workers': 0 is not in the range x>=1"),
    (("--config", "nowhere.toml"), "configuration nowhere.toml does not exist"),
    (("--optimzer", "adam"), "no such option --optimzer; did you mean --optimizer?"),
    (("surplus",), "Got unexpected extra argument (surplus)"),
]  # fmt: skip
#: Of these `plan` has options of its own, or asks for the cells in another way.
PLAN_MISTAKES = [RUN_MISTAKES[number] for number in (1, 9, 11, 14, 16, 18)]


@pytest.mark.parametrize(
    ("verb", "arguments", "line"),
    [("run", *mistake) for mistake in RUN_MISTAKES] + [("plan", *mistake) for mistake in PLAN_MISTAKES],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else value[:10],
)
def test_mistakes_in_what_is_selected(
    verb: str, arguments: tuple[str, ...], line: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also, nothing is left behind of a run that was refused."""
    assert line in refused(capsys, verb, *arguments)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--rank-by", "test_los"), "unknown metric 'test_los'; did you mean 'test_loss'? (accepted: cost_to_target, "),
        (("--engine", "process"), "unknown engine 'process'; did you mean 'processes'? (accepted: "),
        (("--engine", "processes", "--cell-timeout", "nan"), "cell timeout = nan is out of range (accepted: seconds a"),
        (("--name", "a/b"), "invalid results name 'a/b' (accepted: a folder name"),
        (("--optimizer", "adam[betas=(0.9,2)]"), "optimizer adam[betas=(0.9,2)] rejects its arguments: ValueError"),
        (("--optimizer", NO_OPTIMIZER), "no_optimizer returns a dict (accepted: a torch.optim.Optimizer)"),
    ],
)
def test_mistakes_in_how_it_is_run(
    arguments: tuple[str, ...], line: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also, no empty results directory is left behind."""
    assert line in refused(capsys, *TINY_RUN, *arguments)
    assert [path for path in elsewhere.rglob("*") if path != elsewhere / "results"] == []


def test_a_name_that_leads_elsewhere_is_refused(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("..", "/tmp/x", ""):
        assert f"invalid results name '{name}' (accepted: a folder name" in refused(capsys, *TINY_RUN, "--name", name)
    assert list(elsewhere.iterdir()) == []


def test_a_folder_that_was_there_stays_when_a_run_is_refused(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "results" / "mine").mkdir(parents=True)
    refused(capsys, *TINY_RUN, "--name", "mine", "--optimizer", NO_OPTIMIZER)
    assert (elsewhere / "results" / "mine").is_dir()


@pytest.fixture
def no_outputs(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without tables, plots and page, which take longer than such trainings."""
    monkeypatch.setattr("optbench.cli.text.leaderboard_text", lambda folder: "")
    monkeypatch.setattr("optbench.reporting.outputs.write_outputs", lambda *_, **__: None)


def test_own_batch_sizes_that_are_left_out_are_told(no_outputs: None, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("--problem", f"{TINY}[examples=56]", "--optimizer", "sgd", "--device", "cpu", "--seeds", "1")
    line = "batch size 100 of tiny[examples=56] is left out: there are 56 training examples"
    assert _main(["plan", *chosen]) == COMPLETE
    assert f"note: {line}" in capsys.readouterr().out.splitlines()
    assert _main(["run", *chosen, "--engine", "serial", "--tuning-worth", "0"]) == COMPLETE
    assert line in capsys.readouterr().err.splitlines()
    asked = ("--batch-size", "20", "--batch-size", "100")
    assert "batch size of tiny[examples=56] = 100 is out of range" in refused(capsys, "plan", *chosen, *asked)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("rum",), "unknown command 'rum'; did you mean 'run'? (accepted: "),
        (("list",), "Missing argument"),
        (("list", "optimisers"), "unknown list 'optimisers'; did you mean 'optimizers'? (accepted: metrics, optimizer"),
        (("status",), "Missing argument 'NAME'"),
        (("status", "quick"), "unknown results directory 'quick' in results (accepted: none)"),
        (("report", "quick"), "unknown results directory 'quick' in results (accepted: none)"),
        (("report", "quick", "--rank-by", "loss"), "unknown metric 'loss'"),
        (("--quiet",), "no such option --quiet"),
    ],
)  # fmt: skip
def test_mistakes_in_other_verbs(arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert line in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("verb", "text", "line"),
    [
        ("run", "seed = 3", "my.toml: unknown key 'seed'; did you mean 'seeds'? (accepted: batch_sizes, "),
        ("run", "seeds = = 3", "configuration my.toml is not valid TOML: "),
        ("plan", "optimizers = ['mine']\n[optimizer.mine]\nbase = 'adm'", "'adm'; did you mean 'adam'?"),
    ],
)
def test_mistakes_in_a_file(
    verb: str, text: str, line: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "my.toml").write_text(text)
    assert line in refused(capsys, verb, "--config", "my.toml")


def test_cuda_on_a_machine_without(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("optbench.machine.device._may_have_accelerator", lambda: False)
    assert refused(capsys, *TINY_RUN, "--device", "cuda") == (
        "device 'cuda' is not available on this machine (accepted: auto, cpu)"
    )


def test_missing_data(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "run", "--problem", "mnist_cnn", "--no-download", "--data-dir", elsewhere / "data")
    assert "data set mnist was not found in" in line
    assert str(elsewhere / "data") in line
    assert "--no-download" in line


def test_corrupt_data(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = elsewhere / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"rubbish")
    line = refused(capsys, "run", "--problem", "mnist_cnn", "--no-download", "--data-dir", elsewhere / "data")
    assert "data set mnist is corrupt: " in line


def test_a_data_folder_that_is_no_data_set(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "images" / "train").mkdir(parents=True)
    line = refused(capsys, "run", "--problem", f"mnist_cnn[data={elsewhere / 'images'}]")
    assert "has no test/ (accepted: train/<class>/… and test/<class>/…" in line


# Directories


def test_a_folder_of_other_things_is_left_alone(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thesis = elsewhere / "results" / "thesis"
    (thesis / "plots").mkdir(parents=True)
    (thesis / "plots" / "precious.txt").write_text("mine")
    for more in ((), ("--fresh",)):
        line = refused(capsys, *TINY_RUN, "--name", "thesis", *more)
        assert line == "results/thesis is not a results directory (it holds plots and no format.json)"
    assert [p.name for p in thesis.rglob("*")] == ["plots", "precious.txt"]


def test_another_schema_version(tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny_copy / "format.json").write_text('{"schema": 99}')
    before = {path: path.read_bytes() for path in tiny_copy.rglob("*") if path.is_file()}
    place = ("--results", tiny_copy.parent)
    for arguments in ((*TINY_RUN, "--name", "run"), ("status", "run"), ("report", "run")):
        line = refused(capsys, *arguments, *place)
        assert "has unknown schema version 99 (accepted: 1, 2)" in line
    assert {path: path.read_bytes() for path in tiny_copy.rglob("*") if path.is_file()} == before


def test_a_file_in_place_of_the_results(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "results").write_text("a file")
    line = refused(capsys, *TINY_RUN, "--name", "x")
    assert line == "cannot write results directory results/x: Not a directory"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no file system here that refuses to be written")
def test_a_file_system_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot write results directory /proc/optbench/x: " in refused(
        capsys, *TINY_RUN, "--results", "/proc/optbench", "--name", "x"
    )


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "results").mkdir(mode=0o555)
    assert "x: Permission denied" in refused(capsys, *TINY_RUN, "--name", "x")


@pytest.mark.parametrize("writes", [0, pytest.param(4, marks=pytest.mark.slow), 14])
def test_a_full_disk_is_one_line_and_nothing_is_lost(
    writes: int, complete: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk is full after so many writes; once there is room, the same command goes on from there."""
    monkeypatch.setattr(
        "optbench.reporting.outputs.write_outputs", lambda *_, **__: pytest.fail("wrote outputs of a partial run")
    )
    fsync, left = os.fsync, writes

    def full(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full)
        assert _main([*TINY_RUN, "--name", "x"]) == WRONG_USE
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("optbench: ")
    assert "No space left on device" in complaint
    run_tiny(elsewhere / "results" / "x", evaluations=load_config("quick").evaluations)
    assert_same_results(elsewhere / "results" / "x", complete)


def test_a_report_that_cannot_be_written(tiny_copy: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "file").write_text("")
    line = refused(capsys, "report", tiny_copy, "--output", elsewhere / "file" / "page.html")
    assert str(elsewhere / "file") in line
    assert not (tiny_copy / "tables").exists(), "it is refused before all is made"


# Runs


def test_a_run_says_where_everything_is(complete: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main([*TINY_RUN, "--results", str(complete.parent), "--name", complete.name]) == COMPLETE
    out, err = capsys.readouterr()
    assert "2 of 2 cells complete" in out
    assert {"sgd", "adam"} <= set(out.split())
    found = {line.split()[0]: Path(line.split()[1]) for line in out.splitlines() if line.startswith(("re", "ta", "pl"))}
    assert found["results"] == complete
    assert found["tables"] == complete / "tables"
    assert (found["tables"] / "leaderboard.md").is_file()
    assert (found["plots"] / "final_metric-tiny.svg").read_bytes().startswith(b"<?xml")
    assert found["report"] == complete.parents[1] / "reports" / "tiny.html"
    assert found["report"].is_file()
    assert err == ""  # nothing was computed, so there was no progress


def test_running_again_computes_and_writes_nothing(complete: Path) -> None:
    def times() -> dict[Path, int]:
        files = [*complete.rglob("*"), *(complete.parents[1] / "reports").rglob("*")]
        return {path: path.stat().st_mtime_ns for path in files if path.is_file() and path.name != ".lock"}

    before = times()
    assert any(path.name == "result.json" for path in before)
    assert _main([*TINY_RUN, "--results", str(complete.parent), "--name", complete.name]) == COMPLETE
    assert times() == before


def test_a_failed_cell_is_a_row_and_the_rest_goes_on(no_outputs: None, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [word for name in (RAISING, OUT_OF_MEMORY, EXPLODING, "sgd") for word in ("--optimizer", name)]
    assert _main([*TINY_RUN[:3], *chosen, *TINY_RUN[7:], "--name", "x"]) == SOME_FAILED
    assert "2 of 4 cells complete, 2 failed" in capsys.readouterr().out
    cells = optbench.load("results/x").cells.set_index("optimizer")
    assert cells["status"].to_dict() == {"raising": "error", "out_of_memory": "oom", "exploding": "ok", "sgd": "ok"}


def test_status(complete: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(complete.parent)
    for arguments in (
        ["status", "tiny", "--results", str(complete.parent)],
        ["status", str(complete)],
        ["status", "tiny"],
    ):
        assert _main(arguments) == COMPLETE
        assert "2 done, 0 failed, 0 missing" in capsys.readouterr().out


def test_a_results_directory_by_its_nearest_name(complete: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "status", "tinny", "--results", complete.parent)
    assert line.startswith("unknown results directory 'tinny' in ")
    assert line.endswith("; did you mean 'tiny'? (accepted: tiny)")


def test_report_of_a_partial_run(tiny_copy: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next((tiny_copy / "cells").iterdir()).joinpath("result.json").unlink()
    with only():
        assert _main(["report", str(tiny_copy), "--output", "page.html"]) == COMPLETE
    assert capsys.readouterr().out == "page.html\n"
    assert (elsewhere / "page.html").read_text("utf-8").startswith("<!")


def test_an_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("optbench.runner.run.run", interrupted)
    assert _main(list(TINY_RUN)) == INTERRUPTED
    assert capsys.readouterr().err.strip() == "optbench: interrupted; the same command resumes"


def test_a_mistake_is_one_line_whatever_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(what: str) -> None:
        raise optbench.UserError("first\n  second\r\nthird")

    monkeypatch.setattr("optbench.cli.text.list_text", refuse)
    assert refused(capsys, "list", "metrics") == "first second third"


def test_a_bug_is_not_taken_for_a_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("optbench.cli.text.list_text", broken)
    with pytest.raises(ZeroDivisionError):
        _main(["list", "metrics"])


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in ((["list", "metrics"], 0), (["list", "x"], 2)):
        with pytest.raises(SystemExit) as caught:
            verbs.main(arguments)
        assert caught.value.code == code


# Help, and imports


def test_without_a_verb_help_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main([]) == WRONG_USE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: optbench")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["--version"]) == COMPLETE
    assert "optbench" in capsys.readouterr().out


def test_every_verb_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["--help"]) == COMPLETE
    overview = capsys.readouterr().out
    for verb in verbs.cli.commands:
        assert _main([verb, "--help"]) == COMPLETE
        assert capsys.readouterr().out.startswith(f"Usage: optbench {verb}")
        assert f"\n  {verb} " in overview


#: What takes longer to import than these commands may take.
HEAVY = {
    "torch", "torchvision", "pandas", "optuna", "matplotlib", "scipy", "sklearn", "seaborn", "plotly", "pyarrow",
    "distributed", "dask", "sqlalchemy",
}  # fmt: skip
LIGHT = [
    ["--help"], ["--version"], ["run", "--help"], ["plan"],
    *(["plan", "--preset", name] for name in PRESETS if name != "recipe"),  # its NAdam is a class of torch
    *(["list", what] for what in ("problems", "optimizers", "presets", "metrics")), ["status", "tiny"],
    ["experiment", "--list"],
]  # fmt: skip


@pytest.mark.processes
def test_nothing_heavy_is_imported(complete: Path, tmp_path: Path) -> None:
    """Of commands that look at nothing but names, plans and states, all in one fresh interpreter."""
    code = (
        "import json, sys\nfrom optbench.machine import device\nfrom optbench.cli.verbs import _main\n"
        # Where there may be an accelerator, torch is asked for it.
        "device._may_have_accelerator = lambda: False\n"
        "heavy, commands = (json.loads(text) for text in sys.argv[1:])\nfaults = []\n"
        "for command in commands:\n"
        "    code, imported = _main(command), sorted(set(heavy) & set(sys.modules))\n"
        "    if code or imported:\n"
        "        faults.append(f'{command}: exit code {code}, imports {imported}')\n"
        "print(json.dumps(faults), file=sys.stderr)"
    )
    commands = [[*command, "--results", str(complete.parent)] if "status" in command else command for command in LIGHT]
    ran = subprocess.run(
        [sys.executable, "-c", code, json.dumps(sorted(HEAVY)), json.dumps(commands)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(ran.stderr.splitlines()[-1]) == [], ran.stderr


def test_a_plan_takes_the_options_of_a_run_and_says_what_is_stored(
    complete: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [option for option in TINY_RUN[1:] if option not in ("--engine", "serial")]
    options = ["--data-dir", str(tmp_path), "--no-download", "--results", str(complete.parent), "--name"]
    assert _main(["plan", *chosen, *options, complete.name]) == COMPLETE
    assert capsys.readouterr().out.splitlines()[-1] == f"2 of 2 cells stored in {complete}"
    assert _main(["plan", *chosen, *options, "another"]) == COMPLETE
    assert capsys.readouterr().out.splitlines()[-1] == f"0 of 2 cells stored in {complete.parent / 'another'}"
    assert not (complete.parent / "another").exists()
    assert "invalid results name 'a/b'" in refused(capsys, "plan", *chosen, "--name", "a/b")


def test_help_has_the_numbers_of_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    quick = preset("quick")
    for verb in ("run", "plan"):
        assert _main([verb, "--help"]) == COMPLETE
        shown = " ".join(capsys.readouterr().out.split())
        assert f"each with its own seed (quick: {quick['seeds']})." in shown
        assert f"multiple of the run budget (quick: {quick['tuning']['worth']});" in shown
        for name in PRESETS:
            assert name in shown.partition("Configuration to start from:")[2].partition(".")[0]


def test_the_documents_have_the_numbers_of_the_preset() -> None:
    quick = preset("quick")
    text = " ".join((Path(__file__).parents[2] / "docs" / "methodology.md").read_text("utf-8").split())
    worth = quick["tuning"]["worth"]
    assert f"The quick preset has {quick['seeds']} seeds and a tuning budget of {worth} run budgets." in text


def test_the_help_of_the_reference_tells_the_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["compare", "--help"]) == COMPLETE
    shown = " ".join(capsys.readouterr().out.split())
    assert f"(default: {', '.join(REFERENCES)}, or the first one that was run)" in shown


def test_the_guide_tells_the_number_of_untuned_runs() -> None:
    text = " ".join((Path(__file__).parents[2] / "docs" / "how-to-choose.md").read_text("utf-8").split())
    assert UNTUNED_SEEDS == 3
    assert "a final run per seed at the tuned rate and three at the default rate" in text


def test_recommend_ends_with_the_constructor_for_an_own_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["recommend", "reference", "--trials", "4"]) == COMPLETE
    out = capsys.readouterr().out
    assert "depending on the task" in out
    assert "in your own script" not in out, "no single call has the rates of all tasks"
    assert _main(["recommend", "reference", "--trials", "1"]) == COMPLETE
    lines = capsys.readouterr().out.splitlines()
    best, rate = re.findall(r"With no tuning: use (\w+), at learning rate (\S+)\.", lines[0])[0]
    written = re.fullmatch(r"in your own script: (torch\.optim\.\w+)\(params, lr=([\d.e-]+)(, .*)?\)", lines[-1])
    assert written is not None
    assert written[1].rpartition(".")[2].lower() == best
    assert float(written[2]) == float(rate)


@pytest.mark.parametrize("verb", ["plan", "check"])
def test_a_data_file_is_no_problem_but_there_is_a_page(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["data.csv"] if verb == "check" else ["--problem", "data.csv", "--optimizer", "sgd"]
    assert _main([verb, *chosen]) == WRONG_USE
    [line] = capsys.readouterr().err.splitlines()
    assert "docs/your-problem.md" in line
