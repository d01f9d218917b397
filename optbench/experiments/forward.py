"""Single forward passes through a problem's network: what experiments on activations measure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from optbench.problem.base import Problem
from optbench.problem.data import DataSource

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optbench.training.device_data import ResidentData


def resident(problem: str, source: DataSource, device: str) -> tuple[ResidentData, Problem]:
    """The data of a problem on a device, as its trainings have it, and the problem."""
    from optbench.config.schema import Config
    from optbench.planning.matrix import make_plan
    from optbench.training.device_data import load

    (cell,) = make_plan(Config(problems=(problem,), optimizers=("sgd",), batch_sizes=(1,), devices=(device,))).cells
    made, data = load(cell.problem, source, device)
    return data, made


def first_images(problem: str, source: DataSource, device: str) -> Tensor:
    """The evenly spread training images on which the training loss is reported, (N, C, H, W)."""
    (batch,) = resident(problem, source, device)[0].train_sample.chunks(10_000)
    return batch[0]


def fresh_model(problem: str, seed: int, device: str) -> nn.Module:
    """The network as a training with this seed starts it, in evaluation mode."""
    import torch

    from optbench import selection
    from optbench.problem.registry import make_problem
    from optbench.training.seeds import derive

    chosen = selection.parse(problem)[0]
    torch.manual_seed(derive(seed, "initial weights"))
    return make_problem(chosen.name, dict(chosen.parameters)).model().to(device).eval()


@contextmanager
def seen(modules: dict[str, nn.Module]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """A context in which the input and output of each module's last pass are kept, by name."""
    kept: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            kept[name] = given[0].detach(), output.detach()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def gains(model: nn.Module, images: Tensor) -> pd.DataFrame:
    """What every layer with weights makes of its input: layer fan_in deviation gain expected.

    `deviation` is the root mean square of its outputs over examples, channels and places, `gain` that over
    the root mean square of its inputs. `expected` is the gain of independent weights with the mean square that
    these have, and biases likewise: √(fan-in · E w² + E b² / E x²), as in He et al. (2015), equation 7.
    """
    import torch
    from torch import nn

    layers: dict[str, nn.Module] = {
        name: m for name, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))
    }
    with torch.no_grad(), seen(layers) as kept:
        model(images)
    rows = []
    for place, (name, layer) in enumerate(layers.items(), 1):
        given, output = (values.double() for values in kept[name])
        square = given.square().mean().item()
        parameters = {key: value.detach().double() for key, value in layer.named_parameters()}
        weights = parameters["weight"]
        biases = parameters["bias"].square().mean().item() if "bias" in parameters else 0.0
        fan_in = weights[0].numel()
        expected = math.sqrt(fan_in * weights.square().mean().item() + biases / square)
        deviation = output.square().mean().sqrt().item()
        rows.append({
            "layer": place, "name": name, "fan_in": fan_in, "deviation": deviation,
            "gain": deviation / math.sqrt(square), "expected": expected,
        })  # fmt: skip
    return pd.DataFrame(rows)
