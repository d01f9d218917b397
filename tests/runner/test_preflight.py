"""What is known before the first training: data that fits, and planes that are computed once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn

from optbench.config.load import configure
from optbench.errors import UserError
from optbench.machine.settings import planned_settings, write_settings
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.runner.preflight import check_data, check_optimizers, find_changed_settings
from optbench.training import landscape as plane
from tests.support.tiny import TINY, TINY_NET, TinyNet, run_tiny

SOURCE = DataSource(Path("unused"), download=False)


def test_a_plane_that_is_known_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of evaluations, that a run with further seeds needn't make."""
    run_tiny(tmp_path / "run")
    before = json.loads((tmp_path / "run/planes.json").read_text())
    monkeypatch.setattr(plane, "compute_plane_values", lambda *_: pytest.fail("computed again"))
    run_tiny(tmp_path / "run", seeds=3)
    assert json.loads((tmp_path / "run/planes.json").read_text()) == before


def test_the_plane_of_another_problem_of_the_same_name_is(tmp_path: Path) -> None:
    """An edited file gives other cells under the same label."""
    config = configure(problems=[f"{TINY}[condition=20]"], optimizers=["sgd"], devices=["cpu"])
    (cell, *_) = make_plan(config).cells
    found = check_data([cell], SOURCE)
    known = {label: {**values, "of": "another"} for label, values in found.items()}
    assert check_data([cell], SOURCE, known=found) == {}
    assert check_data([cell], SOURCE, known=known) == found
    assert (
        next(iter(found.values()))["value"]
        != check_data(make_plan(configure(problems=[TINY], optimizers=["sgd"], devices=["cpu"])).cells[:1], SOURCE)[
            "tiny"
        ]["value"]
    )


@dataclass(frozen=True)
class Lazy(TinyNet):
    """A model whose weights are made in the first forward pass, unless one batch was run."""

    name = "lazy"
    materialised: bool = False

    def model(self) -> nn.Module:
        model = nn.Sequential(nn.LazyLinear(3))
        if self.materialised:
            model(torch.zeros(1, 4))
        return model


def test_lazy_layers_are_refused_in_one_line() -> None:
    def cells(selected: str) -> Sequence[Cell]:
        return make_plan(configure(problems=[f"{__file__}:{selected}"], optimizers=["sgd"], devices=["cpu"])).cells

    with pytest.raises(UserError) as caught:
        check_data(cells("Lazy"), SOURCE)
    assert str(caught.value) == (
        "problem lazy has a lazy layer, whose 0.weight does not exist before the first batch; run one batch in "
        "model(), or give the layer its size"
    )
    assert check_data(cells("Lazy[materialised=true]"), SOURCE) == {}


SETTING = """
    import torch
    import optbench
    from dataclasses import dataclass
    from tests.support.tiny import TinyNet
    AT_IMPORT

    @dataclass(frozen=True)
    class Mine(TinyNet):
        name = "mine"
        def model(self):
            IN_MODEL
            return super().model()

    class Steps(torch.optim.SGD):
        def __init__(self, params, lr=0.1):
            IN_CONSTRUCTOR
            super().__init__(params, lr=lr)
        def step(self, closure=None):
            IN_STEP
            return super().step(closure)
"""
DOUBLE = "torch.set_default_dtype(torch.float64)"


def setting(folder: Path, **statements: str) -> Path:
    """Writes a file with a problem and an optimizer that execute statements."""
    text = dedent(SETTING)
    for place in ("AT_IMPORT", "IN_MODEL", "IN_CONSTRUCTOR", "IN_STEP"):
        text = text.replace(place, statements.get(place, "pass"))
    path = folder / "setting.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("AT_IMPORT", "setting.py changes torch's settings for the whole process when it is imported"),
        ("IN_MODEL", "setting.py:Mine changes torch's settings for the whole process in model()"),
        ("IN_CONSTRUCTOR", "setting.py:Steps changes torch's settings for the whole process in its constructor"),
    ],
)
def test_code_that_changes_settings_is_told_and_other_cells_are_not_affected(
    place: str, where: str, tmp_path: Path
) -> None:
    plain = run_tiny(tmp_path / "plain", problems=[TINY_NET], optimizers=["sgd"], seeds=2, tuning_worth=0)
    mine = setting(tmp_path, **{place: DOUBLE})
    cells = make_plan(
        configure(problems=[f"{mine}:Mine"], optimizers=[f"{mine}:Steps"], devices=["cpu"], batch_sizes=[10])
    ).cells
    [note] = find_changed_settings(cells)
    assert note.startswith(f"note: {tmp_path}/{where} (the default dtype); they are put back ")
    assert torch.get_default_dtype() == torch.float32
    beside = run_tiny(
        tmp_path / "beside", problems=[f"{mine}:Mine", TINY_NET], optimizers=[f"{mine}:Steps", "sgd"], seeds=2,
        tuning_worth=0,
    )  # fmt: skip
    same = beside.runs.query("problem == 'tiny_net' and optimizer == 'sgd'")
    assert same["test_loss"].tolist() == plain.runs["test_loss"].tolist()
    assert torch.get_default_dtype() == torch.float32


def test_code_that_sets_nothing_or_only_for_a_while_is_not(tmp_path: Path) -> None:
    local = "torch.manual_seed(0); before = torch.get_default_dtype(); " + DOUBLE + "; torch.set_default_dtype(before)"
    mine = setting(tmp_path, AT_IMPORT=local, IN_MODEL=local, IN_CONSTRUCTOR=local)
    chosen = configure(problems=[f"{mine}:Mine", TINY_NET], optimizers=[f"{mine}:Steps", "adam"], devices=["cpu"])
    assert find_changed_settings(make_plan(chosen).cells) == []


def test_a_step_that_changes_settings_does_not_affect_later_trainings(tmp_path: Path) -> None:
    mine = setting(tmp_path, IN_STEP="torch.set_default_dtype(torch.float64); torch.set_num_threads(3)")
    chosen = {"problems": [TINY_NET], "seeds": 2, "tuning_worth": 0, "execution": "eager"}
    plain = run_tiny(tmp_path / "plain", optimizers=["sgd"], **chosen)
    beside = run_tiny(tmp_path / "beside", optimizers=[f"{mine}:Steps", "sgd"], **chosen)
    same = beside.runs.query("optimizer == 'sgd'")
    assert same["test_loss"].tolist() == plain.runs["test_loss"].tolist()
    write_settings(planned_settings(1))


def test_values_of_a_search_space_that_torch_rejects_are_noted_before_anything_is_computed() -> None:
    tables = {
        "bad": {"base": "nesterov", "search": {"momentum": [0.0, 0.9]}},
        "pairs": {"base": "adam", "search": {"betas": [[0.9, 0.99], [0.9, 1.0]]}},
        "good": {"base": "nesterov", "search": {"momentum": [0.5, 0.9]}},
    }
    choices = {"problems": [TINY], "optimizers": [*tables], "optimizer": tables, "batch_sizes": [10]}
    notes = check_optimizers(make_plan(configure(**choices)).cells)
    assert [note.partition(" at the")[0] for note in notes] == [
        "optimizer bad rejects momentum = 0.0 of its search space",
        "optimizer pairs rejects betas = (0.9,1.0) of its search space",
    ]
