"""Ranges, lists of values, and conditions under which they have a meaning."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.errors import UserError
from optbench.optimizers.search_space import (
    Choices,
    Range,
    active_hyperparameters,
    check_conditions,
    make_condition,
    search_identity,
)

WHOLE = Range(1, 9, log=False, whole=True)
SPACE = {
    "shape": Choices(("flat", "cosine")),
    "nesterov": Choices((True, False)),
    "warmup": Range(0, 0.2, log=False, when=make_condition({"shape": "cosine"})),
    "floor": Range(1e-3, 1, when=make_condition({"shape": "cosine", "nesterov": [True]})),
    "below": Range(1, 2, when=make_condition({"floor": [1e-3], "warmup": [0.1]})),
}


@given(st.floats(0, 1), st.booleans())
def test_at_is_the_inverse_of_position(share: float, log: bool) -> None:
    found = Range(1e-3, 1e2, log)
    assert found.position(found.at(share)) == pytest.approx(share, abs=1e-9)


@given(st.floats(0, 1))
def test_whole_numbers_stay_within(share: float) -> None:
    assert WHOLE.at(share) == int(WHOLE.at(share))
    assert WHOLE.contains(WHOLE.at(share))


ZERO = Range(1e-4, 1.0, zero=True)


@given(st.floats(0, 1), st.booleans())
def test_zero_has_the_first_quarter_of_the_axis_and_the_range_has_the_rest(share: float, log: bool) -> None:
    found = Range(1e-4, 1.0, log, zero=True)
    value = found.at(share)
    assert found.contains(value)
    if share <= 0.25:
        assert value == 0
        assert found.position(value) == 0.125
    else:
        assert value == pytest.approx(Range(1e-4, 1.0, log).at((share - 0.25) / 0.75))
        assert found.position(value) == pytest.approx(share, abs=1e-9)


def test_zero_beside_a_range_of_whole_numbers() -> None:
    found = Range(10, 1000, whole=True, zero=True)
    values = [found.at(share / 100) for share in range(101)]
    assert all(isinstance(value, int) and found.contains(value) for value in values)
    assert {0, 1000} < set(values)
    assert not found.contains(5)


def test_a_grid_has_zero_once() -> None:
    assert [ZERO.at(share) for share in ZERO.grid(4)] == pytest.approx([0.0, 10 ** (-10 / 3), 1e-2, 10 ** (-2 / 3)])
    assert ZERO.at(ZERO.grid(1)[0]) > 0
    assert [Range(1e-4, 1.0).at(share) for share in Range(1e-4, 1.0).grid(2)] == pytest.approx([1e-3, 1e-1])


def test_what_a_range_says_of_zero() -> None:
    assert str(ZERO) == "0 or 0.0001 to 1"
    assert ZERO.bounds == [0, 1e-4, 1.0]
    assert search_identity(ZERO)["zero"] is True
    for low in (0.0, -1.0):
        with pytest.raises(UserError, match=r"log scale; zero = true tries 0 in addition to such a range"):
            Range(low, 1.0)
        with pytest.raises(UserError, match=r"0 < low < high with zero = true"):
            Range(low, 1.0, log=False, zero=True)
    with pytest.raises(UserError) as caught:
        Range(2.0, 1.0)
    assert "zero" not in str(caught.value)


def test_choices_share_the_line_evenly() -> None:
    found = Choices(("a", "b", "c"))
    assert [found.at(share) for share in (0.0, 0.33, 0.34, 0.66, 0.67, 1.0)] == ["a", "a", "b", "b", "c", "c"]
    assert all(found.at(found.position(value)) == value for value in found.values)
    assert found.bounds == ["a", "b", "c"]


@pytest.mark.parametrize("values", [(), ("a",), ("a", "a")])
def test_a_list_has_different_values(values: tuple[Any, ...]) -> None:
    with pytest.raises(UserError, match="at least two values, all different"):
        Choices(values)


def test_extending_keeps_scale_and_condition() -> None:
    found = Range(1e-3, 1, when=make_condition({"shape": "cosine"})).extended("low")
    assert (found.low, found.high, found.log) == (pytest.approx(1e-4), 1, True)
    assert found.when == (("shape", ("cosine",)),)


def test_what_is_active_by_a_plain_recursion() -> None:
    """Over all combinations: a hyperparameter is active if all that its condition names have the value and are so."""

    def on(name: str, values: dict[str, Any]) -> bool:
        return all(values[key] in of and on(key, values) for key, of in SPACE[name].when)

    for shape, nesterov, warmup, floor in product(("flat", "cosine"), (True, False), (0.1, 0.2), (1e-3, 1.0)):
        values = {"shape": shape, "nesterov": nesterov, "warmup": warmup, "floor": floor, "below": 1.5}
        assert active_hyperparameters(SPACE, values) == {name for name in SPACE if on(name, values)}


def test_conditions_that_make_no_sense() -> None:
    check_conditions("mine", SPACE, SPACE)
    with pytest.raises(UserError, match=r"in a condition of mine\.warmup 'shapes'; did you mean 'shape'\?"):
        check_conditions("mine", {"warmup": Range(1, 2, when=make_condition({"shapes": 1}))}, ["shape"])
    circle = {"a": Range(1, 2, when=make_condition({"b": 1})), "b": Range(1, 2, when=make_condition({"a": 1}))}
    with pytest.raises(UserError, match=r"the condition of mine\.a depends on itself"):
        check_conditions("mine", circle, circle)


def test_a_range_without_condition_is_in_identities_as_it_always_was() -> None:
    assert search_identity(Range(1, 2)) == {"low": 1, "high": 2, "log": True, "whole": False}
    assert search_identity(SPACE["warmup"])["when"] == (("shape", ("cosine",)),)


def test_as_text() -> None:
    assert str(SPACE["warmup"]) == "0 to 0.2 linear where shape is cosine"
    assert str(SPACE["shape"]) == "flat or cosine"
    assert math.isclose(Range(1e-5, 1e-1).at(0.5), 1e-3)


NEAR_ONE = Range(0.5, 0.999, log=False, complement=True)


@given(st.floats(0, 1))
def test_a_range_near_one_is_logarithmic_in_the_distance_from_one(share: float) -> None:
    value = NEAR_ONE.at(share)
    assert NEAR_ONE.contains(value)
    assert math.log10(1 - value) == pytest.approx(math.log10(0.5) + share * (math.log10(0.001) - math.log10(0.5)))
    assert NEAR_ONE.position(value) == pytest.approx(share, abs=1e-9)


def test_a_range_near_one_may_begin_at_zero_and_ends_below_one() -> None:
    assert Range(0.0, 0.99, log=False, complement=True).at(0.5) == pytest.approx(0.9)
    assert str(NEAR_ONE) == "0.5 to 0.999 in 1 − value"
    assert search_identity(NEAR_ONE)["complement"] is True
    for low, high, more in ((0.5, 1.0, {}), (0.9, 0.5, {}), (0.5, 0.9, {"zero": True}), (0.5, 0.9, {"log": True})):
        with pytest.raises(UserError, match="low < high < 1"):
            Range(low, high, **{"log": False, "complement": True, **more})  # type: ignore[arg-type]
