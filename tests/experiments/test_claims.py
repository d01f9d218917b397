"""Experiments by name: all of them are there and complete, and mistakes are one line."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from optbench.errors import UserError
from optbench.experiments.claims import CLAIMS
from optbench.experiments.conduct import select_experiment
from optbench.selection import format_value


def test_every_experiment_is_complete() -> None:
    faults = []
    for name, claim in CLAIMS.items():
        found = select_experiment(name)
        if (found.name, found.claim) != (name, claim) or not claim.endswith(".") or not found.caption:
            faults.append(f"{name}: name, claim or caption")
        if not found.quick.keys() <= found.full.keys():
            faults.append(f"{name}: parameters of the quick setting that the full one lacks")
        faults += [
            f"{name}[{key}={value}] is not accepted"
            for key, value in found.quick.items()
            if found.replace_parameters({key: value}).size(quick=False)[key] != value
        ]
    assert faults == []


def test_parameters_replace_those_of_both_settings() -> None:
    found = select_experiment("gradient-descent-limits[steps=7,conditions=(3,4)]")
    assert found.size(quick=True)["steps"] == found.size(quick=False)["steps"] == 7
    assert found.size(quick=True)["conditions"] == (3, 4)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gradient-descent", "'gradient-descent'; did you mean 'gradient-descent-limits'? (accepted: "),
        ("gradient-descent-limits[step=7]", "unknown parameter of experiment gradient-descent-limits 'step'; did you"),
        ("gradient-descent-limits[steps=0]", "gradient-descent-limits[steps] = 0 is out of range (accepted: a whole"),
        ("gradient-descent-limits[steps=2.5]", "= 2.5 is out of range (accepted: a whole number of at least 1)"),
        ("gradient-descent-limits[condition=x]", "= 'x' is not valid (accepted: a number above 0)"),
        ("gradient-descent-limits[conditions=3]", "= 3 is not valid (accepted: values in parentheses, as in (10.0,"),
        ("gradient-descent-limits[conditions=(3,x)]", "= 'x' is not valid (accepted: a number above 0)"),
        ("gradient-descent-limits[steps=[7,8]]", "selects several; select one"),
        ("data-loading[workers=-1]", "= -1 is out of range (accepted: a whole number of at least 0)"),
        ("dropout[probabilities=(0.5,1)]", "= 1 is out of range (accepted: a number from 0 to 0.99)"),
        ("batch-norm[dropout=0]", "= 0 is out of range (accepted: a number from 0.01 to 0.99)"),
        ("momentum[momentum=1]", "= 1 is out of range (accepted: a number from 0.01 to 0.99)"),
        ("adam[condition=1]", "= 1 is out of range (accepted: a number of at least 2)"),
        ("dropout[data=none,seeds=none]", "= None is not valid (accepted: a whole number of at least 1)"),
    ],
)
def test_mistakes(text: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        select_experiment(text)
    assert complaint in str(caught.value)


def test_zero_and_none_are_values_where_they_mean_something() -> None:
    assert select_experiment("dropout[probabilities=(0.0,0.5)]").size(quick=False)["probabilities"] == (0.0, 0.5)
    assert select_experiment("data-loading[workers=0]").size(quick=True)["workers"] == 0
    assert select_experiment("frozen-features[weights=none]").size(quick=False)["weights"] == "none"


def test_limits_are_of_parameters_and_hold_for_both_settings() -> None:
    faults = []
    for found in map(select_experiment, CLAIMS):
        faults += [f"{found.name}[{key}]: no such parameter" for key in found.limits.keys() - found.full.keys()]
        for key, quick in itertools.product(found.limits.keys() & found.full.keys(), (False, True)):
            value = found.size(quick)[key]
            if found.replace_parameters({key: value}).size(quick)[key] != value:
                faults.append(f"{found.name}[{key}={value}] is not accepted")
    assert faults == []


def test_the_document_states_both_settings() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text("utf-8").splitlines()

    def written(parameters: Mapping[str, Any]) -> str:
        return ",".join(f"{key}={format_value(value)}" for key, value in parameters.items())

    rows = [
        f"| `{one.name}` | `{written(one.full)}` | `{written(one.quick)}` |" for one in map(select_experiment, CLAIMS)
    ]
    assert [row for row in rows if row not in lines] == []
