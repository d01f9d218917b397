"""Schedules are checked before anything is computed, and so are hyperparameters that define them."""

from __future__ import annotations

from typing import Any

import pytest

from optbench.config.load import configure
from optbench.errors import UserError
from optbench.optimizers.schedule import optimizer_schedule
from optbench.planning.matrix import Cell, Plan, make_plan
from tests.support.tiny import TINY_NET

#: 120 examples in tens, two epochs: 24 steps.
STEPS = 24


def plan(optimizer: str = "sgd", table: dict[str, Any] | None = None, **choices: Any) -> Plan:
    choices = {"problems": [TINY_NET], "batch_sizes": [10], "devices": ["cpu"], "run_budget": "2epochs", **choices}
    tables = {"mine": {"base": "sgd", **table}} if table else {}
    return make_plan(configure(optimizers=["mine" if table else optimizer], optimizer=tables, **choices))


def cell(*args: Any, **choices: Any) -> Cell:
    [found] = plan(*args, **choices).cells
    return found


def steps(low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"low": low, "high": high, **more}


WSD = {"lr_schedule": ["constant", "wsd"]}
WHERE_WSD = {"when": {"lr_schedule": "wsd"}}


@pytest.mark.parametrize(
    ("schedule", "line"),
    [
        (
            f"cosine[warmup={STEPS}]",
            f"longer than a run of tiny_net at batch size 10 of {STEPS} steps (accepted: a war",
        ),
        (
            f"wsd[decay={STEPS + 1}]",
            f"decay = {STEPS + 1} is longer than a run of tiny_net at batch size 10 of {STEPS}",
        ),
        (f"wsd[decay=0.5,warmup={STEPS // 2 + 1}]", "warmup = 13 and decay = 0.5 are together longer than a run of ti"),
        ("wsd[decay=0.7,warmup=0.5]", "warmup = 0.5 and decay = 0.7 are together longer than the run"),
    ],
)
def test_what_does_not_fit_into_the_run_is_refused(schedule: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(schedules=[schedule])
    assert line in str(caught.value)


def test_what_just_fits_is_accepted() -> None:
    for schedule in (f"cosine[warmup={STEPS - 1}]", f"wsd[decay={STEPS}]", f"wsd[decay=0.5,warmup={STEPS // 2}]"):
        assert cell(schedules=[schedule]).schedule == schedule
    # 20 steps are too many for batches of 20 only.
    assert cell(schedules=["cosine[warmup=20]"])
    with pytest.raises(UserError, match="at batch size 20 of 12 steps"):
        plan(schedules=["cosine[warmup=20]"], batch_sizes=[10, 20])


@pytest.mark.parametrize(
    ("schedule", "line"),
    [
        ("restarts[cycles=20,factor=1,warmup=0.5]", "first of its cycles has 0.6 steps, because a run of tiny_net at "
         "batch size 10 has 12 steps after the warm-up (accepted: cycles of at least one step, so at most 12 cycles "),
        ("restarts[cycles=20,factor=1,warmup=12]", "first of its cycles has 0.6 steps, because a run of tiny_net at "),
        ("restarts[cycles=100,factor=10]", "so at most 2 cycles with factor = 10)"),
        ("restarts[cycles=25,factor=1]", "has 0.96 steps, because a run of tiny_net at batch size 10 has 24 steps ("),
        ("restarts[cycles=2,factor=10,warmup=20]", "4 steps after the warm-up (accepted: cycles of at least one step, "
         "so a longer run)"),
    ],
)  # fmt: skip
def test_cycles_shorter_than_a_step_are_refused(schedule: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(schedules=[schedule])
    assert line in str(caught.value)
    with pytest.raises(UserError, match=r"optimizer sgd.*: schedule restarts.*the first of its cycles has"):
        plan('sgd[lr_schedule="restarts[cycles=25,factor=1]"]')


def test_cycles_of_at_least_a_step_are_planned() -> None:
    for schedule in ("restarts", "restarts[cycles=24,factor=1]", "restarts[cycles=12,factor=1,warmup=0.5]"):
        assert cell(schedules=[schedule]).schedule == schedule
    assert cell(schedules=["restarts[cycles=100,factor=10]"], run_budget="10seconds"), "its steps are not known"


def test_steps_have_no_length_in_a_budget_in_seconds() -> None:
    with pytest.raises(UserError, match=r"warmup and decay in steps can't be combined with a run budget in seconds"):
        plan(schedules=["wsd[decay=5,warmup=3]"], run_budget="10seconds")
    for schedule in ("wsd[decay=0.5,warmup=0.1]", "inverse_sqrt"):
        assert cell(schedules=[schedule], run_budget="10seconds").schedule == schedule


@pytest.mark.parametrize(
    ("optimizer", "line"),
    [
        ("sgd[lr_warmup=24]", "optimizer sgd[lr_warmup=24]: schedule constant[warmup=24]: warmup = 24 is longer than"),
        ("sgd[lr_schedule=wsd,lr_warmup=0.5,lr_cooldown=0.6]", "warmup = 0.5 and decay = 0.6 are together longer than"),
        (
            "sgd[lr_warmup=2.5]",
            "sgd[lr_warmup] = 2.5 is out of range (accepted: a fraction of at least 0 and less than",
        ),
        ("sgd[lr_cooldown=0]", "sgd[lr_cooldown] = 0 is out of range (accepted: a fraction above 0 and at most 1, or"),
        ("sgd[lr_final=1]", "sgd[lr_final] = 1 is out of range (accepted: a factor of at least 0 and less than 1)"),
        ("sgd[lr_final=low]", "sgd[lr_final] = 'low' is not valid (accepted: a factor of at least 0 and less than 1)"),
        (
            "sgd[lr_final=0.1]",
            "lr_final has no effect with lr_schedule = 'constant' (accepted with: linear, cosine, ws",
        ),
        (
            "sgd[lr_schedule=cosine,lr_cooldown=0.1]",
            "lr_cooldown has no effect with lr_schedule = 'cosine' (accepted w",
        ),
        ('sgd[lr_schedule="wsd[decay=0.1]",lr_cooldown=0.2]', "decay is given twice: in lr_schedule = 'wsd[decay=0.1]"),
        ('sgd[lr_schedule="wsd[shape=exponential]",lr_final=0]', "wsd[final] = 0.0 is out of range (accepted: above 0"),
        ("sgd[lr_schedule=wsdd]", "unknown schedule 'wsdd'; did you mean 'wsd'?"),
        ("sgd[lr_finl=0.1]", "unknown hyperparameter of sgd 'lr_finl'; did you mean 'lr_final'?"),
    ],
)
def test_hyperparameters_that_define_no_schedule(optimizer: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(optimizer)
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"search": {"lr_warmup": steps(5, 50)}}, "warmup = 50 is longer than a run of tiny_net at batch size 10"),
        ({"search": {"lr_warmup": steps(0.5, 50)}}, "constant[warmup] = 50.0 is out of range (accepted: a fraction of"),
        (
            {"search": {**WSD, "lr_warmup": steps(0.1, 0.5), "lr_cooldown": steps(0.1, 0.6, **WHERE_WSD)}},
            "optimizer mine: schedule wsd[warmup=0.5,decay=0.6]: warmup = 0.5 and decay = 0.6 are together longer than",
        ),
        (
            {"search": {**WSD, "lr_cooldown": steps(0.1, 0.6)}},
            "lr_cooldown has no effect with lr_schedule = 'constant' (accepted with: wsd); search it with when =",
        ),
        (
            {"search": {"lr_schedule": ["constant", "cosine"]}, "arguments": {"lr_final": 0.1}},
            "lr_final has no effect with lr_schedule = 'constant' (accepted with: linear, cosine, wsd, restarts)",
        ),
        ({"search": {"lr_schedule": ["wsd", "wsd[decay=1.5]"]}}, "wsd[decay] = 1.5 is out of range"),
        ({"search": {"lr_schedule": ["wsd", "wsd[decay=25]"]}}, "decay = 25 is longer than a run of tiny_net"),
    ],
)
def test_search_spaces_with_schedules_that_do_not_exist(table: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(table=table)
    assert line in str(caught.value)


def test_a_searched_schedule_is_tuned_in_shares_and_in_whole_steps() -> None:
    found = cell(table={"search": {
        "lr_schedule": ["constant", "wsd", "wsd[shape=sqrt]", "cosine"],
        "lr_warmup": steps(1, 10),
        "lr_cooldown": steps(0.1, 0.5, when={"lr_schedule": ["wsd", "wsd[shape=sqrt]"]}),
        "lr_final": steps(0.01, 0.3, zero=True, when={"lr_schedule": ["cosine", "wsd"]}),
    }}).optimizer  # fmt: skip
    warmup = found.search["lr_warmup"]
    assert {type(warmup.at(share)) for share in (0.0, 0.3, 1.0)} == {int}
    values = {"lr_schedule": "wsd", "lr_warmup": warmup.at(0.5), "lr_cooldown": 0.3, "lr_final": 0.1}
    assert optimizer_schedule(values).parameters == {"decay": 0.3, "shape": "linear", "final": 0.1}
    assert optimizer_schedule(values).warmup == 3
    shares = cell(table={"search": {"lr_warmup": steps(0.0, 0.3, scale="linear")}}).optimizer.search["lr_warmup"]
    assert 0.1 < shares.at(0.5) < 0.2


def test_steps_stay_whole_and_shares_stay_as_they_were() -> None:
    assert repr(cell("sgd[lr_warmup=10]").optimizer.arguments) == "{'lr_warmup': 10}"
    assert repr(cell("sgd[lr_warmup=0]").optimizer.arguments) == "{'lr_warmup': 0.0}"
    assert cell("sgd[lr_warmup=0.1]").id == cell("sgd[lr_warmup=1e-1]").id
    assert cell("sgd[lr_warmup=1]").id != cell("sgd[lr_warmup=2]").id


def test_the_order_of_parameters_is_part_of_the_identity_of_the_first_schedules_alone() -> None:
    found = plan(schedules=["wsd[warmup=5,decay=0.2]", "wsd[decay=0.2,warmup=5]", "cosine[warmup=5,final=0.1]"])
    assert [one.schedule for one in found.cells] == ["wsd[decay=0.2,warmup=5]", "cosine[final=0.1,warmup=5]"]
    # Stored cells have such ids.
    former = ["step[warmup=0.1,factor=0.5,at=(0.3,0.6)]", "linear[warmup=0.1]", "cosine[warmup=0.05]", "constant"]
    assert [one.schedule for one in plan(schedules=former).cells] == former


def test_steps_of_several_gradients_are_noted() -> None:
    assert plan("lbfgs", schedules=["cosine[warmup=5]"]).notes == (
        "optimizer lbfgs may compute several gradients per step, and warmup of schedule cosine[warmup=5] counts "
        "gradients",
    )
    assert plan("lbfgs", schedules=["cosine[warmup=0.1]"]).notes == ()
    assert plan("sgd", schedules=["cosine[warmup=5]"]).notes == ()


def test_a_group_has_no_schedule_of_its_own() -> None:
    table = {"groups": {"rest": {"where": "ndim == 1", "arguments": {"lr_warmup": 0.1}}}}
    with pytest.raises(UserError, match=r"lr_warmup applies to all parameters, not to group mine\.rest alone \("):
        plan(table=table)
    table = {"groups": {"rest": {"where": "ndim == 1", "base": "adamw_scheduled"}}}
    with pytest.raises(UserError, match=r"lr_schedule applies to all parameters, not to group mine\.rest alone \("):
        plan(table=table)
    assert plan(table={"groups": {"rest": {"where": "ndim == 1", "arguments": {"momentum": 0.5}}}})
