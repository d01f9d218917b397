"""Verdicts on times with known truth, on counters, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from optbench.errors import UserError
from optbench.timing.machine import unknown_facts
from optbench.timing.verdict import FAILING, compare, select_undecided
from tests.support.recordings import MACHINE, noisy, recording


def test_a_slower_one_is_found_and_a_faster_one_is_no_failure() -> None:
    rng = np.random.default_rng(0)
    base = {"same": noisy(rng, 1e-3), "slow": noisy(rng, 1e-3), "fast": noisy(rng, 1e-3)}
    head = {"same": noisy(rng, 1e-3), "slow": noisy(rng, 1.6e-3), "fast": noisy(rng, 0.6e-3)}
    frame = compare(recording("base", base), recording("head", head)).set_index("test")
    assert list(frame.loc[["same", "slow", "fast"], "verdict"]) == ["same", "slower", "faster"]
    for name in base:
        assert frame.loc[name, "ratio"] == pytest.approx(np.median(head[name]) / np.median(base[name]))
        assert frame.loc[name, "low"] < frame.loc[name, "ratio"] < frame.loc[name, "high"]


def test_unchanged_suites_raise_an_alarm_less_often_than_alpha_says() -> None:
    """100 suites of 20 tests, so noisy that ratios beyond the bound are common."""
    rng = np.random.default_rng(1)
    alarms = beyond = 0
    for _ in range(100):
        base, head = ({f"t{k}": noisy(rng, 1e-3, noise=0.3) for k in range(20)} for _ in "ab")
        frame = compare(recording("base", base), recording("head", head))
        alarms += frame["verdict"].isin(FAILING).any()
        beyond += (frame["ratio"] > 1.25).any()
    assert beyond > 25
    assert alarms / 100 <= 0.05


def test_noise_is_said_to_be_noise() -> None:
    base = {"t": [1.0, 1.1, 0.9, 1.0, 2.0, 1.0, 1.05]}
    head = {"t": [1.4, 0.9, 1.5, 1.35, 1.0, 1.5, 1.4]}
    frame = compare(recording("base", base), recording("head", head))
    assert frame.loc[0, "verdict"] == "can't tell"
    assert select_undecided(frame) == ["t"]
    wide = compare(recording("base", {"t": [1, 2, 1, 2, 1, 2, 1.5]}), recording("head", {"t": [1, 2, 1, 2, 1, 2, 1.4]}))
    assert wide.loc[0, "verdict"] == "can't tell", "its interval reaches beyond the bound"


def test_a_slowdown_below_the_bound_is_the_same_however_sure() -> None:
    base, head = {"t": np.linspace(1, 1.01, 8)}, {"t": np.linspace(1.2, 1.21, 8)}
    frame = compare(recording("base", base), recording("head", head))
    assert frame.loc[0, "p"] < 0.001
    assert frame.loc[0, "verdict"] == "same"
    assert compare(recording("base", base), recording("head", head), bound=1.1).loc[0, "verdict"] == "slower"


def test_counters_are_exact_whatever_the_clock_says() -> None:
    blocks = {"t": np.linspace(1, 1.01, 8), "u": np.linspace(1, 1.01, 8)}
    base = recording("base", blocks, {"t": {"operations": 40}, "u": {"operations": 40}})
    head = recording("head", blocks, {"t": {"operations": 41}, "u": {"operations": 39}})
    frame = compare(base, head)
    assert list(frame["verdict"]) == ["more work", "same"]
    assert list(frame["note"]) == ["operations 40 → 41", "operations 40 → 39"]


def test_unlike_machines_are_refused_and_their_ratios_are_not() -> None:
    rng = np.random.default_rng(2)
    references = {"stacked": "loop", "slow": "loop"}
    times = {"loop": 10e-3, "stacked": 1e-3, "slow": 2e-3}
    base = recording(
        "here", {name: noisy(rng, value, noise=0.02) for name, value in times.items()}, references=references
    )
    blocks = {"loop": 30e-3, "stacked": 3.1e-3, "slow": 12e-3}  # three times as slow, and one six times
    there = recording(
        "there",
        {name: noisy(rng, value, noise=0.02) for name, value in blocks.items()},
        references=references,
        machine={**MACHINE, "cpu": "Slow 1"},
    )
    with pytest.raises(UserError, match=r"different machines \(cpu Made Up 9000 and Slow 1\)"):
        compare(base, there)
    frame = compare(base, there, allow_unlike=True).set_index("test")
    assert sorted(frame.index) == ["slow", "stacked"]
    assert frame.loc["stacked", "verdict"] == "same"
    assert frame.loc["slow", "verdict"] == "slower"
    assert frame.loc["slow", "ratio"] == pytest.approx(2, rel=0.2)
    alone = recording("alone", {"loop": noisy(rng, 1e-3)}, machine={**MACHINE, "threads": 2})
    with pytest.raises(UserError, match="no test names a reference test"):
        compare(alone, recording("here", {"loop": noisy(rng, 1e-3)}), allow_unlike=True)


def test_what_is_not_known_of_a_machine_is_not_another_machine() -> None:
    less = {key: value for key, value in MACHINE.items() if key != "threads"}
    blocks, slower = {"t": np.linspace(1, 1.01, 8)}, {"t": 2 * np.linspace(1, 1.01, 8)}
    for one, other in ((less, less), (less, MACHINE), (MACHINE, {**MACHINE, "threads": None})):
        assert unknown_facts(one, other) == ["threads"]
        frame = compare(recording("a", blocks, machine=one), recording("b", slower, machine=other))
        assert frame["verdict"].tolist() == ["slower"]
    assert unknown_facts(MACHINE, MACHINE) == []
    with pytest.raises(UserError, match=r"different machines \(cores 2 and 64\)"):
        compare(recording("a", blocks, machine=less), recording("b", slower, machine={**less, "cores": 64}))


def test_a_vanished_test_and_too_few_visits() -> None:
    many = {"a": np.linspace(1, 1.01, 8), "b": np.linspace(1, 1.01, 8)}
    with pytest.raises(UserError, match="b of base is not in head"):
        compare(recording("base", many), recording("head", {"a": many["a"]}))
    frame = compare(recording("base", {"a": many["a"]}), recording("head", many))
    assert list(frame["test"]) == ["a"], "a new one has nothing to be compared with"
    few = {f"t{k}": [1.0, 1.1, 1.2] for k in range(30)}
    with pytest.raises(UserError, match=r"3 visits per side cannot give a verdict on 30 tests; at least 7"):
        compare(recording("base", few), recording("head", few))
