"""Helpers for experiments on activations: single forward passes through the network of a problem."""

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
    """The data of a problem on a device, in the form that trainings use, and the problem."""
    from optbench.config.schema import Config
    from optbench.planning.matrix import make_plan
    from optbench.training.device_data import load

    (cell,) = make_plan(Config(problems=(problem,), optimizers=("sgd",), batch_sizes=(1,), devices=(device,))).cells
    instance, data = load(cell.problem, source, device)
    return data, instance


def first_images(problem: str, source: DataSource, device: str) -> Tensor:
    """The evenly spaced training images on which the training loss is measured, of shape (N, C, H, W)."""
    (batch,) = resident(problem, source, device)[0].train_sample.chunks(10_000)
    return batch[0]


def fresh_model(problem: str, seed: int, device: str) -> nn.Module:
    """The network with the initial weights of a training with this seed, in evaluation mode."""
    import torch

    from optbench import selection
    from optbench.problem.registry import make_problem
    from optbench.training.seeds import derive

    chosen = selection.parse(problem)[0]
    torch.manual_seed(derive(seed, "initial weights"))
    return make_problem(chosen.name, dict(chosen.parameters)).model().to(device).eval()


@contextmanager
def record_activations(modules: dict[str, nn.Module]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """A context that records the input and output of the last pass through each module, by name."""
    kept: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            kept[name] = inputs[0].detach(), output.detach()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def gains(model: nn.Module, images: Tensor) -> pd.DataFrame:
    """How each layer with weights scales its input: layer name fan_in deviation gain expected.

    `deviation` is the root mean square of its outputs over examples, channels and positions. `gain` is `deviation`
    divided by the root mean square of its inputs. `expected` is the gain of independent weights and biases with the
    same mean squares: √(fan-in · E w² + E b² / E x²), as in He et al. (2015), equation 7.
    """
    import torch
    from torch import nn

    layers: dict[str, nn.Module] = {
        name: m for name, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))
    }
    with torch.no_grad(), record_activations(layers) as kept:
        model(images)
    rows = []
    for place, (name, layer) in enumerate(layers.items(), 1):
        inputs, output = (values.double() for values in kept[name])
        square = inputs.square().mean().item()
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
