"""The protocol in words: what it says of weight decay and schedules is what was run."""

from __future__ import annotations

import pandas as pd
import pytest

from optbench.reporting.methods import methods


def last_paragraph(**columns: list[object]) -> str:
    runs = pd.DataFrame({"optimizer": ["sgd", "adamw"], "schedule": ["constant"] * 2} | columns)
    return methods({}, "test_metric", runs)[-1]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "Weight decay is 0. Gradients are not clipped. The learning rate is constant."),
        ({"hp_weight_decay": [None, 0.0]}, "Weight decay is 0. "),
        ({"hp_weight_decay": [None, 0.01]}, "Weight decay is 0, except for adamw. "),
        ({"hp_lr_schedule": [None, "cosine"]}, "The learning rate is constant; with a schedule of their own: adamw."),
        ({"hp_clip_norm": [1.0, None]}, "Gradients are not clipped, except by sgd. "),
        ({"schedule": ["cosine"] * 2}, "The learning rate follows the schedule cosine."),
        ({"schedule": ["constant", "cosine"]}, "constant, or follows the schedule cosine where it is named."),
    ],
)
def test_weight_decay_clipping_and_schedules_are_those_of_the_runs(columns: dict[str, list[object]], said: str) -> None:
    assert said in last_paragraph(**columns)
