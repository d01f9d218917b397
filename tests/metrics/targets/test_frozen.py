"""The frozen targets: which hold for what, and that no comparison can move them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import optbench
from optbench.errors import UserError
from optbench.metrics.targets import list_targets
from tests.support.rows import cell_of, frame

FILE = """
version = 7
[problems."p[data=x]"]
problem_version = "3"
metric = "accuracy"
higher_is_better = true
source = "a pool"
targets = { hard = 0.95, easy = 0.5, medium = 0.9 }
[problems.valley]
problem_version = "1"
metric = "suboptimality"
higher_is_better = false
source = "by hand"
targets = { hard = 1e-4, easy = 1 }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "targets.toml"
    path.write_text(FILE)
    return path


def test_easiest_first_with_version_and_source(file: Path) -> None:
    cells = frame([cell_of(problem="p[data=x]"), cell_of("sgd", problem="p[data=x]"),
                   cell_of(problem="valley", metric_name="suboptimality", metric_higher_is_better=False)],
                  "cells")  # fmt: skip
    table = list_targets(cells, file)
    assert table[["problem", "target_name", "target"]].values.tolist() == [
        ["p[data=x]", "easy", 0.5], ["p[data=x]", "medium", 0.9], ["p[data=x]", "hard", 0.95],
        ["valley", "easy", 1.0], ["valley", "hard", 1e-4],
    ]  # fmt: skip
    assert set(table["version"]) == {"7"}
    assert table["source"].iloc[0] == "a pool"


def test_other_data_or_another_metric_is_another_problem(file: Path) -> None:
    cells = frame([cell_of(problem="p[data=y]", target=0.7), cell_of(problem="p[data=x]", metric_name="error")],
                  "cells")  # fmt: skip
    table = list_targets(cells, file)
    assert table["target_name"].tolist() == ["declared", "declared"]
    assert table["target"].tolist() == [0.7, 0.9]


def test_targets_of_another_version_of_the_problem_are_stale_and_said_to_be(file: Path) -> None:
    """A problem that has changed is another one: its old targets would be too easy, or out of reach."""
    label = "p[data=x]"
    same = list_targets(frame([cell_of(problem=label, problem_version="3")], "cells"), file)
    assert same["target_name"].tolist() == ["easy", "medium", "hard"]
    stale = list_targets(frame([cell_of(problem=label, problem_version="4", target=0.7)], "cells"), file)
    assert stale[["target_name", "target", "version"]].values.tolist() == [["declared", 0.7, ""]]
    assert "the frozen targets are for version 3 of the problem, not 4" in stale["source"].iloc[0]
    none = list_targets(frame([cell_of(problem=label, problem_version="4", target=math.nan)], "cells"), file)
    assert math.isnan(none["target"].iloc[0])
    assert none["source"].iloc[0].startswith("none: the frozen targets are for version 3")
    unsaid = list_targets(frame([cell_of(problem=label, problem_version="")], "cells"), file)
    assert unsaid["target_name"].tolist() == ["easy", "medium", "hard"], "an older version of optbench didn't record it"


def test_without_any_target_a_row_says_so(file: Path) -> None:
    table = list_targets(frame([cell_of(problem="q", target=math.nan)], "cells"), file)
    assert math.isnan(table["target"].iloc[0])
    assert table["source"].iloc[0].startswith("none")


def test_every_preset_on_hand_has_several_frozen_targets() -> None:
    for preset in ("quick", "standard", "full", "recipe"):
        for cell in {cell.problem.label: cell for cell in optbench.plan(preset=preset).cells}.values():
            problem = cell.problem.make()
            row = cell_of(problem=cell.problem.label, metric_name=problem.metric_name,
                          metric_higher_is_better=problem.metric_higher_is_better, target=problem.target,
                          problem_version=cell.problem.version)  # fmt: skip
            table = list_targets(frame([row], "cells"))
            assert table["target_name"].tolist() == ["easy", "medium", "hard"], cell.problem.label
            assert table["target"].is_unique


@pytest.mark.parametrize("label", ["mnist_cnn", "mlp", "mlp[data=mnist]", "cifar_resnet[data=digits]"])
def test_targets_on_hand_come_from_a_pool(label: str) -> None:
    [chosen] = {cell.problem.label: cell.problem for cell in optbench.plan(problems=[label]).cells}.values()
    row = cell_of(problem=chosen.label, target=0.5, problem_version=chosen.version)
    table = list_targets(frame([row], "cells"))
    assert table["source"].str.contains("of a pool reach: 10 optimizers", regex=False).all()
    assert table["target"].is_monotonic_increasing
    assert table["target"].between(0.5, 1).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = ", "is not valid TOML"),
        ("version = 1", "is not valid"),
        ("version = '1'\n[problems]", "is not valid .required: version, an integer"),
        (FILE.replace("source =", "sauce ="), "did you mean 'source'"),
        (FILE.replace('metric = "accuracy"', ""), "metric of problem .* is missing or invalid"),
        (FILE.replace('problem_version = "3"', ""), "problem_version of problem .* is missing or invalid"),
        (FILE.replace("0.95", '"high"'), "are invalid"),
        (FILE.replace("0.95", "nan"), "are invalid"),
    ],
)
def test_what_is_no_file_of_targets(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "targets.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        list_targets(frame([cell_of()], "cells"), path)
