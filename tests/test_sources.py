"""The code behind a target: an edit of any part of it changes the digest, and nothing else does."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from textwrap import dedent

import pytest

from optbench import sources
from optbench.config.load import configure
from optbench.errors import UserError
from optbench.importing import load_attribute, source_digest
from optbench.planning.matrix import make_plan

STEP = """
    import torch
    class Mine(torch.optim.SGD):
        def __init__(self, params, lr=0.1):
            super().__init__(params, lr=lr)
"""
#: By kind: the target, the files, and those of which an edit has to change the digest.
KINDS: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "re-exported": (
        "ownpkg:Mine", {"ownpkg/__init__.py": "from ownpkg.steps import Mine", "ownpkg/steps.py": STEP},
        ["ownpkg/__init__.py", "ownpkg/steps.py"],
    ),
    "re-exported by a star": (
        "ownpkg:Mine", {"ownpkg/__init__.py": "from .steps import *", "ownpkg/steps.py": STEP}, ["ownpkg/steps.py"],
    ),
    "re-exported when it is asked for": (
        "ownpkg:Mine",
        {"ownpkg/__init__.py": "NAMES = {'Mine': '.st' + 'eps'}\ndef __getattr__(name):\n    import importlib\n"
         "    return getattr(importlib.import_module(NAMES[name], 'ownpkg'), name)", "ownpkg/steps.py": STEP},
        ["ownpkg/steps.py"],
    ),
    "renamed": (
        "ownpkg.api:Other",
        {"ownpkg/__init__.py": "", "ownpkg/api.py": "from ownpkg.steps import Mine as Other", "ownpkg/steps.py": STEP},
        ["ownpkg/api.py", "ownpkg/steps.py"],
    ),
    "a module beside the file": (
        "own_mine.py:Mine", {"own_mine.py": "import own_factor\n" + dedent(STEP), "own_factor.py": "F = 1"},
        ["own_mine.py", "own_factor.py"],
    ),
    "a module that a module beside the file imports in a function": (
        "own_mine.py:Mine",
        {"own_mine.py": "import own_factor\n" + dedent(STEP), "own_factor.py": "def f():\n    from own_deep import G",
         "own_deep.py": "G = 1"},
        ["own_deep.py"],
    ),
    "a base class": (
        "own_mine.py:Mine",
        {"own_base.py": STEP, "own_mine.py": "import own_base\nclass Mine(own_base.Mine):\n    pass"}, ["own_base.py"],
    ),
    "a submodule": (
        "own_mine.py:Mine",
        {"ownpkg/__init__.py": "", "ownpkg/factor.py": "F = 1",
         "own_mine.py": "from ownpkg import factor\n" + dedent(STEP)},
        ["ownpkg/factor.py"],
    ),
    "a folder without __init__": (
        "ownpkg.steps:Mine",
        {"ownpkg/factor.py": "F = 1", "ownpkg/steps.py": "from . import factor\n" + dedent(STEP)},
        ["ownpkg/factor.py"],
    ),
    "a decorated function": (
        "own_mine.py:mine",
        {"own_steps.py": STEP + "    def wrapped(params, lr=0.1):\n        return Mine(params, lr)\n",
         "own_mine.py": "import functools, importlib\n_steps = importlib.import_module('own_' + 'steps')\n"
         "@functools.wraps(_steps.wrapped)\ndef mine(params, lr=0.1):\n    return _steps.wrapped(params, lr)"},
        ["own_steps.py"],
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, which is the current one, and on the path."""
    monkeypatch.chdir(tmp_path)
    path = sys.path[:]
    yield tmp_path
    sys.path[:] = path
    forget()
    sources._owners.cache_clear()


def forget() -> None:
    for name in [name for name in sys.modules if name.startswith(("own_", "ownpkg"))]:
        del sys.modules[name]


