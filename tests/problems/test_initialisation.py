"""How weights start: deviations against the papers' formulas, and defaults left as torch draws them."""

import math

import pytest
import torch
from torch import nn

from optbench.problems.initialisation import initialise
from optbench.problems.mnist_cnn import MnistCnn


def expected_deviation(name: str, fan_in: int, fan_out: int) -> float:
    return {
        "default": 1 / math.sqrt(3 * fan_in),  # uniform within ±1/√fan-in
        "normal": 1.0,
        "glorot": math.sqrt(2 / (fan_in + fan_out)),
        "he": math.sqrt(2 / fan_in),
    }[name]


@pytest.mark.parametrize("name", ["default", "normal", "glorot", "he"])
def test_deviations_are_those_of_the_formulas(name: str) -> None:
    model = MnistCnn(init=name).model()
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            weight = layer.weight.detach().double()
            fan_in, fan_out = weight[0].numel(), weight[:, 0].numel()
            expected = expected_deviation(name, fan_in, fan_out)
            # Six standard errors: that of a normal sample's deviation is σ/√(2n), a uniform one's is smaller.
            assert weight.std().item() == pytest.approx(expected, rel=6 / math.sqrt(2 * weight.numel()))
            assert abs(weight.mean().item()) < 6 * expected / math.sqrt(weight.numel())
            if name == "default":
                assert layer.bias.abs().max() <= 1 / math.sqrt(fan_in)
            else:
                assert not layer.bias.any()


def test_glorot_is_uniform_and_the_others_are_not() -> None:
    layer = nn.Linear(300, 500)
    for name, bounded in (("glorot", True), ("he", False), ("normal", False)):
        initialise(layer, name)
        weight = layer.weight.detach()
        assert (weight.abs().max().item() <= math.sqrt(3) * weight.std().item() * 1.02) == bounded


def test_the_default_leaves_weights_and_the_generator_as_they_are() -> None:
    layer = nn.Conv2d(2, 3, 3)
    before, state = [p.clone() for p in layer.parameters()], torch.get_rng_state()
    initialise(layer, "default")
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
