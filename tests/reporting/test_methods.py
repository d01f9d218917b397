"""The protocol in words: what it says of weight decay and schedules is what was run."""

from __future__ import annotations

import pandas as pd
import pytest

from optbench.reporting.methods import methods
from optbench.tuning.race import SECOND_SEED_FROM


def last_paragraph(**columns: list[object]) -> str:
    runs = pd.DataFrame({"optimizer": ["sgd", "adamw"], "schedule": ["constant"] * 2, "seed": [0, 0]} | columns)
    return methods({}, "test_metric", runs)[-1]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "Weight decay is 0. Gradients are not clipped. The learning rate is constant."),
        ({"hp_weight_decay": [None, 0.0]}, "Weight decay is 0. "),
        ({"hp_weight_decay": [None, 0.01]}, "Weight decay is 0, except for adamw. "),
        ({"hp_lr_schedule": [None, "cosine"]}, "The learning rate is constant; with a schedule of their own: adamw."),
        ({"hp_clip_norm": [1.0, None]}, "Gradients are not clipped, except by sgd (global norm at most 1). "),
        ({"hp_clip_norm": [0.0, None]}, "Gradients are not clipped. "),
        ({"hp_own_clip": [2.0, None]}, "Gradients are not clipped, except by sgd. "),
        (
            {"hp_clip_norm": [1.0, 0.5], "hp_clip_value": [0.25, None]},
            "except by sgd (each coordinate at most 0.25; global norm at most 1) and adamw (global norm at most 0.5). ",
        ),
        ({}, "Evaluations use the weights of the optimizer."),
        ({"hp_average_decay": [0.0, None]}, "Evaluations use the weights of the optimizer."),
        (
            {"hp_average_decay": [0.99, None], "hp_average_share": [None, 0.25]},
            "except for averages of sgd (exponential with decay 0.99) and adamw (over the last 0.25 of the run).",
        ),
        ({"schedule": ["cosine"] * 2}, "The learning rate follows the schedule cosine."),
        ({"hp_lr_warmup": [0.0, 20]}, "The learning rate is constant; with a schedule of their own: adamw."),
        ({"hp_lr_warmup": [None, 0.0]}, "The learning rate is constant."),
        ({"schedule": ["cosine"] * 2}, "cosine is a cosine decay to 0."),
        (
            {"schedule": ["constant", "wsd[decay=0.2,shape=sqrt,warmup=100]"]},
            "where it is named. wsd[decay=0.2,shape=sqrt,warmup=100] is a linear warm-up over the first 100 steps of "
            "the run, then a constant rate, and over the last 20 % of the run a decay of shape sqrt to 0. A step of a "
            "schedule is the gradient of one batch.",
        ),
        ({"schedule": ["unheard[of=1]"] * 2}, "The learning rate follows the schedule unheard[of=1]."),
        ({"schedule": ["constant", "cosine"]}, "constant, or follows the schedule cosine where it is named."),
    ],
)
def test_weight_decay_clipping_and_schedules_are_those_of_the_runs(columns: dict[str, list[object]], said: str) -> None:
    assert said in last_paragraph(**columns)


def test_values_that_differ_between_runs_are_a_range_with_their_number() -> None:
    runs = {"optimizer": ["sgd"] * 4, "schedule": ["constant"] * 4, "seed": range(4)}
    text = methods({}, "test_metric", pd.DataFrame({**runs, "hp_clip_norm": [0.5, 2.0, 0.0, None]}))[-1]
    assert "except by sgd (global norm at most 0.5 to 2, in 2 of 4 runs). " in text


TPE = {"worth": 4.0, "sampler": "tpe", "pruner": "none", "studies": 1}


@pytest.mark.parametrize(
    ("tuning", "said", "unsaid"),
    [
        (TPE, ["(4 run budgets)", "the TPE sampler proposes", "the range is extended", "first trial uses"], ["grid"]),
        (TPE | {"sampler": "grid"}, ["the points of a grid over the range"], ["TPE", "the range is extended"]),
        (TPE | {"sampler": "random", "pruner": "median"}, ["independent random", "worse than the median"], ["TPE"]),
        (TPE | {"pruner": "race"}, ["Trials race", "same seed, which no final run has."], ["further seeds"]),
        (
            TPE | {"pruner": "race", "worth": SECOND_SEED_FROM},
            ["All points are compared on the same seed, and the two best ones are also"],
            ["have the same seed"],
        ),
        (TPE | {"pruner": "race", "worth": 12.0}, ["Trials race", "same seed", "(12 run budgets)"], ["design that"]),
        (TPE | {"worth": 0.0}, ["Nothing was tuned"], ["sampler", "same budget for tuning", "trials are compared"]),
        (TPE | {"studies": 6}, ["repeated 6 times"], []),
    ],
)
def test_tuning_is_described_as_it_is_configured(tuning: dict[str, object], said: list[str], unsaid: list[str]) -> None:
    runs = pd.DataFrame({"optimizer": ["sgd"] * 5, "schedule": ["constant"] * 5, "seed": range(5)})
    text = " ".join(methods({"tuning": tuning}, "test_metric", runs))
    assert "Final runs use 5 seeds that no trial has used." in text
    for part in said:
        assert part in text, part
    for part in unsaid:
        assert part not in text, part