def write(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(dedent(text))


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_of_any_own_file_changes_the_digest_and_a_touch_does_not(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, files, edited = KINDS[kind]
    write(files)
    monkeypatch.syspath_prepend(folder)
    before = source_digest(target)
    for name in files:
        os.utime(name, (1, 1))
    assert source_digest(target) == before
    for name in edited:
        Path(name).write_text(dedent(files[name]) + "\n# edited\n")
        forget()  # as another process, which imports the edited file
        assert source_digest(target) != before, name
        Path(name).write_text(dedent(files[name]))
        forget()
        assert source_digest(target) == before


def test_a_file_that_needs_nothing_of_its_own_has_the_digest_of_its_content(folder: Path) -> None:
    text = f"import math, numpy as np, optbench\nfrom scipy import stats\n{dedent(STEP)}"
    write({"own_mine.py": text, "ownpkg/__init__.py": "", "ownpkg/mine.py": text, "unrelated.py": ""})
    expected = sha256(text.encode()).hexdigest()[:12]
    assert source_digest("own_mine.py:Mine") == source_digest("ownpkg.mine:Mine") == expected


def test_the_digest_is_the_same_in_another_folder(folder: Path) -> None:
    write({"own_mine.py": "import own_factor\n" + dedent(STEP), "own_factor.py": "F = 1"})
    digest = source_digest("own_mine.py:Mine")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("own_mine.py", "own_factor.py"):
        Path(name).rename(elsewhere / name)
    forget()
    assert source_digest("elsewhere/own_mine.py:Mine") == digest


def install(folder: Path, version: str, origin: str = "") -> None:
    """Writes a package as pip installs it."""
    site = folder / "site-packages"
    write({f"{site}/ownpkg/__init__.py": STEP})
    for old in site.glob("*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    about = f"{site}/ownpkg-{version}.dist-info"
    write({f"{about}/METADATA": f"Metadata-Version: 2.1\nName: ownpkg\nVersion: {version}\n",
           f"{about}/top_level.txt": "ownpkg\n"})  # fmt: skip
    if origin:
        write({f"{about}/direct_url.json": origin})
    sources._owners.cache_clear()


def test_another_version_of_an_installed_package_changes_the_digest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder / "site-packages")
    write({"own_mine.py": "from ownpkg import Mine"})
    targets = ["ownpkg:Mine", "own_mine.py:Mine"]
    install(folder, "1.0")
    before = [source_digest(target) for target in targets]
    assert [source_digest(target) for target in targets] == before
    install(folder, "1.1")
    assert all(new != old for new, old in zip(map(source_digest, targets), before, strict=True))
    # What was installed from a folder of this machine keeps its version when its files change.
    install(folder, "1.0", origin='{"url": "file:///home/me/ownpkg", "dir_info": {}}')
    before = [source_digest(target) for target in targets]
    (folder / "site-packages/ownpkg/__init__.py").write_text(dedent(STEP) + "\n# edited\n")
    forget()
    assert all(new != old for new, old in zip(map(source_digest, targets), before, strict=True))


def test_an_edited_module_beside_a_file_is_imported_again(folder: Path) -> None:
    write({"own_mine.py": "from own_factor import F\nclass Mine:\n    f = F", "own_factor.py": "F = 1"})
    assert load_attribute("own_mine.py:Mine").f == 1
    assert load_attribute("own_mine.py:Mine") is load_attribute("own_mine.py:Mine")
    Path("own_factor.py").write_text("F = 22")
    assert load_attribute("own_mine.py:Mine").f == 22


def test_a_module_that_was_edited_after_its_import_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write({"ownpkg/__init__.py": "from ownpkg.steps import Mine", "ownpkg/steps.py": STEP})
    monkeypatch.syspath_prepend(folder)
    source_digest("ownpkg:Mine")
    Path("ownpkg/steps.py").write_text(dedent(STEP) + "\n# edited\n")
    with pytest.raises(UserError, match=r"steps\.py has changed since this process imported it; start Python again"):
        source_digest("ownpkg:Mine")


def test_two_modules_of_one_name_beside_two_files_are_refused(folder: Path) -> None:
    for side in ("one", "two"):
        write({f"{side}/own_mine.py": "from own_factor import F\nMine = F", f"{side}/own_factor.py": f"F = '{side}'"})
    assert load_attribute("one/own_mine.py:Mine") == "one"
    with pytest.raises(UserError, match=r"own_mine\.py imports own_factor, which is .*two.*rename one of the two"):
        load_attribute("two/own_mine.py:Mine")


def test_a_module_beside_a_file_does_not_hide_the_standard_library(folder: Path) -> None:
    write({"own/own_mine.py": "import own_factor\nMine = own_factor.F", "own/own_factor.py": "F = 1",
           "own/wave.py": "raise ImportError('not the standard library')"})  # fmt: skip
    assert load_attribute("own/own_mine.py:Mine") == 1
    sys.modules.pop("wave", None)
    import wave

    assert wave.__file__ is not None
    assert "own" not in Path(wave.__file__).parts


def test_an_edit_of_a_module_that_a_problem_imports_changes_the_cells(folder: Path) -> None:
    problem = "from own_factor import F\nfrom dataclasses import dataclass\nfrom tests.support.tiny import Tiny\n\n\n"
    problem += "@dataclass(frozen=True)\nclass Mine(Tiny):\n    name = 'mine'\n"
    write({"own_problem.py": problem, "own_factor.py": "F = 1"})

    def ids() -> list[str]:
        chosen = configure(problems=["own_problem.py:Mine", "mlp"], optimizers=["sgd"], batch_sizes=[10])
        return [cell.id for cell in make_plan(chosen).cells]

    before = ids()
    Path("own_factor.py").write_text("F = 22")
    after = ids()
    assert before[0] != after[0]
    assert before[1] == after[1]
