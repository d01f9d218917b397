"""A results directory runs no code: whatever its files hold, and whatever its configuration names."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w

import optbench
from optbench.baselines.freeze import freeze
from optbench.baselines.located import reference_folder
from optbench.baselines.stale import find_stale_cells
from optbench.cli.verbs import COMPLETE, SOME_FAILED, WRONG_USE, _main
from optbench.config.load import load_config, parse_config
from optbench.errors import UserError
from optbench.results.checksum import seal
from optbench.results.frozen import FrozenResults
from tests.support.tiny import run_tiny

EVIL = """
from pathlib import Path
Path({mark!r}).touch()
import torch
from tests.support.tiny import Tiny as Evil
def evil(params, lr=0.1):
    return torch.optim.SGD(params, lr=lr)
"""
OPTIONS = ("--optimizer", "sgd", "--seeds", "1", "--device", "cpu", "--tuning-worth", "0", "--engine", "serial")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


@pytest.fixture
def handed_over(mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results directory from elsewhere, computed there with a file that lies in it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "theirs"
    code = tmp_path / "evil.py"
    code.write_text(EVIL.format(mark=str(mark)))
    run_tiny(folder, problems=[f"{code}:Evil"], optimizers=["sgd", f"{code}:evil"], batch_sizes=[10])
    mark.unlink()
    # As a module that is not yet imported here.
    code.write_text(code.read_text() + "# another one\n")
    shutil.copy(code, folder / "evil.py")
    return folder


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of every report."""
    monkeypatch.setattr("optbench.plots.draw_all", lambda *_: [])


def test_reading_results_imports_nothing_that_they_name(handed_over: Path, mark: Path, no_plots: None) -> None:
    for verb in (["status", "theirs"], ["report", "theirs"], ["recommend", "theirs", "--trials", "2"]):
        assert _main(verb) == COMPLETE
    assert _main(["run", "--name", "theirs", "--problem", "quadratic_valley[dim=2]", *OPTIONS]) == COMPLETE
    assert not mark.exists()


