"""Targets from a pool: quantiles of its cells, from seeds that comparisons don't use."""

from __future__ import annotations

import math

import pytest

from optbench.errors import UserError
from optbench.metrics.targets.freeze import freeze
from tests.support.rows import cell_of, frame, run_of


@pytest.mark.parametrize("higher", [True, False])
def test_three_quarters_of_the_pool_meet_the_easy_target(higher: bool) -> None:
    sign = 1 if higher else -1
    cells = [cell_of(f"o{index}", metric_higher_is_better=higher, problem_version="2") for index in range(8)]
    runs = [
        run_of(cell, seed, valid_metric=sign * (index + 0.94667 + seed / 100) if seed >= 3 else sign * 1000.0)
        for index, cell in enumerate(cells) for seed in range(6)
    ]  # fmt: skip
    entry = freeze(frame(runs, "runs"), frame(cells, "cells"), 3)["p"]
    # More digits than targets are given with: rounding must not put a target out of reach of who set it.
    medians = [sign * (index + 0.94667 + 0.04) for index in range(8)]
    for name, share in (("easy", 6), ("medium", 4), ("hard", 2)):
        met = sum(value >= entry["targets"][name] if higher else value <= entry["targets"][name] for value in medians)
        assert met == share
    assert "seeds 3 to 5" in entry["source"]
    assert entry["problem_version"] == "2"
    with pytest.raises(UserError, match="does not record the version of problem p"):
        freeze(frame(runs, "runs"), frame([cell | {"problem_version": ""} for cell in cells], "cells"), 3)


def test_failures_are_worst_and_default_runs_no_part_of_the_pool() -> None:
    cells = [cell_of(f"o{index}", problem_version="1") for index in range(4)]
    runs = [run_of(cell, 0, valid_metric=0.5 + index / 10) for index, cell in enumerate(cells)]
    runs += [run_of(cell, 0, tuned=False, valid_metric=0.99) for cell in cells]
    runs[3] |= {"status": "diverged", "valid_metric": math.nan}
    entry = freeze(frame(runs, "runs"), frame(cells, "cells"))["p"]
    assert entry["targets"] == {"easy": 0.5, "medium": 0.6, "hard": 0.7}
    lost = [run | {"status": "diverged"} for run in runs]
    assert freeze(frame(lost, "runs"), frame(cells, "cells")) == {}


def test_a_pool_that_is_not_complete_says_what_has_run() -> None:
    missing, done = (
        cell_of("a", problem_version="1", run_budget=math.nan),
        cell_of("b", problem_version="1", run_budget=800),
    )
    entry = freeze(frame([run_of(done, 0, valid_metric=0.5)], "runs"), frame([missing, done], "cells"))["p"]
    assert "1 optimizers at batch sizes 10, tuned, run budget 800, seeds 0 to 0" in entry["source"]
