"""Matrix factorisation: the matrix, its entries, the loss against loops, and sparse gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from optbench.conformance.subject import make_trainable, take_steps
from optbench.errors import UserError
from optbench.problem.data import Batch, Data, DataSource
from optbench.problem.registry import make_problem
from optbench.problems.matrix_factorisation import MatrixFactorisation

NOWHERE = DataSource(Path("/nonexistent"), download=False)
VARIANTS = [MatrixFactorisation(), MatrixFactorisation(rows=9, columns=30, rank=2, condition=1.0, observed=0.5, skew=0)]


def entries(data: Data) -> dict[tuple[int, int], float]:
    """All that the splits have, by place."""
    found = {}
    for i, j, values in (data.train, data.valid, data.test):
        found |= dict(zip(zip(i.tolist(), j.tolist(), strict=True), values.tolist(), strict=True))
    return found


@pytest.mark.parametrize("problem", VARIANTS, ids=str)
def test_without_noise_the_entries_are_those_of_a_matrix_of_the_rank(problem: MatrixFactorisation) -> None:
    clean = MatrixFactorisation(**{**vars(problem), "noise": 0.0})
    found = entries(clean.load_data(NOWHERE))
    matrix = np.full((problem.rows, problem.columns), np.nan)
    for place, value in found.items():
        matrix[place] = value
    # Nothing is left out, but for one entry where the rest is odd.
    missing = np.isnan(matrix).sum()
    assert missing == (problem.rows * problem.columns - problem.training_examples()) % 2
    matrix[np.isnan(matrix)] = 0.0
    singular = np.linalg.svd(matrix, compute_uv=False)
    if not missing:
        assert singular[problem.rank :].max() < 1e-5 * singular[0]
        spaced = np.geomspace(problem.condition, 1, problem.rank)
        assert singular[: problem.rank] / singular[problem.rank - 1] == pytest.approx(spaced, rel=1e-5)
        assert np.square(matrix).mean() == pytest.approx(1, rel=1e-6)


def test_noise_has_the_deviation_asked_for() -> None:
    clean, noisy = (entries(MatrixFactorisation(noise=noise).load_data(NOWHERE)) for noise in (0.0, 0.4))
    assert clean.keys() == noisy.keys()
    assert np.std([noisy[place] - clean[place] for place in clean]) == pytest.approx(0.4, rel=0.05)


@pytest.mark.parametrize("problem", VARIANTS, ids=str)
def test_no_entry_is_in_two_splits(problem: MatrixFactorisation) -> None:
    data = problem.load_data(NOWHERE)
    sizes = [len(split[0]) for split in (data.train, data.valid, data.test)]
    assert sizes[0] == problem.training_examples() == round(problem.observed * problem.rows * problem.columns)
    assert sizes[1] == sizes[2]
    assert len(entries(data)) == sum(sizes)


def test_held_out_entries_are_limited_and_drawn_evenly() -> None:
    data = MatrixFactorisation(rows=400, columns=300, observed=0.1, skew=0.0).load_data(NOWHERE)
    assert len(data.valid[0]) == len(data.test[0]) == 10_000
    counts = np.bincount(data.valid[0].numpy(), minlength=400)
    assert counts[:200].sum() == pytest.approx(5000, abs=5 * math.sqrt(2500))


def test_rows_are_as_frequent_as_the_skew_says() -> None:
    """Where few of the entries are drawn, each is nearly in proportion to its frequency."""
    even, skewed = (
        np.bincount(MatrixFactorisation(rows=500, columns=500, observed=0.05, skew=skew).load_data(NOWHERE).train[0],
                    minlength=500) for skew in (0.0, 0.5)
    )  # fmt: skip
    assert even[:250].sum() / even.sum() == pytest.approx(0.5, abs=0.03)
    share = (np.arange(1, 251) ** -0.5).sum() / (np.arange(1, 501) ** -0.5).sum()
    assert skewed[:250].sum() / skewed.sum() == pytest.approx(share, abs=0.03)


def test_loss_and_gradient_are_what_a_loop_finds() -> None:
    problem, random = MatrixFactorisation(rows=7, columns=6, rank=3, observed=0.6), np.random.default_rng(0)
    model = problem.model().double()
    u, v = random.normal(size=(7, 3)), random.normal(size=(6, 3))
    model.of_rows.weight.data, model.of_columns.weight.data = torch.from_numpy(u), torch.from_numpy(v)
    i, j, values = random.integers(7, size=11), random.integers(6, size=11), random.normal(size=11)
    batch: Batch = tuple(torch.from_numpy(part) for part in (i, j, values))
    loss = problem.loss(model, batch)
    loss.backward()
    of_u, of_v, expected = np.zeros_like(u), np.zeros_like(v), 0.0
    for row, column, value in zip(i, j, values, strict=True):
        away = u[row] @ v[column] - value
        expected += away**2 / 11
        of_u[row] += 2 * away * v[column] / 11
        of_v[column] += 2 * away * u[row] / 11
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert model.of_rows.weight.grad.numpy() == pytest.approx(of_u, rel=1e-12)
    assert model.of_columns.weight.grad.numpy() == pytest.approx(of_v, rel=1e-12)
    with torch.no_grad():
        assert [value.item() for value in problem.evaluate(model, batch)] == [loss.item()] * 2


def after(problem: str, optimizer: str, values: Mapping[str, object]) -> list[torch.Tensor]:
    found = make_trainable(problem, optimizer, source=NOWHERE)
    return take_steps(found.stepper(hyperparameters=values), 30)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_sparse_gradients_lead_the_same_way(optimizer: str) -> None:
    for dense, sparse in zip(
        *(after(f"matrix_factorisation[sparse={word}]", optimizer, {"lr": 0.1}) for word in ("false", "true")),
        strict=True,
    ):
        assert torch.allclose(dense, sparse, rtol=1e-4, atol=1e-6)


def test_sparse_adam_applies_and_moves_only_what_a_batch_has() -> None:
    found = make_trainable("matrix_factorisation[sparse=true]", "sparse_adam", source=NOWHERE)
    stepper = found.stepper(hyperparameters={"lr": 0.1})
    before = stepper.model.of_rows.weight.detach().clone()
    stepper.step()
    moved = (stepper.model.of_rows.weight != before).any(1)
    assert 1 <= moved.sum() <= found.cell.batch_size < found.problem.rows  # type: ignore[attr-defined]
    assert not MatrixFactorisation(sparse=True).stacks("cuda", 10)


def test_replicas_are_chosen_where_they_gain() -> None:
    assert MatrixFactorisation().stacks("cpu", 100)
    assert not MatrixFactorisation(rows=5000, columns=5000).stacks("cpu", 10)
    assert not MatrixFactorisation().stacks("cpu", 2000)
    assert MatrixFactorisation().stacks("cuda", 2000)


def test_alternating_least_squares_reaches_the_target() -> None:
    """An independent method finds that the data determine the matrix, to not much more than the noise."""
    problem = MatrixFactorisation()
    data = problem.load_data(NOWHERE)
    i, j, values = (part.numpy() for part in data.train)
    random = np.random.default_rng(0)
    u, v = random.normal(size=(problem.rows, problem.rank)), random.normal(size=(problem.columns, problem.rank))
    for _ in range(60):
        for table, own, other, index in ((u, i, v, j), (v, j, u, i)):
            for place in range(len(table)):
                rows = other[index[own == place]]
                ridge = rows.T @ rows + 0.05 * np.eye(problem.rank)
                table[place] = np.linalg.solve(ridge, rows.T @ values[own == place])
    i, j, values = (part.numpy() for part in data.valid)
    found = np.square((u[i] * v[j]).sum(axis=1) - values).mean()
    assert problem.target is not None
    assert problem.noise**2 < found < problem.target


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"rows": 1}, r"\[rows\] = 1 .*accepted: 2 to 10000"),
        ({"columns": 20_000}, r"\[columns\] = 20000 .*accepted: 2 to 10000"),
        ({"rank": 81}, r"\[rank\] = 81 .*accepted: 1 to 80"),
        ({"condition": 0.5}, r"\[condition\] = 0.5 .*accepted"),
        ({"noise": math.nan}, r"\[noise\] = nan .*accepted"),
        ({"observed": 0.0}, r"\[observed\] = 0.0 .*accepted"),
        ({"observed": 0.9999}, r"\[observed\] = 0.9999 .*accepted"),
        ({"observed": 1e-5}, r"\[observed\] = 1e-05 .*accepted"),
        ({"skew": -1.0}, r"\[skew\] = -1.0 .*accepted: 0 to 2"),
    ],
)
def test_values_that_make_no_sense_are_refused_in_one_line(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match="^matrix_factorisation" + complaint) as caught:
        make_problem("matrix_factorisation", parameters)
    assert len(str(caught.value).splitlines()) == 1
