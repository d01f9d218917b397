"""The probe tells which optimizers a stacked step serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from optbench.config.load import configure
from optbench.optimizers.builtin import BUILT_IN
from optbench.planning.matrix import make_plan
from optbench.planning.optimizer_choice import OptimizerChoice
from optbench.training.execution.linearity import probe_linearity
from tests.support.tiny import TINY

HERE = Path(__file__).resolve()


def choice(optimizer: str) -> OptimizerChoice:
    return make_plan(configure(problems=[TINY], optimizers=[optimizer])).cells[0].optimizer


class Layerwise(torch.optim.SGD):
    """Normalises each tensor's gradient: linear in the rate, but coordinates depend on each other."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad /= parameter.grad.norm()
        return super().step(closure)


class NormClipped(torch.optim.SGD):
    """Clips the norm of all gradients together, which only large ones show."""

    def step(self, closure: Any = None) -> Any:
        torch.nn.utils.clip_grad_norm_([p for group in self.param_groups for p in group["params"]], 10.0)
        return super().step(closure)


class Clipped(torch.optim.SGD):
    """Bounds each step: the same for each coordinate alone, but not linear in the rate."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= (group["lr"] * parameter.grad).clamp(-1e-3, 1e-3)


class Switched(torch.optim.SGD):
    """Plain steps; but whoever evaluates has to switch it first, as schedule-free optimizers demand."""

    def train(self) -> None:
        """Back to the weights that are stepped."""

    def eval(self) -> None:
        """To those that are evaluated."""


class Centralised(torch.optim.SGD):
    """Centres the gradients of convolutions alone, over all but their first dimension (Yong et al. 2020)."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() == 4:
                    parameter.grad -= parameter.grad.mean((1, 2, 3), keepdim=True)
        return super().step(closure)


class Still(torch.optim.SGD):
    """Moves nothing."""

    def step(self, closure: Any = None) -> Any:
        return None


class Raising(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize("name", [name for name, spec in BUILT_IN.items() if spec.linear_in_rate])
def test_what_built_in_optimizers_declare_is_so(name: str) -> None:
    assert probe_linearity(choice(name)) == "zero"


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("torch.optim:RAdam", "zero"),
        ("torch.optim:AdamW", "difference"),
        ("sgd[weight_decay=0.1]", "difference"),
        ("torch.optim:Rprop", None),
        ("torch.optim:ASGD", None),
        ("torch.optim:Adafactor", None),
        (f"{HERE}:Layerwise", None),
        (f"{HERE}:NormClipped", None),
        (f"{HERE}:Clipped", None),
        (f"{HERE}:Still", None),
        (f"{HERE}:Switched", None),
        (f"{HERE}:Centralised", None),
        (f"{HERE}:Raising", None),
    ],
)
def test_others_are_told_by_the_probe(optimizer: str, expected: str | None) -> None:
    assert probe_linearity(choice(optimizer)) == expected
