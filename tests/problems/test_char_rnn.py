"""The recurrent network against loops in NumPy, its second derivatives, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from optbench.errors import UserError
from optbench.problem.data import DataSource
from optbench.problems.char_rnn import CharRnn

NOWHERE = DataSource(Path("/nonexistent"), download=False)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def states(cell: str, recurrent: nn.RNNBase, inputs: np.ndarray, layer: int) -> np.ndarray:
    """The states of a layer over time for inputs (T, width): Hochreiter and Schmidhuber (1997), Cho et al. (2014)."""
    parameters = [getattr(recurrent, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    w, u, b, c = (parameter.detach().numpy() for parameter in parameters)
    n = u.shape[1]
    h, memory, found = np.zeros(n), np.zeros(n), []
    for x in inputs:
        own, fed = w @ x + b, u @ h + c
        if cell == "rnn":
            h = np.tanh(own + fed)
        elif cell == "gru":
            reset, update = sigmoid((own + fed)[:n]), sigmoid((own + fed)[n : 2 * n])
            new = np.tanh(own[2 * n :] + reset * fed[2 * n :])
            h = (1 - update) * new + update * h
        else:
            enter, forget, new, leave = np.split(own + fed, 4)
            memory = sigmoid(forget) * memory + sigmoid(enter) * np.tanh(new)
            h = sigmoid(leave) * np.tanh(memory)
        found.append(h)
    return np.array(found)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_scores_are_what_loops_find(cell: str) -> None:
    problem = CharRnn(cell=cell, hidden=6, layers=2)
    model = problem.model().double()
    tokens = torch.randint(problem.alphabet, (3, 9))
    scores = model(tokens).detach().numpy()
    assert scores.shape == (3, 9, problem.alphabet)
    weight, bias = (parameter.detach().numpy() for parameter in model.scores.parameters())
    for row, found in zip(tokens, scores, strict=True):
        values = model.embedding.weight.detach().numpy()[row]
        for layer in range(2):
            values = states(cell, model.recurrent, values, layer)
        np.testing.assert_allclose(found, values @ weight.T + bias, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_gradients_can_be_differentiated(cell: str) -> None:
    """As second-order methods do: the change of the gradient along a direction, by differences of gradients."""
    problem = CharRnn(cell=cell, length=5, hidden=4)
    model = problem.model().double()
    parameters = list(model.parameters())
    batch = tuple(part[:4] for part in problem.load_data(NOWHERE).train)
    direction = [torch.randn_like(p) for p in parameters]

    def gradient(create_graph: bool = False) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(problem.loss(model, batch), parameters, create_graph=create_graph)

    along = sum((g * d).sum() for g, d in zip(gradient(create_graph=True), direction, strict=True))
    product = torch.autograd.grad(along, parameters)
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(d, alpha=sign * 1e-5)
        ends.append(gradient())
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.sub_(d, alpha=sign * 1e-5)
    for found, above, below in zip(product, *ends, strict=True):
        torch.testing.assert_close(found, (above - below) / 2e-5, rtol=1e-5, atol=1e-8)


def test_it_learns_a_text_that_repeats(tmp_path: Path) -> None:
    """Of three letters each, the first of which says what follows: half a letter a triple is left to guess."""
    random = np.random.RandomState(0)
    (tmp_path / "a.txt").write_text("".join(random.choice(["abc", "xyz"], 800)))
    problem = CharRnn(data=str(tmp_path / "a.txt"), length=12, hidden=16)
    data = problem.load_data(NOWHERE)
    torch.manual_seed(0)
    model = problem.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    for _ in range(60):
        optimizer.zero_grad()
        problem.loss(model, data.train).backward()
        optimizer.step()
    # One bit for each third character.
    assert 1 / 3 - 0.03 < float(problem.metric(model, data.test)) < 1 / 3 + 0.05


@pytest.mark.parametrize(
    ("wrong", "line"),
    [({"cell": "lst"}, "unknown cell of char_rnn 'lst'; did you mean 'lstm'"), ({"hidden": 0}, r"char_rnn\[hidden\]"),
     ({"layers": 0}, r"char_rnn\[layers\]"), ({"length": 1}, r"char_rnn\[length\]")],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(wrong: dict[str, object], line: str) -> None:
    with pytest.raises(UserError, match=line):
        CharRnn(**wrong).check()  # type: ignore[arg-type]
