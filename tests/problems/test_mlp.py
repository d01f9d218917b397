"""Fully connected networks on digits: shapes, closed form of the forward pass, and that they learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from optbench.errors import UserError
from optbench.problem.data import DataSource
from optbench.problems.mlp import Mlp

NOWHERE = DataSource(Path("/nonexistent"), download=False)


@pytest.mark.parametrize(("layers", "hidden", "shapes"), [
    (0, 32, [(10, 64)]), (1, 5, [(5, 64), (10, 5)]), (3, 16, [(16, 64), (16, 16), (16, 16), (10, 16)]),
])  # fmt: skip
def test_layers_and_widths(layers: int, hidden: int, shapes: list[tuple[int, int]]) -> None:
    model = Mlp(layers=layers, hidden=hidden).model()
    assert [tuple(p.shape) for p in model.parameters() if p.dim() == 2] == shapes


def test_the_scores_are_what_numpy_finds() -> None:
    model = Mlp(hidden=7).model().double()
    images = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    values = images.numpy().reshape(5, 64)
    parameters = [p.detach().numpy() for p in model.parameters()]
    for place, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        values = values @ weight.T + bias
        values = np.maximum(values, 0) if place < 2 else values
    np.testing.assert_allclose(model(images).detach().numpy(), values, rtol=1e-12, atol=1e-12)


def test_it_learns_digits_in_a_plain_loop() -> None:
    problem = Mlp()
    data = problem.load_data(NOWHERE)
    assert data.train[0].shape[1:] == (1, 8, 8)
    torch.manual_seed(0)
    model = problem.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        problem.loss(model, data.train).backward()
        optimizer.step()
    assert problem.metric(model, data.test) > 0.93


@pytest.mark.parametrize("wrong", [{"hidden": 0}, {"layers": -1}, {"layers": 101}, {"data": "digit"}])
def test_values_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="accepted"):
        Mlp(**wrong).check()  # type: ignore[arg-type]
