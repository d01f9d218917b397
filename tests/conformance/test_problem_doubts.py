"""Before a run, a line for each problem of one's own whose losses or metrics mislead, and none for others."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from optbench.config.load import configure
from optbench.conformance.problem_doubts import doubt_problem
from optbench.conformance.suite import check
from optbench.planning.matrix import make_plan
from optbench.problem.data import DataSource
from optbench.runner.progress import LineProgress
from tests.support.tiny import run_tiny

SOURCE = DataSource(Path("unused"), download=False)
MINE = """
    import random
    from dataclasses import dataclass
    import numpy as np
    import torch
    from torch import nn
    from optbench import Data, Problem

    @dataclass(frozen=True)
    class Mine(Problem):
        name = "mine"
        batch_sizes = (10,)
        evaluation_batch = EVALUATION_BATCH
        def load_data(self, source):
            x = torch.randn(600, 4, generator=torch.Generator().manual_seed(0))
            y = (x.sum(1) > 2).float()
            INPUTS
            return Data.split(x, y)
        def model(self):
            SEEDS
            model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(8, 1))
            INITIAL
            return model
        def loss(self, model, batch):
            MASKS
            x, y = batch
            z = model(x).squeeze(1)
            LOSS
        def metric(self, model, batch):
            x, y = batch
            found = (model(x).squeeze(1) > 0).float()
            METRIC
"""
RIGHT = {
    "EVALUATION_BATCH": "25", "INPUTS": "pass", "SEEDS": "pass", "DROPOUT": "0.0", "INITIAL": "pass", "MASKS": "pass",
    "LOSS": "return nn.functional.binary_cross_entropy_with_logits(z, y)",
    "METRIC": "return (found == y).float().mean()",
}  # fmt: skip
F1 = "return 2 * (found * y).sum() / (found.sum() + y.sum()).clamp(min=1)"
ZERO = "[nn.init.zeros_(p) for p in model.parameters()]"
#: By kind: what differs from `RIGHT`, the check that finds it, and what the line says.
DOUBTFUL = {
    "a metric that is no mean": ({"METRIC": F1}, "evaluation", "warning: mine: loss and metric are ["),
    "a loss that couples": ({"LOSS": "return ((z - y) ** 2).sum() / y.sum().clamp(min=1)"}, "evaluation",
                            "warning: mine: loss and metric are ["),
    "a loss that couples in training only": (
        {"LOSS": "return ((z - y) ** 2).mean() * (1 + x.std() * model.training)"}, "coupling",
        "computed from its halves"),
    "evaluation that draws": ({"LOSS": "return ((z + torch.randn_like(z) - y) ** 2).mean()"}, "random_numbers",
                              "warning: mine: evaluation draws random numbers"),
    "the same start by torch": ({"SEEDS": "torch.manual_seed(0)"}, "random_numbers",
                                "note: mine: the initial weights are the same for all seeds (model() seeds torch's g"),
    "the same start by NumPy": (
        {"SEEDS": "np.random.seed(0)", "INITIAL": "[p.data.copy_(torch.from_numpy(np.random.randn(*p.shape))) for p in "
         "model.parameters()]"}, "random_numbers", "(model() seeds NumPy's generator)"),
    "the same start by a generator": (
        {"INITIAL": "[p.data.normal_(generator=torch.Generator().manual_seed(0)) for p in model.parameters()]"},
        "random_numbers", "the initial weights are the same for all seeds: intervals"),
    "the same masks": ({"MASKS": "torch.manual_seed(0)", "DROPOUT": "0.5"}, "random_numbers",
                       "note: mine: loss() seeds torch's generator"),
    "infinite inputs": ({"INPUTS": "x[599, 0] = float('inf')"}, "", "examples contain infinite numbers"),
    "shapes that broadcast": ({"LOSS": "return nn.functional.mse_loss(model(x), y)"}, "evaluation",
                              "combines shapes (16, 1) and (16,), which broadcast to (16, 16)"),
    "shapes that broadcast at weights of zero": (
        {"LOSS": "return ((model(x) - y) ** 2).mean()", "INITIAL": ZERO}, "coupling", "which broadcast to (64, 64)"),
}  # fmt: skip
#: By kind: what differs from `RIGHT` and is fine.
FINE = {
    "means": {},
    "a metric of whole splits": {"METRIC": F1, "EVALUATION_BATCH": "1000"},
    "dropout": {"DROPOUT": "0.5"},
    "draws in training only": {"LOSS": "return ((z + model.training * torch.randn_like(z) - y) ** 2).mean()"},
    "evaluation with a fixed seed of its own": {
        "LOSS": "return ((z - y) ** 2).mean() + torch.rand((), generator=torch.Generator().manual_seed(0))"
    },
    "weights of zero": {"INITIAL": ZERO},
    "seeds that do not matter": {"INITIAL": "torch.manual_seed(0)"},
    "shapes that do not broadcast": {"LOSS": "return nn.functional.mse_loss(model(x), y[:, None])"},
    "large inputs": {"INPUTS": "x[599, 0] = 1e30", "LOSS": "return (z.tanh() - y).abs().mean()"},
}


def write(folder: Path, **changed: str) -> str:
    text = dedent(MINE)
    for place, statement in {**RIGHT, **changed}.items():
        text = text.replace(place, statement)
    (folder / "mine.py").write_text(text)
    return f"{folder}/mine.py:Mine"


def doubts(target: str) -> list[str]:
    cell = make_plan(configure(problems=[target], optimizers=["sgd"], devices=["cpu"])).cells[0]
    return doubt_problem(cell, cell.problem.make().load_data(SOURCE), SOURCE)


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_a_doubtful_problem_is_a_line_at_a_run_and_a_finding_of_a_check(kind: str, tmp_path: Path) -> None:
    changed, name, line = DOUBTFUL[kind]
    target = write(tmp_path, **changed)
    [found] = doubts(target)
    assert line in found
    assert found.endswith(f"(details: `optbench check '{target}'`)")
    if name:
        [finding] = check(target, only=[name])
        assert finding.outcome == ("note" if found.startswith("note") else "failed")
        assert finding.reason


@pytest.mark.parametrize("kind", FINE)
def test_a_conforming_problem_is_not_doubted(kind: str, tmp_path: Path) -> None:
    target = write(tmp_path, **FINE[kind])
    assert doubts(target) == []
    names = ["random_numbers", "evaluation", "coupling"]
    assert [f.check for f in check(target, only=names) if f.outcome not in ("ok", "skipped")] == []


def test_a_problem_that_raises_is_left_to_its_cells(tmp_path: Path) -> None:
    assert doubts(write(tmp_path, LOSS="raise ValueError('mine')")) == []


def test_missing_labels_are_not_taken_for_data_that_change(tmp_path: Path) -> None:
    target = write(tmp_path, INPUTS="y[3] = float('nan')", LOSS="return ((z - y) ** 2).nanmean()")
    [finding] = check(target, only=["reproducible"])
    assert finding.outcome == "ok"


def test_a_run_says_so_and_examines_only_problems_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = write(tmp_path, METRIC=F1)
    chosen = {
        "optimizers": ["sgd"],
        "tuning_worth": 0,
        "seeds": 1,
        "progress": LineProgress(),
        "run_budget": "20examples",
    }
    run_tiny(tmp_path / "run", problems=[target, "logistic_regression"], batch_sizes=[10], **chosen)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("warning", "note"))]
    assert len(lines) == 1
    assert lines[0].startswith("warning: mine: loss and metric are [")
