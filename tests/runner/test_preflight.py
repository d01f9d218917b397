"""What is known before the first training: data that fits, and planes that are computed once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from optbench.config.load import configure
from optbench.errors import UserError
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.runner.preflight import check_data
from optbench.training import landscape as plane
from tests.support.tiny import TINY, TinyNet, run_tiny

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
