"""The guarantees of a cell, for optimizers that are tuned in all that a recipe has.

Equal compute, the same numbers in every execution, and the same bits after an interruption at any point.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import optbench
from tests.support.recipes import RECIPES, SEARCH
from tests.support.same_results import MACHINE, assert_same_results
from tests.support.tiny import TINY, TINY_NET, run_tiny

CHOICES: dict[str, Any] = {
    "optimizers": list(RECIPES), "batch_sizes": [20], "run_budget": "600examples", "evaluations": 6, "seeds": 2,
}  # fmt: skip


def run(folder: Path, problem: str = TINY, worth: float = 5, **choices: Any) -> optbench.Results:
    return run_tiny(folder, problems=[problem], tuning_worth=worth, **CHOICES, **choices)


@pytest.fixture(scope="module", params=[TINY, TINY_NET], ids=["tiny", "tiny_net"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, optbench.Results]:
    """All recipes on a problem, undisturbed."""
    return request.param, run(tmp_path_factory.mktemp("recipes") / "run", request.param)


def test_every_dimension_is_searched(whole: tuple[str, optbench.Results]) -> None:
    trials = whole[1].trials
    for optimizer, own in trials.groupby("optimizer", observed=True):
        for name in ["lr", *([f"hp_{one}" for one in SEARCH if one != "lr"] if optimizer != "LBFGS" else [])]:
            assert own[name].nunique() >= 3, (optimizer, name)


def test_budgets_hold_to_the_third_of_an_example(whole: tuple[str, optbench.Results]) -> None:
    results = whole[1]
    cells = results.cells.set_index("optimizer")
    assert (cells["status"] == "ok").all()
    for optimizer, own in results.trials.groupby("optimizer", observed=True):
        thirds = own["cost"] * 3
        assert np.allclose(thirds, thirds.round(), rtol=0, atol=1e-6)
        assert own["cost"].sum() == pytest.approx(cells.loc[optimizer, "tuning_cost"], abs=1e-9)
        assert own["cost"].sum() <= cells.loc[optimizer, "tuning_budget"]
        assert (own["cost"] <= 600).all()
    first_order = results.runs[results.runs["optimizer"] != "LBFGS"]
    assert set(first_order.loc[first_order["status"] == "ok", "cost"]) == {600}
    assert (results.runs["cost"] <= 600).all()


FIXED = (
    "momentum[weight_decay=0.01,clip_norm=1,average_share=0.5]",
    "adam[weight_decay=0.1,clip_value=0.5,average_decay=0.9]",
)


def test_populations_give_the_numbers_of_single_trainings(tmp_path: Path) -> None:
    """In float64, with only the rate tuned: the same trials, chosen rates and curves up to rounding."""
    choices = {**CHOICES, "optimizers": list(FIXED), "problems": [TINY], "schedules": ["wsd[decay=0.3,warmup=12]"]}
    together, alone = (
        run_tiny(tmp_path / name, **choices, tuning_worth=4, execution=name) for name in ("population", "eager")
    )
    assert (set(together.cells["execution"]), set(alone.cells["execution"])) == ({"population"}, {"eager"})
    for name in ("trials", "runs", "curves"):
        one, other = getattr(together, name), getattr(alone, name)
        assert len(one) == len(other) > 0
        for column in one.select_dtypes("number").columns.difference(MACHINE):
            values = [frame[column].to_numpy(dtype=float, na_value=np.nan) for frame in (one, other)]
            np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-12, err_msg=f"{name}.{column}")


@pytest.mark.parametrize("kept", [1, 7, -1])
def test_a_tuning_that_was_cut_short_continues_to_the_same_bits(
    whole: tuple[str, optbench.Results], kept: int, tmp_path: Path
) -> None:
    """Only the first trials are left, or all but the last, and no run."""
    problem, results = whole
    folder = tmp_path / "run"
    shutil.copytree(results.directory.folder, folder)
    for trials in (folder / "cells").glob("*/trials.jsonl"):
        lines = trials.read_bytes().splitlines(keepends=True)
        trials.write_bytes(b"".join(lines[:kept]))
        (trials.parent / "result.json").unlink()
        for one in (trials.parent / "runs").iterdir():
            one.unlink()
    assert optbench.load(folder).trials["cost"].sum() < results.trials["cost"].sum()
    run(folder, problem)
    assert_same_results(folder, results.directory.folder)


def test_the_averaged_weights_are_what_runs_end_with(tmp_path: Path) -> None:
    """A fixed recipe with and without its average: same cost and training losses, other results."""
    base = RECIPES[0] + "[lr=0.1,weight_decay=0.01,momentum=0.9,lr_warmup=0.1,lr_cooldown=0.3,clip_norm=1,{}]"
    texts = [base.format(f"average_share={share}") for share in ("none", 0.5)]
    frames: list[pd.DataFrame] = []
    for place, text in enumerate(texts):
        frames.append(run_tiny(tmp_path / str(place), problems=[TINY_NET], **{**CHOICES, "optimizers": [text]}).runs)
    plain, averaged = frames
    assert (plain["cost"] == averaged["cost"]).all()
    assert (plain["test_loss"] != averaged["test_loss"]).all()
