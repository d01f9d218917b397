"""Schedules against their formulas, and their bad names and parameters."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.errors import UserError
from optbench.schedule import NAMES, schedule

progress = st.floats(0, 1)


@given(progress)
def test_shapes(at: float) -> None:
    assert schedule("constant")(at) == 1
    assert schedule("linear")(at) == pytest.approx(1 - at, abs=1e-15)
    assert schedule("cosine")(at) == pytest.approx((1 + math.cos(math.pi * at)) / 2, abs=1e-15)


@given(at=progress, warmup=st.floats(0.01, 0.99), name=st.sampled_from(NAMES))
def test_warmup_rises_linearly_and_then_squeezes_the_shape(at: float, warmup: float, name: str) -> None:
    factor = schedule(f"{name}[warmup={warmup}]")(at)
    if at < warmup:
        assert factor == pytest.approx(at / warmup)
    else:
        assert factor == pytest.approx(schedule(name)((at - warmup) / (1 - warmup)), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_factors_start_at_one_and_end_where_they_should(name: str) -> None:
    assert schedule(name)(0) == 1
    assert schedule(f"{name}[warmup=0.1]")(0.1) == 1
    assert schedule(f"{name}[warmup=0.1]")(0) == 0
    assert schedule(name)(1) == pytest.approx(1 if name == "constant" else 0, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cosin", "unknown schedule 'cosin'; did you mean 'cosine'? (accepted: constant, cosine, linear)"),
        ("cosine[warmpu=0.1]", "unknown parameter of schedule cosine 'warmpu'; did you mean 'warmup'?"),
        ("cosine[warmup=1]", "cosine[warmup] = 1 is out of range"),
        ("cosine[warmup=-0.1]", "cosine[warmup] = -0.1 is out of range"),
        ("cosine[warmup=true]", "cosine[warmup] = True is out of range"),
        ("cosine[warmup=half]", "cosine[warmup] = 'half' is out of range"),
        ("cosine[warmup=[0.1,0.2]]", "sweeps"),
        ("cosine[", "expected a parameter's name"),
    ],
)
def test_bad_schedules(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        schedule(text)
    assert complaint in str(caught.value)
