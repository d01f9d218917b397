"""Schedules against their formulas, and their bad names and parameters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from optbench.errors import UserError
from optbench.optimizers.schedule import NAMES, parse_schedule
from optbench.optimizers.schedule_shapes import SHAPES

progress = st.floats(0, 1)


@given(progress)
def test_shapes(at: float) -> None:
    assert parse_schedule("constant")(at) == 1
    assert parse_schedule("linear")(at) == pytest.approx(1 - at, abs=1e-15)
    assert parse_schedule("cosine")(at) == pytest.approx((1 + math.cos(math.pi * at)) / 2, abs=1e-15)


# The decay of `wsd` and the time scale of `inverse_sqrt` are parts of the whole run.
@given(at=progress, warmup=st.floats(0.01, 0.99), name=st.sampled_from(sorted({*NAMES} - {"wsd", "inverse_sqrt"})))
def test_warmup_rises_linearly_and_then_squeezes_the_shape(at: float, warmup: float, name: str) -> None:
    factor = parse_schedule(f"{name}[warmup={warmup}]")(at)
    if at < warmup:
        assert factor == pytest.approx(at / warmup)
    else:
        assert factor == pytest.approx(parse_schedule(name)((at - warmup) / (1 - warmup)), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_factors_start_at_one_and_end_where_they_should(name: str) -> None:
    step = 1 / 99
    assert parse_schedule(name)(0, step) == 1
    assert parse_schedule(f"{name}[warmup=0.1]")(0.1) == 1
    assert parse_schedule(f"{name}[warmup=0.1]")(0) == 0
    end = {"constant": 1, "step": 0.01, "inverse_sqrt": 0.1}.get(name, 0)
    assert parse_schedule(name)(1, step) == pytest.approx(end, abs=1e-15)
    for final in (0.1, 0.25) if "final" in SHAPES[name].parameters else ():
        assert parse_schedule(f"{name}[final={final},warmup=7]")(1, step) == pytest.approx(final, abs=1e-15)


def torch_factors(steps: int, warmup: int, parts: list[tuple[int, Callable[[Optimizer], LRScheduler]]]) -> list[float]:
    """The factors of torch's schedulers in the middle of each step: they step twice per step.

    Args:
        steps: Length of the run.
        warmup: Length of the warm-up.
        parts: The schedulers after the warm-up, each with the half step in which it begins.
    """
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    if warmup:  # torch's warm-up can't begin at exactly 0
        parts = [(0, lambda o: lr_scheduler.LinearLR(o, 1e-300, 1.0, 2 * warmup)), *parts]
    made = [make(optimizer) for _, make in parts]
    scheduler = lr_scheduler.SequentialLR(optimizer, made, [begin for begin, _ in parts[1:]])
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR itself calls step(epoch), which is deprecated
        for _ in range(2 * steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return found[1::2]


def closed_form(steps: int, warmup: int, decay: int, fall: Callable[[Any], Any]) -> list[float]:
    """Warm-up, stable phase and decay in the middle of each step, as in the code of Hägele et al."""
    at = np.arange(steps) + 0.5
    late = fall(np.clip((at - (steps - decay)) / decay, 0, 1))
    return list(np.where(at < warmup, at / max(warmup, 1), np.where(at < steps - decay, 1.0, late)))


def drawn_schedules(seed: int) -> Iterator[tuple[str, int, list[float]]]:
    """Texts of schedules with random parameters, the length of the run in steps, and the expected factors."""
    random = np.random.default_rng(seed)
    warmup, decay, stable = (int(random.integers(low, 40)) for low in (0, 1, 2))
    steps, final = warmup + stable + decay, float(random.uniform(0.01, 0.9))
    begin, after = 2 * warmup, 2 * (steps - warmup)
    written = f"warmup={warmup if random.integers(2) else repr(warmup / steps)}"
    share = decay if random.integers(2) else repr(decay / steps)
    falls: dict[str, Callable[[Optimizer], LRScheduler]] = {
        "linear": lambda o: lr_scheduler.LinearLR(o, 1.0, final, after),
        "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, after, final),
    }
    for name, make in falls.items():
        yield f"{name}[final={final!r},{written}]", steps, torch_factors(steps, warmup, [(begin, make)])
    cuts = sorted(map(int, random.choice(np.arange(1, steps - warmup), size=2, replace=False)))
    at = ",".join(repr(cut / (steps - warmup)) for cut in cuts)
    make = lambda o: lr_scheduler.MultiStepLR(o, [2 * cut for cut in cuts], final)  # noqa: E731
    yield f"step[at=({at}),factor={final!r},{written}]", steps, torch_factors(steps, warmup, [(begin, make)])
    decays: dict[str, Callable[[Optimizer], LRScheduler]] = {
        "linear": lambda o: lr_scheduler.LinearLR(o, 1.0, final, 2 * decay),
        "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 2 * decay, final),
        "exponential": lambda o: lr_scheduler.ExponentialLR(o, final ** (0.5 / decay)),
    }
    for shape, make in decays.items():
        parts = [(begin, lambda o: lr_scheduler.ConstantLR(o, 1.0)), (2 * (steps - decay), make)]
        text = f"wsd[decay={share},shape={shape},final={final!r},{written}]"
        yield text, steps, torch_factors(steps, warmup, parts)
    curves: dict[str, Callable[[Any], Any]] = {
        "sqrt": lambda c: final + (1 - final) * (1 - np.sqrt(c)),
        "square": lambda c: final + (1 - final) * (1 - c**2),
    }
    for shape, curve in curves.items():
        text = f"wsd[decay={share},shape={shape},final={final!r},{written}]"
        yield text, steps, closed_form(steps, warmup, decay, curve)
    middle = np.arange(steps) + 0.5
    if warmup:  # Vaswani et al. (2017), equation 3, relative to its maximum
        noam = np.minimum(middle**-0.5, middle * warmup**-1.5) * warmup**0.5
        yield f"inverse_sqrt[{written}]", steps, list(noam)
    later = np.sqrt(decay / (decay + np.maximum(0, middle - warmup)))
    scaled = np.where(middle < warmup, middle / max(1, warmup), later)
    yield f"inverse_sqrt[timescale={share},{written}]", steps, list(scaled)
    cycles, factor, first = (int(random.integers(low, high)) for low, high in ((2, 5), (1, 4), (1, 9)))
    whole = warmup + first * sum(factor**k for k in range(cycles))
    make = lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2 * first, factor, final)  # noqa: E731
    text = f"restarts[cycles={cycles},factor={factor},final={final!r},warmup={warmup}]"
    yield text, whole, torch_factors(whole, warmup, [(begin, make)])


@pytest.mark.parametrize("seed", range(8))
def test_every_step_has_the_rate_of_torchs_schedulers_or_of_a_closed_form(seed: int) -> None:
    faults, names = [], set()
    for text, steps, expected in drawn_schedules(seed):
        schedule = parse_schedule(text)
        found = [schedule((k + 0.5) / steps, 1 / steps) for k in range(steps)]
        difference = np.abs(np.subtract(found, expected))
        names.add(schedule.name)
        if not difference.max() < 1e-12:
            faults.append((text, steps, int(difference.argmax()), float(difference.max())))
    assert faults == []
    assert names >= {*NAMES} - {"constant"}


def test_a_length_in_steps_is_its_share_of_the_run() -> None:
    for share, steps in (("cosine[warmup=0.25]", "cosine[warmup=50]"), ("wsd[decay=0.5]", "wsd[decay=100]")):
        one, other = parse_schedule(share), parse_schedule(steps)
        for k in range(200):
            assert one((k + 0.5) / 200, 1 / 200) == pytest.approx(other((k + 0.5) / 200, 1 / 200), abs=1e-12)


def test_without_a_warmup_the_time_scale_is_one_step() -> None:
    found = [parse_schedule("inverse_sqrt")(k / 50, 1 / 50) for k in range(50)]
    np.testing.assert_allclose(found, 1 / np.sqrt(1 + np.arange(50)), rtol=0, atol=1e-12)


def test_a_warmup_that_outlasts_a_timed_excerpt_only_rises() -> None:
    """Timing takes fewer steps than the run has, spread over its length."""
    for text in ("cosine[warmup=100]", "wsd[decay=50,warmup=100]", "inverse_sqrt[warmup=100]", "restarts[warmup=100]"):
        found = [parse_schedule(text)((k + 0.5) / 8, 1 / 8) for k in range(8)]
        np.testing.assert_allclose(found, (np.arange(8) + 0.5) / 100, rtol=1e-12)
        assert parse_schedule(text)(1.0, 1 / 8) == pytest.approx(0.08)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("constant", "a constant rate"),
        ("cosine[warmup=0.05]", "a linear warm-up over the first 5 % of the run, then a cosine decay to 0"),
        ("linear[final=0.1,warmup=1]", "a linear warm-up over the first 1 step of the run, then a linear decay to 0.1"),
        ("step[at=0.5]", "multiplied by 0.1 at 0.5"),
        ("wsd", "a constant rate, and over the last 20 % of the run a decay of shape linear to 0"),
        (
            "wsd[decay=30,shape=exponential,warmup=100]",
            "a linear warm-up over the first 100 steps of the run, then a constant rate, and over the last 30 steps of "
            "the run a decay of shape exponential to 0.1",
        ),
        ("inverse_sqrt", "a decay by 1/√(1 + t/τ), with a time scale τ of one step"),
        ("restarts[factor=1]", "3 cosine decays to 0, each 1 times as long as the one before"),
    ],
)
def test_schedules_in_words(text: str, words: str) -> None:
    assert parse_schedule(text).describe() == words


@pytest.mark.parametrize(
    ("text", "steps", "complaint"),
    [
        ("cosine[warmup=100]", 100.0, "warmup = 100 is longer than the run of 100 steps (accepted: a warm-up shorter"),
        ("cosine[warmup=100]", 100.5, ""),
        ("wsd[decay=101]", 100.0, "decay = 101 is longer than the run of 100 steps"),
        ("wsd[decay=100]", 100.0, ""),
        ("wsd[decay=0.5,warmup=51]", 100.0, "warmup = 51 and decay = 0.5 are together longer than the run of 100"),
        ("wsd[decay=0.5,warmup=50]", 100.0, ""),
        ("wsd[decay=60,warmup=0.3]", 100.0, ""),
        ("inverse_sqrt[timescale=10000]", 100.0, ""),
    ],
)
def test_warmup_and_decay_have_to_fit_into_the_run(text: str, steps: float, complaint: str) -> None:
    schedule = parse_schedule(text)
    if complaint:
        with pytest.raises(UserError) as caught:
            schedule.check_length(steps)
        assert complaint in str(caught.value)
    else:
        schedule.check_length(steps)


def test_shares_that_make_up_the_whole_run_are_accepted() -> None:
    for warmup in map(float, np.random.default_rng(5).uniform(0.01, 0.99, size=100)):
        parse_schedule(f"wsd[decay={1 - warmup!r},warmup={warmup!r}]")
    for part in range(1, 10):
        parse_schedule(f"wsd[decay={part / 10},warmup={(10 - part) / 10}]")
    parse_schedule("wsd[decay=1.0]")


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
        ("cosin", "unknown schedule 'cosin'; did you mean 'cosine'? (accepted: constant, cosine, inverse_sqrt, l"),
        ("cosine[warmpu=0.1]", "unknown parameter of schedule cosine 'warmpu'; did you mean 'warmup'?"),
        (
            "cosine[warmup=1.0]",
            "cosine[warmup] = 1.0 is out of range (accepted: a fraction of at least 0 and less than 1",
        ),
        ("cosine[warmup=-5]", "cosine[warmup] = -5 is out of range"),
        ("cosine[warmup=2.5]", "or a whole number of steps from 1)"),
        ("cosine[final=1]", "cosine[final] = 1 is out of range (accepted: a factor of at least 0 and less than 1)"),
        ("wsd[decay=0]", "wsd[decay] = 0 is out of range (accepted: a fraction above 0 and at most 1, or a whole"),
        ("wsd[decay=1.5]", "wsd[decay] = 1.5 is out of range"),
        ("wsd[decay=none]", "wsd[decay] = None is not valid"),
        (
            "wsd[shape=sqr]",
            "unknown shape of schedule wsd 'sqr'; did you mean 'sqrt'? (accepted: cosine, exponential, ",
        ),
        (
            "wsd[shape=exponential,final=0]",
            "wsd[final] = 0 is out of range (accepted: above 0 and less than 1 with shape",
        ),
        ("wsd[decay=0.7,warmup=0.5]", "warmup = 0.5 and decay = 0.7 are together longer than the run (accepted: "),
        ("wsdd", "unknown schedule 'wsdd'; did you mean 'wsd'?"),
        ("restarts[cycles=1]", "restarts[cycles] = 1 is out of range (accepted: a whole number from 2 to 100)"),
        ("restarts[factor=0.5]", "restarts[factor] = 0.5 is out of range (accepted: a number from 1 to 10)"),
        ("inverse_sqrt[timescale=0]", "inverse_sqrt[timescale] = 0 is out of range"),
        ("inverse_sqrt[final=0.1]", "unknown parameter of schedule inverse_sqrt 'final'"),
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
        ("wsd[decy=0.2]", "did you mean 'decay'? (accepted: decay, final, shape, warmup)"),
        ("cosine[", "expected a parameter name"),
    ],
)
def test_bad_schedules(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_schedule(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "knows"),
    [("constant", False), ("constant[warmup=5]", False), ("constant[warmup=0.1]", True), ("linear", True),
     ("cosine[warmup=5]", True), ("step", True), ("step[factor=1]", False), ("wsd[decay=5]", True),
     ("inverse_sqrt", False), ("inverse_sqrt[warmup=5]", False), ("inverse_sqrt[timescale=5]", False),
     ("inverse_sqrt[timescale=0.5]", True), ("inverse_sqrt[timescale=5,warmup=0.5]", True), ("restarts", True)],
)  # fmt: skip
def test_a_schedule_knows_the_length_if_its_rates_depend_on_it(text: str, knows: bool) -> None:
    """The rates of the first twenty steps of a run of twenty and of one of forty steps."""
    schedule = parse_schedule(text)
    rates = [[schedule((k + 0.5) / steps, 1 / steps) for k in range(20)] for steps in (20, 40)]
    assert schedule.knows_length == knows == (rates[0] != pytest.approx(rates[1]))
