"""Initialisation: a layer's gain against a product in double precision, and verdicts both ways."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from torch import nn

from optbench.experiments import initialisation
from optbench.experiments.forward import gains
from optbench.experiments.verdict import FAILS, HOLDS
from tests.support.experiment_tables import SEEDS, noise, verdicts


def test_gains_are_those_of_a_product_in_double_precision() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 50, bias=False)), torch.randn(500, 400)
    found = gains(model, x)
    first = x.double() @ model[0].weight.double().T + model[0].bias.double()
    rms = float(first.detach().square().mean().sqrt())
    assert found["deviation"][0] == pytest.approx(rms, rel=1e-4)
    assert found["gain"][0] == pytest.approx(rms / float(x.square().mean().sqrt()), rel=1e-4)
    assert found["expected"][0] == pytest.approx(1 / math.sqrt(3), rel=0.05)  # uniform within ±1/√fan-in
    assert list(found["fan_in"]) == [400, 300]


def initial(normal_gain: float, normal_loss: float) -> dict[str, pd.DataFrame]:
    layers, losses = [], []
    for init, gain, loss in (("default", 1.0, 0.5), ("normal", normal_gain, normal_loss)):
        for seed in SEEDS:
            for layer, fan_in in ((1, 25), (2, 800)):
                size = (gain if layer == 2 else 1.0) * noise()
                layers.append(
                    {"init": init, "seed": seed, "layer": layer, "fan_in": fan_in, "gain": size, "expected": 1.0}
                )
            status = "ok" if math.isfinite(loss) else "diverged"
            for step, value in ((0, 9.0 * noise()), (1, loss * noise())):
                losses.append({"init": init, "seed": seed, "step": step, "train_loss": value, "status": status})
    return {"layers": pd.DataFrame(layers), "losses": pd.DataFrame(losses)}


def test_initialisation_follows_the_data() -> None:
    assert verdicts(initialisation.evaluate(initial(5.6, 2.0)))[1:] == [HOLDS] * 3
    assert verdicts(initialisation.evaluate(initial(1.1, 0.1)))[1:] == [HOLDS, FAILS, FAILS]
    last = initialisation.evaluate(initial(5.6, math.nan))[-1]  # diverged: as bad as it was at the start
    assert last.measured == pytest.approx(18, rel=0.1)
