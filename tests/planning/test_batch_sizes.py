"""What was asked for is refused where it doesn't fit, and a problem's own sizes give way, which is said."""

from __future__ import annotations

import pytest

from optbench.budget import Budget, parse_budget
from optbench.errors import UserError
from optbench.planning.batch_sizes import choose_batch_sizes

EPOCH = Budget(1.0, "epochs")


def test_what_is_asked_for_goes_before_what_the_problem_says() -> None:
    assert choose_batch_sizes("a", 56, EPOCH, (20, 56), (1, 100)) == ((20, 56), [])
    assert choose_batch_sizes("a", 100, EPOCH, (), (100, 20)) == ([100, 20], [])


@pytest.mark.parametrize("size", [-1, 0, 57, 100])
def test_what_is_asked_for_and_does_not_fit_is_refused(size: int) -> None:
    with pytest.raises(UserError) as caught:
        choose_batch_sizes("a", 56, EPOCH, (20, size), (20,))
    assert str(caught.value) == f"batch size of a = {size} is out of range (accepted: 1 to its 56 training examples)"


@pytest.mark.parametrize(
    ("own", "fitting", "note"),
    [
        ((20, 100), [20], "batch size 100 of a is left out: there are 56 training examples"),
        ((57, 56, 1000), [56], "batch sizes 57, 1000 of a are left out: there are 56 training examples"),
    ],
)
def test_own_sizes_that_are_too_large_are_left_out_with_a_note(
    own: tuple[int, ...], fitting: list[int], note: str
) -> None:
    assert choose_batch_sizes("a", 56, EPOCH, (), own) == (fitting, [note])


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ((), "problem a has no batch sizes (accepted: at least one, in the problem or by --batch-size)"),
        ((32, 128), "no batch size of a fits its 12 training examples: the problem has 32, 128 (accepted: 1 to 12, "
                    "in the problem or by --batch-size)"),
    ],
)  # fmt: skip
def test_a_problem_at_none_of_whose_sizes_it_can_be_run_is_refused(own: tuple[int, ...], line: str) -> None:
    with pytest.raises(UserError) as caught:
        choose_batch_sizes("a", 12, EPOCH, (), own)
    assert str(caught.value) == line


def test_own_sizes_of_which_the_budget_buys_no_step_are_left_out_with_a_note() -> None:
    found = choose_batch_sizes("a", 500, parse_budget("60examples"), (), (10, 100, 200, 1000))
    assert found == ([10], [
        "batch size 1000 of a is left out: there are 500 training examples",
        "batch sizes 100, 200 of a are left out: the run budget is 60examples",
    ])  # fmt: skip
    assert choose_batch_sizes("a", 500, parse_budget("1seconds"), (), (10, 100)) == ([10, 100], [])


@pytest.mark.parametrize(("asked", "size"), [((), 10), ((20,), 20)])
def test_a_budget_that_buys_no_step_at_all_is_refused(asked: tuple[int, ...], size: int) -> None:
    with pytest.raises(UserError, match=f"^run budget 5examples of a is less than one step of batch size {size} "):
        choose_batch_sizes("a", 56, parse_budget("5examples"), asked, (20, 10))
