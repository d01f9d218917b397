"""Layers of settings: tables are merged by key, and what is said for all problems is no longer said for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optbench.config.layers import (
    BaseSettings,
    apply_choices,
    drop_problem_settings,
    keep_problem_settings,
    merge_tables,
)

OWN = {"select": "a[x=1,y=two]", "run_budget": "3epochs", "batch_sizes": [10]}
BASE = BaseSettings({"problems": [OWN, "b"]}, Path("unused"))


def test_tables_are_merged_by_key_and_all_else_as_a_whole() -> None:
    assert merge_tables({"a": 1, "b": 2}, {"b": 3}) == {"a": 1, "b": 3}
    assert merge_tables([1, 2], [3]) == [3]
    assert merge_tables(None, {"b": 3}) == {"b": 3}


def test_choices_reach_into_tables_and_choose_nothing_where_they_say_nothing() -> None:
    settings = {"seeds": 3, "tuning": {"worth": 4, "sampler": "tpe"}}
    found = apply_choices(settings, {"seeds": None, "tuning.worth": 2, "batch_sizes": ()})
    assert found == {"seeds": 3, "tuning": {"worth": 2, "sampler": "tpe"}}
    assert settings["tuning"] == {"worth": 4, "sampler": "tpe"}


def test_what_is_said_for_all_is_taken_from_single_problems() -> None:
    found = drop_problem_settings(BASE.settings, {"run_budget": "1epochs"})
    assert found["problems"] == [{"select": "a[x=1,y=two]", "batch_sizes": [10]}, "b"]
    assert drop_problem_settings(BASE.settings, {"run_budget": None}) == BASE.settings
    assert drop_problem_settings({}, {"run_budget": "1epochs"}) == {}


@pytest.mark.parametrize(
    ("chosen", "said", "expected"),
    [
        ("a[x=1,y=two]", {}, OWN),
        ("a[y=two,x=1]", {}, OWN | {"select": "a[y=two,x=1]"}),
        ("a[x=1,y=two]", {"batch_sizes": [7]}, {"select": "a[x=1,y=two]", "run_budget": "3epochs"}),
        ("a[x=2,y=two]", {}, "a[x=2,y=two]"),
        ("b", {}, "b"),
        ("b[x=[1,2]]", {}, "b[x=[1,2]]"),
        ({"select": "a[x=1,y=two]"}, {}, {"select": "a[x=1,y=two]"}),
    ],
)
def test_a_problem_of_the_base_keeps_its_budget(chosen: Any, said: dict[str, Any], expected: Any) -> None:
    assert keep_problem_settings(BASE, {"problems": [chosen]}, said) == {"problems": [expected]}


def test_of_a_sweep_the_parts_that_are_in_the_base_keep_theirs() -> None:
    swept = BaseSettings({"problems": [{"select": "a[x=[1,2]]", "run_budget": "3epochs"}]}, Path("unused"))
    own = {"run_budget": "3epochs"}
    assert keep_problem_settings(swept, {"problems": ["a[x=2]"]}, {}) == {"problems": [{"select": "a[x=2]", **own}]}
    assert keep_problem_settings(swept, {"problems": ["a[x=[3,1]]"]}, {}) == {
        "problems": ["a[x=3]", {"select": "a[x=1]", **own}]
    }


def test_what_is_no_list_is_left_to_be_refused() -> None:
    assert keep_problem_settings(BASE, {"problems": "a"}, {}) == {"problems": "a"}
    assert keep_problem_settings(BASE, {}, {}) == {}
