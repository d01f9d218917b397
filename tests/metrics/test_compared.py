"""Which runs a comparison rests on."""

from __future__ import annotations

import pandas as pd

from optbench.metrics.compared import (
    directions,
    drop_copied_runs,
    drop_repeated_runs,
    find_copies,
    keep_shared_seeds,
    select_runs,
)
from tests.support.rows import cell_of, frame, run_of


def test_tuned_runs_or_default_ones_where_nothing_was_to_tune() -> None:
    tuned, fixed, unfinished = cell_of("adam"), cell_of("sgd", trials=0), cell_of("nadam", trials=4)
    runs = frame(
        [run_of(tuned, 0), run_of(tuned, 0, tuned=False), run_of(fixed, 0, tuned=False),
         run_of(unfinished, 0, tuned=False), run_of(tuned, 1, status="skipped")], "runs",
    )  # fmt: skip
    chosen = select_runs(runs, frame([tuned, fixed, unfinished], "cells"))
    assert chosen[["optimizer", "seed", "tuned"]].values.tolist() == [
        ["adam", 0, True], ["sgd", 0, False], ["adam", 1, True],
    ]  # fmt: skip


def test_a_seed_counts_once() -> None:
    cell = cell_of()
    runs = frame([run_of(cell, 0, test_loss=1.0), run_of(cell, 1), run_of(cell, 0, test_loss=2.0)], "runs")
    assert drop_repeated_runs(runs)["test_loss"].tolist() == [1.0, 0.5]
    assert drop_repeated_runs(runs.iloc[:2]) is not None
    pd.testing.assert_frame_equal(drop_repeated_runs(runs.iloc[:2]), runs.iloc[:2])


def test_seeds_without_effect_are_one_observation() -> None:
    """The trap: one seed reused for all later runs, and an interval of no width from them."""
    cell, same = cell_of(), {"train_loss": 0.1, "valid_loss": 0.2, "test_loss": 0.3}
    runs = frame([run_of(cell, 0, **same), run_of(cell, 1, **same), run_of(cell, 2, **same | {"test_loss": 0.31}),
                  run_of(cell, 0, tuned=False, **same), run_of(cell_of("sgd"), 1, **same),
                  run_of(cell, 3, status="diverged", **same), run_of(cell, 4), run_of(cell, 5)], "runs")  # fmt: skip
    kept = drop_copied_runs(runs)
    assert kept.index.tolist() == [0, 2, 3, 4, 5, 6, 7], "failures and unknown losses prove nothing"


def test_copies_differ_in_their_last_bits() -> None:
    """The last bits of a run depend on the number of runs that are trained at once."""
    cell, same = cell_of(), {"train_loss": 0.1, "valid_loss": 0.2, "test_loss": 0.3}
    single = [run_of(cell, seed, **_scaled(same, bits)) for seed, bits in ((1, 0.0), (0, 1e-7), (2, -1e-7))]
    assert find_copies(frame(single, "runs")).tolist() == [0, 0, 0]
    double = [run_of(cell, seed, **_scaled(same, bits)) for seed, bits in ((1, 0.0), (0, 2e-16), (2, 1e-5))]
    assert find_copies(frame(double, "runs")).tolist() == [0, 0, 2]


def test_different_seeds_that_end_close_to_each_other_are_no_copies() -> None:
    """The losses of seeds on other batches, at a low rate in double precision: two of ten are close by chance."""
    losses = [(40.325860007672638, 40.419623761910692), (40.325854649437666, 40.419618421617464),
              (40.323958244973319, 40.417718700353788)]  # fmt: skip
    runs = [run_of(cell_of(), seed, train_loss=train, valid_loss=other, test_loss=other)
            for seed, (train, other) in enumerate(losses)]  # fmt: skip
    assert find_copies(frame(runs, "runs")).tolist() == [0, 1, 2]
    pair = [run_of(cell_of(), seed, train_loss=loss, valid_loss=loss, test_loss=loss)
            for seed, loss in enumerate((57.473562403684, 57.473518430852))]  # fmt: skip
    assert find_copies(frame(pair, "runs")).tolist() == [0, 1]


def _scaled(losses: dict[str, float], by: float) -> dict[str, float]:
    return {name: loss * (1 + by) for name, loss in losses.items()}


def test_shared_seeds_have_a_tuned_and_a_default_run_of_their_cell() -> None:
    both, fixed, missing = cell_of("adam"), cell_of("sgd", trials=0), cell_of("nadam")
    runs = frame(
        [*(run_of(both, seed) for seed in (0, 1, 2, 3)), *(run_of(both, seed, tuned=False) for seed in (4, 1, 0)),
         run_of(fixed, 0, tuned=False), run_of(fixed, 9, tuned=False), run_of(missing, 5), run_of(both, 3)], "runs",
    )  # fmt: skip
    kept = keep_shared_seeds(runs)
    assert kept[["optimizer", "seed", "tuned"]].values.tolist() == [
        ["adam", 0, True], ["adam", 1, True], ["adam", 1, False], ["adam", 0, False],
        ["sgd", 0, False], ["sgd", 9, False], ["nadam", 5, True],
    ]  # fmt: skip


def test_directions_ignore_cells_that_do_not_say() -> None:
    cells = frame([cell_of(problem="a"), cell_of(problem="b", metric_higher_is_better=False),
                   cell_of("sgd", problem="b", metric_higher_is_better=None)], "cells")  # fmt: skip
    assert directions(cells).to_dict() == {"a": True, "b": False}
