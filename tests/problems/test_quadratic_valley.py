"""The valley against its closed form, computed with NumPy."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from optbench.errors import UserError
from optbench.problem.data import DataSource
from optbench.problem.registry import make_problem
from optbench.problems.quadratic_valley import QuadraticValley

NOWHERE = DataSource(Path("/nonexistent"), download=False)
VARIANTS = [
    QuadraticValley(),
    QuadraticValley(rotated=True),
    QuadraticValley(dim=7, condition=1e4, examples=123, noise=2.5, rotated=True),
    QuadraticValley(dim=20, condition=10.0, noise=0.0),
]


def points_of(problem: QuadraticValley) -> np.ndarray:
    return problem.load_data(NOWHERE).train[0].numpy()


def hessian_of(problem: QuadraticValley) -> np.ndarray:
    """From the outside: second differences of the loss, which are exact for a quadratic."""
    points = problem.batch(np.zeros((1, problem.dim)))
    model = problem.model()

    def value(w: np.ndarray) -> float:
        with torch.no_grad():
            model.position.copy_(torch.from_numpy(w))
            return float(problem.loss(model, points))

    eye = np.eye(problem.dim)
    single = [value(row) for row in eye]
    return np.array(
        [
            [2 * single[i] if i == j else value(eye[i] + eye[j]) - single[i] - single[j] for j in range(problem.dim)]
            for i in range(problem.dim)
        ]
    )


def at(problem: QuadraticValley, position: np.ndarray) -> torch.nn.Module:
    model = problem.model()
    with torch.no_grad():
        model.position.copy_(torch.from_numpy(position))
    return model


@pytest.mark.parametrize("problem", VARIANTS, ids=str)
def test_the_hessian_has_the_promised_eigenvalues(problem: QuadraticValley) -> None:
    found = np.linalg.eigvalsh(hessian_of(problem))
    steps = np.diff(np.log(found))
    assert found[0] == pytest.approx(1.0, rel=1e-9)
    assert found[-1] == pytest.approx(problem.condition, rel=1e-12)
    assert problem.curvature == problem.condition
    assert steps == pytest.approx(np.full(problem.dim - 1, steps[0]), rel=1e-6)


def test_rotation_turns_the_axes_and_is_the_same_every_time() -> None:
    first, second = (hessian_of(QuadraticValley(dim=5, rotated=True)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.abs(first - np.diag(np.diag(first))).max() > 1.0
    straight = hessian_of(QuadraticValley(dim=5))
    assert straight == pytest.approx(np.diag(np.diag(straight)), abs=1e-12)


@pytest.mark.parametrize("problem", VARIANTS, ids=str)
def test_loss_and_gradient_follow_the_closed_form(problem: QuadraticValley) -> None:
    random = np.random.default_rng(0)
    points, hessian = points_of(problem), hessian_of(problem)
    position = random.normal(size=problem.dim)
    batch = random.choice(points, size=17)
    model = at(problem, position)
    loss = problem.loss(model, problem.batch(batch))
    loss.backward()
    expected = np.mean([0.5 * (position - xi) @ hessian @ (position - xi) for xi in batch])
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    assert model.position.grad.numpy() == pytest.approx(
        hessian @ (position - batch.mean(axis=0)), rel=1e-9, abs=1e-9 * problem.condition
    )


@pytest.mark.parametrize("problem", VARIANTS, ids=str)
def test_zero_is_the_minimum_and_the_metric_is_the_excess_over_it(problem: QuadraticValley) -> None:
    points, hessian = points_of(problem), hessian_of(problem)
    lowest = 0.5 * np.mean([xi @ hessian @ xi for xi in points])
    everything = problem.batch(points)
    with torch.no_grad():
        assert np.abs(hessian @ points.mean(axis=0)).max() < 1e-13 * problem.condition
        assert float(problem.loss(at(problem, np.zeros(problem.dim)), everything)) == pytest.approx(lowest, rel=1e-12)
        random = np.random.default_rng(0)
        for scale in (1.0, 1e-3):
            model = at(problem, scale * random.normal(size=problem.dim))
            excess = float(problem.loss(model, everything)) - lowest
            assert float(problem.metric(model, everything)) == pytest.approx(excess, rel=1e-6, abs=1e-12 * (1 + lowest))
        # Where a difference of losses would be rounding alone, the metric is exact and no less than 0.
        tiny = at(problem, np.full(problem.dim, 1e-12))
        assert 0 < float(problem.metric(tiny, everything)) < 1e-20 * problem.condition * problem.dim


def test_points_have_the_noise_asked_for_and_none_means_none() -> None:
    assert points_of(QuadraticValley(noise=3.0, examples=20_000)).std() == pytest.approx(3.0, rel=0.02)
    assert not points_of(QuadraticValley(noise=0.0)).any()
    assert np.array_equal(points_of(QuadraticValley()), points_of(QuadraticValley()))


def test_all_splits_are_the_training_objective() -> None:
    data = QuadraticValley(examples=50).load_data(NOWHERE)
    assert len(data.train[0]) == QuadraticValley(examples=50).training_examples() == 50
    assert torch.equal(data.train[0], data.valid[0])
    assert torch.equal(data.train[0], data.test[0])


@pytest.mark.parametrize("problem", VARIANTS, ids=str)
def test_the_start_is_fixed_and_away_from_the_minimum_in_every_eigendirection(problem: QuadraticValley) -> None:
    torch.manual_seed(1)
    start = problem.model().position.detach().numpy()
    assert np.array_equal(start, QuadraticValley(**vars(problem)).model().position.detach().numpy())
    _, vectors = np.linalg.eigh(hessian_of(problem))
    assert np.abs(vectors.T @ start).min() > 0.9
    assert problem.target == pytest.approx(1e-3 * 0.5 * start @ hessian_of(problem) @ start, rel=1e-9)


def test_full_batch_gradient_descent_converges_below_two_over_the_curvature_and_not_above() -> None:
    problem = QuadraticValley(rotated=True)
    data = problem.load_data(NOWHERE).train
    for factor, converges in ((1.9, True), (2.1, False)):
        model = problem.model()
        optimizer = torch.optim.SGD(model.parameters(), lr=factor / problem.curvature)
        before = problem.metric(model, data).item()
        for _ in range(300):
            optimizer.zero_grad()
            problem.loss(model, data).backward()
            optimizer.step()
        assert (problem.metric(model, data).item() < 0.01 * before) == converges


def test_the_plane_shows_start_and_minimum() -> None:
    for problem in (QuadraticValley(), QuadraticValley(rotated=True)):
        plane = problem.plane
        assert plane is not None
        assert plane.minimum == (0.0, 0.0)
        assert plane.start == pytest.approx(problem.model().position.tolist(), abs=0)
        for value, (low, high) in zip(plane.start, plane.domain, strict=True):
            assert low < min(0, value) <= max(0, value) < high
    assert QuadraticValley(dim=3).plane is None


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("dim", 1), ("dim", 5000), ("condition", 0.5), ("condition", math.inf), ("condition", math.nan),
        ("examples", 0), ("noise", -1.0), ("noise", math.nan),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused_in_one_line(parameter: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"^quadratic_valley\[{parameter}\] = .*accepted: [^\n]*$"):
        make_problem("quadratic_valley", {parameter: value})


@pytest.mark.processes
def test_planning_needs_no_torch() -> None:
    code = (
        "import sys; from optbench.problem.registry import make_problem\n"
        "p = make_problem('quadratic_valley', {'dim': 3}); p.training_examples(); p.identity(); p.display()\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sum_is_the_mean_times_the_batch_and_is_reported_as_the_mean() -> None:
    mean, total = QuadraticValley(dim=3), QuadraticValley(dim=3, reduction="sum")
    batch = tuple(part[:17] for part in mean.load_data(NOWHERE).train)
    model = mean.model()
    assert float(total.loss(model, batch)) == pytest.approx(17 * float(mean.loss(model, batch)), rel=1e-14)
    assert torch.equal(total.evaluate(model, batch)[0], mean.evaluate(model, batch)[0])
    stacked = {"position": torch.stack([model.position.detach(), model.position.detach() / 3])}
    batches = tuple(torch.stack([part, part]) for part in batch)
    assert torch.allclose(total.stacked_loss(model, stacked, batches), 17 * mean.stacked_loss(model, stacked, batches))


def test_copies_are_the_same_points_again() -> None:
    once, thrice = QuadraticValley(examples=20), QuadraticValley(examples=20, copies=3)
    assert thrice.training_examples() == 60
    points = once.load_data(NOWHERE).train
    for found, part in zip(thrice.load_data(NOWHERE).train, points, strict=True):
        assert torch.equal(found, torch.cat([part] * 3))


def test_what_is_left_at_its_default_leaves_the_identity_as_it_was() -> None:
    plain = {"dim": 2, "condition": 100.0, "examples": 1000, "noise": 0.1, "rotated": False}
    assert QuadraticValley().identity() == plain
    changed = QuadraticValley(reduction="sum", copies=2, order="sequential")
    assert changed.identity() == {**plain, "reduction": "sum", "copies": 2, "order": "sequential"}


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"reduction": "summ"}, r"unknown reduction of quadratic_valley 'summ'; did you mean 'sum'\?"),
        ({"copies": 0}, r"quadratic_valley\[copies\] = 0 is out of range"),
        ({"order": "sequentiel"}, "unknown order of quadratic_valley 'sequentiel'; did you mean 'sequential'"),
    ],
)
def test_new_parameters_are_checked(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        make_problem("quadratic_valley", parameters)