def test_a_configuration_in_a_results_directory_runs_what_the_user_names_too(
    handed_over: Path, mark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = handed_over / "config.toml"
    problem, optimizer = f"{tmp_path}/evil.py:Evil", f"{tmp_path}/evil.py:evil"
    for verb in ("plan", "run"):
        for options in ([], ["--problem", "quadratic_valley"], ["--problem", problem], ["--optimizer", optimizer]):
            capsys.readouterr()
            assert _main([verb, "--config", str(config), *options]) == WRONG_USE
            line = capsys.readouterr().err
            assert f"{config} is in a results directory and refers to code, {tmp_path}/evil.py:" in line
            assert len(line.splitlines()) == 1
    assert not mark.exists()
    assert _main(["plan", "--config", str(config), "--problem", problem, "--optimizer", optimizer]) == COMPLETE
    assert mark.exists()


@pytest.mark.parametrize(
    "table",
    [
        "[optimizer.mine]\nclass = 'evil:evil'",
        "[optimizer.mine]\nbase = 'evil.py:evil'",
        "[optimizer.mine]\nbase = 'sgd'\nreset = 'evil:evil'",
        "[optimizer.mine]\nbase = 'sgd'\n[optimizer.mine.groups.other]\nwhere = 'ndim == 2'\nclass = 'evil:evil'",
        "problems = [{ select = 'evil.py:Evil' }]",
        "problems = ['quadratic_valley', '\"evil.py:Evil\"[condition=[2,3]]']",
        "optimizers = ['evil:evil[lr=1]']",
    ],
)
def test_wherever_code_may_be_named(
    table: str, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("evil.py").write_text(EVIL.format(mark=str(mark)))
    below = tmp_path / "theirs" / "notes"
    below.mkdir(parents=True)
    (below.parent / "format.json").write_text('{"schema": 1}')
    for place in (below.parent / "config.toml", below / "their.toml"):
        place.write_text(table)
        assert _main(["plan", "--config", str(place)]) == WRONG_USE
        assert "evil" in capsys.readouterr().err
    assert not mark.exists()
    (tmp_path / "link.toml").symlink_to(below / "their.toml")
    assert _main(["plan", "--config", "link.toml"]) == WRONG_USE
    # A file of the user's own says what it wants.
    Path("mine.toml").write_text(table)
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    _main(["plan", "--config", "mine.toml"])
    assert mark.exists() or "reset" in table


def test_a_configuration_without_code_is_read_from_a_results_directory(tmp_path: Path) -> None:
    run_tiny(tmp_path / "run", problems=["quadratic_valley[dim=2]"], batch_sizes=[100])
    config = load_config(file=tmp_path / "run" / "config.toml")
    assert config.problems == ("quadratic_valley[dim=2]",)


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def npz(content: bytes) -> bytes:
    """An archive of numpy with one array of objects."""
    import io
    import zipfile

    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    described = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.npy", header + described.ljust(117) + b"\n" + content)
    return made.getvalue()


def test_no_file_of_a_results_directory_is_unpickled(
    tiny_copy: Path, mark: Path, no_plots: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    content = pickle.dumps(Planted(mark))
    (tiny_copy / "control.npz").write_bytes(npz(content))
    np.load(tiny_copy / "control.npz", allow_pickle=True)["a"]  # so it would be noticed
    assert mark.exists()
    mark.unlink()
    monkeypatch.chdir(tiny_copy.parent)
    assert _main(["report", "run", "--results", "."]) == COMPLETE
    files = [path for path in tiny_copy.rglob("*") if path.is_file() and path.name != ".lock"]
    assert {path.suffix for path in files} >= {".json", ".jsonl", ".toml", ".parquet", ".csv"}
    for number, path in enumerate(files):
        before = path.read_bytes()
        for planted in (content, npz(content)) if number % 5 == 0 else (content,):
            path.write_bytes(planted)
            for name in ("a.pkl", "a.npz", "a.pt"):
                path.with_name(name).write_bytes(planted)
            if path.parent.name != "tables":  # these are written only
                assert _main(["status", "run", "--results", "."]) in (COMPLETE, SOME_FAILED, WRONG_USE)
        path.write_bytes(before)
    for path in files:
        path.write_bytes(content) if path.parent.name != "run" else None
    assert _main(["report", "run", "--results", "."]) == COMPLETE
    capsys.readouterr()
    assert not mark.exists()


@pytest.mark.parametrize("name", ["config.toml", "environment.json", "plan.json", "planes.json", "format.json"])
def test_files_that_somebody_changed_are_no_traceback(
    name: str, tiny_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tiny_copy.parent)
    for content in ("", "{}", "[" * 50_000, "\0", '{"key": {"a": 1}, "cells": [{}], "seeds": []}'):
        (tiny_copy / name).write_text(content)
        code = _main(["status", "run", "--results", "."])
        assert code in (COMPLETE, SOME_FAILED, WRONG_USE), content[:50]
        assert len(capsys.readouterr().err.splitlines()) == (code == WRONG_USE), content[:50]


def test_a_cell_elsewhere_is_not_read(tiny_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_copy.parent)
    plan = json.loads((tiny_copy / "plan.json").read_text())
    shutil.copytree(tiny_copy / "cells" / plan["cells"][0]["cell_id"], tiny_copy.parent / "elsewhere")
    plan["cells"][0]["cell_id"] = "../../elsewhere"
    (tiny_copy / "plan.json").write_text(json.dumps(seal(plan)))
    assert _main(["status", "run", "--results", "."]) == WRONG_USE


def test_torch_loads_weights_only(request: pytest.FixtureRequest) -> None:
    """Every call in the package, by its source."""
    import ast

    root, calls = request.config.rootpath, 0
    for path in [*(root / "optbench").rglob("*.py"), *(root / "problems").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in ("torch.load", "torch.hub.load_state_dict_from_url", "weights.get_state_dict"):
                assert given.get("weights_only") == "True", f"{path}:{node.lineno}"
                calls += 1
            assert called not in ("pickle.load", "pd.read_pickle", "joblib.load", "torch.jit.load"), path
            if called == "np.load":
                assert given.get("allow_pickle") == "False", f"{path}:{node.lineno}"
            if called == "pickle.loads":  # of what the same process has pickled a moment before
                assert path.name == "problem_training.py"
    assert calls >= 2


def test_frozen_results_run_no_code_either(handed_over: Path, mark: Path, tmp_path: Path, no_plots: None) -> None:
    """What they were computed with isn't imported to see whether it has changed, nor to repeat what they did."""
    frozen = freeze(optbench.load(handed_over), tmp_path / "frozen").folder
    assert find_stale_cells(FrozenResults(frozen)) == {}
    assert _main(["reference", "show", str(frozen)]) == COMPLETE
    assert _main(["compare", str(frozen), "theirs", "--reference", "sgd"]) == COMPLETE
    for verb in ("run", "plan"):
        assert _main([verb, "--against", str(frozen), "--optimizer", "adam"]) == WRONG_USE
    assert not mark.exists()


@pytest.mark.parametrize(
    "said", ['class = "{code}:evil"', 'base = "{code}:evil"', 'base = "sgd"\nreset = "{code}:evil"',
             'base = "sgd"\ngroups.rest = {{ where = "ndim == 2", class = "{code}:evil" }}',
             'base = "sgd"\ngroups.rest = {{ where = "ndim == 2", base = "{code}:evil" }}'],
)  # fmt: skip
def test_tables_that_nothing_selects_run_no_code(said: str, mark: Path, tmp_path: Path) -> None:
    code = tmp_path / "evil.py"
    code.write_text(EVIL.format(mark=str(mark)))
    frozen = shutil.copytree(reference_folder(), tmp_path / "frozen")
    about = json.loads((frozen / "about.json").read_text())
    about["config"] += f"\n[optimizer.theirs]\n{said.format(code=code)}\n"
    (frozen / "about.json").write_text(json.dumps(about))
    stored = FrozenResults(frozen)
    assert "theirs" in parse_config(stored.about["config"], "here").optimizer
    assert find_stale_cells(stored) == find_stale_cells(FrozenResults(reference_folder()))
    assert not mark.exists()


def test_frozen_results_without_their_frames_run_no_code_either(
    tiny_run: optbench.Results, mark: Path, tmp_path: Path
) -> None:
    code = tmp_path / "evil.py"
    code.write_text(EVIL.format(mark=str(mark)))
    frozen = freeze(tiny_run, tmp_path / "frozen").folder
    about = json.loads((frozen / "about.json").read_text())
    about["config"] = tomli_w.dumps({**tomllib.loads(about["config"]), "problems": [f"{code}:Evil"]})
    (frozen / "about.json").write_text(json.dumps(about))
    (frozen / "runs.parquet").unlink()
    with pytest.raises(UserError, match=r"frozen file .* is missing or damaged"):
        optbench.plan(against=frozen, optimizers=["adam"])
    assert not mark.exists()
