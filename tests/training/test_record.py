"""How a training is judged by its evaluations."""

import math

import pytest

from optbench.training.evaluation import Evaluation
from optbench.training.record import Point, Training


def trained(losses: dict[int, float]) -> Training:
    points = [Point(index, 10 * index, 100.0 * index, loss, loss, -loss, 1) for index, loss in losses.items()]
    return Training({"lr": 0.1}, 0, points=points)


def test_one_lucky_evaluation_at_the_end_does_not_decide() -> None:
    steady = trained(dict.fromkeys(range(21), 0.055))
    lucky = trained(dict.fromkeys(range(20), 0.07) | {20: 0.05})
    assert lucky.points[-1].valid_loss < steady.points[-1].valid_loss
    assert lucky.late_means(20)[0] > steady.late_means(20)[0]


@pytest.mark.parametrize(
    ("losses", "evaluations", "expected"),
    [
        ({0: 9.0, 15: 8.0, 16: 5.0, 17: 4.0, 18: 3.0, 19: 2.0, 20: 1.0}, 20, 3.0),
        ({0: 9.0, 14: 8.0, 17: 4.0, 20: 1.0}, 20, 2.5),  # a line search passed over the others
        ({0: 9.0, 1: 1.0}, 1, 1.0),
        ({0: 9.0, 1: 8.0, 2: 7.0, 3: 2.0}, 3, 2.0),
        ({0: 9.0, 1: 8.0}, 20, 8.0),  # ended early
        ({0: 9.0}, 20, 9.0),
    ],
)
def test_the_mean_of_the_last_quarter_judges(losses: dict[int, float], evaluations: int, expected: float) -> None:
    assert trained(losses).late_means(evaluations) == (pytest.approx(expected), pytest.approx(-expected))


def test_without_an_evaluation_nothing_is_known() -> None:
    assert all(math.isnan(value) for value in trained({}).late_means(20))


@pytest.mark.parametrize(
    ("initial", "later", "status"),
    [
        (1.0, 9.0, "ok"), (1.0, 11.0, "diverged"), (0.0, 1e-3, "ok"), (1e-6, 1e-4, "ok"), (1e-6, 1.0, "diverged"),
        (-1.0, 9.0, "diverged"),
    ],
)  # fmt: skip
def test_divergence_is_ten_times_the_first_loss_but_for_losses_near_zero(
    initial: float, later: float, status: str
) -> None:
    training = Training({}, 0)
    for index, loss in enumerate([initial, later, later, later]):
        training.add_point(index, index, 0.0, Evaluation(loss, 0.0), Evaluation(loss, 0.0), True, 1)
    assert training.status == status
