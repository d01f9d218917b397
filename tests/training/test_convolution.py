"""Convolutions that oneDNN miscomputes on some CPUs are computed in another way, to the same sums."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource
from optbench.training.construct import make_model
from optbench.training.convolution import Conv2d, replace_convolutions
from tests.support.trainings import cell_for, trained, values

HERE = Path(__file__).resolve()


def mended(layer: nn.Conv2d) -> nn.Module:
    model = nn.Sequential(layer)
    replace_convolutions(model)
    return model[0]


def test_the_layers_that_are_miscomputed_are_mended_and_no_others() -> None:
    wrong = [nn.Conv2d(channels, 8, 1, stride) for channels in range(1, 8) for stride in (2, 3, (1, 2), (2, 1))]
    assert all(type(mended(layer)) is Conv2d for layer in wrong)
    right = [
        nn.Conv2d(8, 2, 1, 2), nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 3, 2), nn.Conv2d(4, 8, 1, 2, padding=1),
        nn.Conv2d(4, 8, 1, 2, groups=2),
    ]  # fmt: skip
    assert all(type(mended(layer)) is nn.Conv2d for layer in right)


@pytest.mark.parametrize("format_", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("stride", [2, 3, (1, 2)])
def test_the_sums_are_the_same(stride: int | tuple[int, int], format_: torch.memory_format) -> None:
    torch.manual_seed(0)
    for channels, size in ((2, 16), (4, 9), (7, 12)):
        plain = nn.Conv2d(channels, 5, 1, stride).double()
        other = nn.Conv2d(channels, 5, 1, stride)
        other.load_state_dict(plain.state_dict())
        other = mended(other.to(memory_format=format_))
        images = torch.randn(6, channels, size, size)
        known, found = (
            images.double().requires_grad_(), images.contiguous(memory_format=format_).requires_grad_()
        )  # fmt: skip
        expected, output = plain(known), other(found)
        torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-5)
        gradient = torch.randn_like(expected)
        expected.backward(gradient)
        output.backward(gradient.float().contiguous(memory_format=format_))
        torch.testing.assert_close(found.grad.double(), known.grad, rtol=1e-5, atol=1e-5)  # type: ignore[union-attr]
        for one, two in zip(other.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one.grad.double(), two.grad, rtol=1e-4, atol=1e-4)  # type: ignore[union-attr]


@dataclass(frozen=True)
class Narrow(Problem):
    """Images of few channels, channels-last; a strided shortcut of 1 × 1 below a mean over all pixels.

    The gradient of such a mean is channels-last whatever the images are.
    """

    name: ClassVar[str] = "narrow"
    batch_sizes: ClassVar[tuple[int, ...]] = (20,)
    run_budget: ClassVar[str] = "1epochs"

    channels_last: bool = True  # type: ignore[misc]

    def training_examples(self) -> int:
        return 120

    def load_data(self, source: DataSource) -> Data:
        random = torch.Generator().manual_seed(0)
        split = (torch.randn(120, 4, 16, 16, generator=random), torch.arange(120) % 2)
        return Data(split, split, split)

    def model(self) -> nn.Module:
        layers = (nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU(), nn.Conv2d(4, 16, 1, 2, bias=False), nn.ReLU())
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    def metric(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return (model(batch[0]).argmax(1) == batch[1]).float().mean()


@pytest.mark.parametrize("execution", ["eager", "population"])
def test_a_narrow_net_trains_as_well_channels_last_as_contiguous(execution: str) -> None:
    """Where the fault was, this ended the process, or gave other losses."""
    one, two = (
        trained(cell_for(f"{HERE}:Narrow[channels_last={asked}]", "momentum", execution), [0.1, 0.03], budget=400)
        for asked in ("true", "false")
    )
    for last, contiguous in zip(one, two, strict=True):
        assert last.status == contiguous.status == "ok"
        np.testing.assert_allclose(values(last), values(contiguous), rtol=1e-3)


#: Gradients of the layers in double precision, and as oneDNN's kernels for AVX2 compute them.
NARROW = """
import torch
from torch import nn
from optbench.training.convolution import replace_convolutions
for channels in (2, 3, 4, 7):
    torch.manual_seed(0)
    plain = nn.Conv2d(channels, 16, 1, 2, bias=False)
    model = nn.Sequential(nn.Conv2d(channels, 16, 1, 2, bias=False).to(memory_format=torch.channels_last))
    plain.load_state_dict(model[0].state_dict())
    replace_convolutions(model)
    for _ in range(10):
        images = torch.randn(20, channels, 16, 16).to(memory_format=torch.channels_last)
        output, expected = model(images), plain.double()(images.double())
        gradient = torch.randn_like(expected)
        model.zero_grad(), plain.zero_grad()
        output.backward(gradient.float().to(memory_format=torch.channels_last))
        expected.backward(gradient)
        torch.testing.assert_close(model[0].weight.grad.double(), plain.weight.grad, rtol=1e-4, atol=1e-4)
"""


@pytest.mark.processes
def test_gradients_are_right_by_the_kernels_that_had_the_fault() -> None:
    """Without mending this process ends by a signal on any CPU that has AVX2."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", NARROW], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_parameters_and_their_names_stay() -> None:
    """Parameter groups name layers by their class."""
    cell = cell_for("cifar_resnet[data=digits,depth=8,width=4,shortcut=conv]", "sgd", "eager")
    problem = cell.problem.make()
    model, plain = make_model(problem, cell, 0), problem.model()
    assert [type(module).__name__ for module in model.modules()] == [
        type(module).__name__ for module in plain.modules()
    ]
    assert [*dict(model.named_parameters())] == [*dict(plain.named_parameters())]
    assert sum(type(module) is Conv2d for module in model.modules()) == 1
