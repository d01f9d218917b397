"""`FILE.py` stands for the one optimizer or problem that the file defines."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from optbench.config.load import configure, load_config
from optbench.config.own_files import list_definitions
from optbench.errors import UserError

PROBLEM = """
    from dataclasses import dataclass
    from tests.support.tiny import Tiny
    @dataclass(frozen=True)
    class Mine(Tiny):
        name = "mine"
"""
OPTIMIZER = """
    import torch
    from torch.optim import Adam
    class Steps(torch.optim.SGD):
        def __init__(self, params, lr=0.1, momentum=0.0):
            super().__init__(params, lr=lr)
"""


def write(folder: Path, text: str, name: str = "mine.py") -> str:
    path = folder / name
    path.write_text(dedent(text))
    return str(path)


def test_a_file_with_one_definition_of_each_kind_is_enough(tmp_path: Path) -> None:
    file = write(tmp_path, PROBLEM + OPTIMIZER)
    chosen = configure(
        problems=[f"{file}[condition=20]", {"select": file, "batch_sizes": [10]}, "mlp"],
        optimizers=[f"{file}[momentum=[0.1,0.2]]", "adam"],
    )
    assert [item if isinstance(item, str) else item.select for item in chosen.problems] == [
        f"{file}:Mine[condition=20]", f"{file}:Mine", "mlp",
    ]  # fmt: skip
    assert chosen.optimizers == (f"{file}:Steps[momentum=0.1]", f"{file}:Steps[momentum=0.2]", "adam")
    assert configure(optimizers=[f"{file}:Steps"]).optimizers == configure(optimizers=[file]).optimizers


def test_a_toml_file_may_name_it_too(tmp_path: Path) -> None:
    file = write(tmp_path, OPTIMIZER)
    (tmp_path / "own.toml").write_text(f"optimizers = ['{file}']\n")
    assert load_config(file=tmp_path / "own.toml").optimizers == (f"{file}:Steps",)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (OPTIMIZER + "    class Other(Steps):\n        pass\n",
         r"mine\.py defines several optimizers \(accepted: \S+mine\.py:Steps, \S+mine\.py:Other\)$"),
        (PROBLEM, r"mine\.py defines no optimizer \(it defines \S+mine\.py:Mine\)$"),
        ("x = 1", r"mine\.py defines neither a problem nor an optimizer"),
        (None, r"mine\.py does not exist"),
    ],
)  # fmt: skip
def test_another_number_of_definitions_is_one_line(text: str | None, line: str, tmp_path: Path) -> None:
    file = write(tmp_path, text) if text is not None else str(tmp_path / "mine.py")
    with pytest.raises(UserError, match=line):
        configure(optimizers=[file])


def test_a_configuration_in_a_results_directory_does_not_import_such_a_file(tmp_path: Path) -> None:
    file = write(tmp_path, "raise RuntimeError('imported')")
    (tmp_path / "format.json").write_text("{}")
    (tmp_path / "config.toml").write_text(f"optimizers = ['{file}']\n")
    with pytest.raises(UserError, match="is in a results directory and refers to code"):
        load_config(file=tmp_path / "config.toml")


def test_functions_and_imported_classes_count_as_well(tmp_path: Path) -> None:
    factory = "import torch\ndef mine(params, lr=0.1):\n    return torch.optim.SGD(params, lr=lr)\n"
    assert list_definitions(write(tmp_path, factory + "def other(x):\n    pass\ndef _own(params):\n    pass\n")) == {
        f"{tmp_path}/mine.py:mine": "optimizer"
    }
    write(tmp_path, OPTIMIZER, "own_steps.py")
    imports = "from own_steps import Steps as Mine\nfrom torch.optim import Adam\n"
    assert list(list_definitions(write(tmp_path, imports))) == [f"{tmp_path}/mine.py:Mine"]
    assert list(list_definitions(write(tmp_path, imports + factory))) == [f"{tmp_path}/mine.py:mine"]
