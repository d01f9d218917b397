"""Schedules against their formulas, and their bad names and parameters."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.errors import UserError
from optbench.optimizers.schedule import NAMES, parse_schedule

progress = st.floats(0, 1)


@given(progress)
def test_shapes(at: float) -> None:
    assert parse_schedule("constant")(at) == 1
    assert parse_schedule("linear")(at) == pytest.approx(1 - at, abs=1e-15)
    assert parse_schedule("cosine")(at) == pytest.approx((1 + math.cos(math.pi * at)) / 2, abs=1e-15)


@given(at=progress, warmup=st.floats(0.01, 0.99), name=st.sampled_from(NAMES))
def test_warmup_rises_linearly_and_then_squeezes_the_shape(at: float, warmup: float, name: str) -> None:
    factor = parse_schedule(f"{name}[warmup={warmup}]")(at)
    if at < warmup:
        assert factor == pytest.approx(at / warmup)
    else:
        assert factor == pytest.approx(parse_schedule(name)((at - warmup) / (1 - warmup)), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_factors_start_at_one_and_end_where_they_should(name: str) -> None:
    assert parse_schedule(name)(0) == 1
    assert parse_schedule(f"{name}[warmup=0.1]")(0.1) == 1
    assert parse_schedule(f"{name}[warmup=0.1]")(0) == 0
    assert parse_schedule(name)(1) == pytest.approx({"constant": 1, "step": 0.01}.get(name, 0), abs=1e-15)


@given(at=progress, factor=st.floats(0.01, 1), places=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4))
def test_steps_multiply_at_each_place(at: float, factor: float, places: list[float]) -> None:
    found = parse_schedule(f"step[at=({','.join(map(repr, places))}),factor={factor!r}]")(at)
    expected = 1.0
    for place in places:
        if at >= place:
            expected *= factor
    assert found == pytest.approx(expected)
    assert parse_schedule("step[at=0.25]")(at) == (0.1 if at >= 0.25 else 1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cosin", "unknown schedule 'cosin'; did you mean 'cosine'? (accepted: constant, cosine, linear, step)"),
        ("cosine[warmpu=0.1]", "unknown parameter of schedule cosine 'warmpu'; did you mean 'warmup'?"),
        ("cosine[warmup=1]", "cosine[warmup] = 1 is out of range"),
        ("cosine[warmup=-0.1]", "cosine[warmup] = -0.1 is out of range"),
        ("cosine[warmup=true]", "cosine[warmup] = True is not valid"),
        ("cosine[warmup=half]", "cosine[warmup] = 'half' is not valid"),
        ("cosine[warmup=[0.1,0.2]]", "is a sweep"),
        ("step[at=(0.5,1)]", "step[at] = (0.5, 1) is out of range (accepted: fractions between 0 and 1"),
        ("step[at=soon]", "step[at] = 'soon' is not valid"),
        ("step[factor=0]", "step[factor] = 0 is out of range (accepted: above 0, at most 1)"),
        (
            "step[fraction=0]",
            "unknown parameter of schedule step 'fraction'; did you mean 'factor'? (accepted: at, fac",
        ),
        ("cosine[at=0.5]", "unknown parameter of schedule cosine 'at'"),
        ("cosine[", "expected a parameter name"),
    ],
)
def test_bad_schedules(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_schedule(text)
    assert complaint in str(caught.value)
