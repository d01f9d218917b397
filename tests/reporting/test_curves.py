"""Curves of the page: medians and bands by a plain loop, failures, and thinning."""

from __future__ import annotations

import json
import math
import statistics

import numpy as np

from optbench.reporting.curves import band, curves_json
from tests.support.frames import make


def test_median_and_band_by_a_plain_loop() -> None:
    frames = make(optimizers=["adagrad", "sgd"], problems=["quadratic_valley"], batch_sizes=[32])
    data = json.loads(curves_json(frames.curves, frames.runs, frames.cells))
    assert set(data) == set(frames.cells["cell_id"])
    for cell_id, cell in frames.curves[frames.curves["tuned"]].groupby("cell_id"):
        found = data[cell_id]["valid_loss"]
        at = found["median"].get("at", range(len(data[cell_id]["cost"])))
        for place, middle, low, high in zip(
            at, found["median"]["is"], found["median"]["low"], found["median"]["high"], strict=True
        ):
            cost, values = data[cell_id]["cost"][place], []
            for _, seed in cell.groupby("seed"):
                until = seed[seed["cost"] <= cost + 1e-9]
                lost = seed["status"].iloc[0] != "ok" and cost > seed["cost"].max() + 1e-9
                last = until["valid_loss"].iloc[-1]
                values.append(math.inf if lost or not math.isfinite(last) else last)
            known = statistics.median(values)
            if math.isinf(known):
                assert middle is low is high is None
            else:
                finite = [value for value in values if math.isfinite(value)]
                np.testing.assert_allclose([middle, low, high], [known, min(finite), max(finite)], rtol=1e-4)
        failed = cell.groupby("seed")["status"].first().ne("ok")
        assert {line["seed"] for line in found["seeds"] if line.get("failed")} == set(failed[failed].index)


def test_seeds_that_are_evaluated_at_unlike_costs_make_no_staircase() -> None:
    """Of line searches: each seed's steps cost something else, and all losses fall."""
    frames = make(optimizers=["sgd"], problems=["quadratic_valley"], batch_sizes=[32], seeds=3)
    own = frames.curves["tuned"].to_numpy() & (frames.curves["kind"] == "run").to_numpy()
    index = frames.curves.groupby(["cell_id", "kind", "tuned", "seed"], observed=True)["cost"].rank().to_numpy() - 1
    curves = frames.curves.assign(
        cost=np.where(own, 100.0 * index + 3 * frames.curves["seed"] * (index > 0), frames.curves["cost"]),
        valid_loss=np.where(own, 10.0 ** -np.minimum(index, 200) + frames.curves["seed"] / 1e6, 1.0),
    )
    (data,) = json.loads(curves_json(curves, frames.runs, frames.cells)).values()
    line = data["valid_loss"]["median"]
    costs = [data["cost"][place] for place in line.get("at", range(len(data["cost"])))]
    assert costs == [100.0 * k + 6 * (k > 0) for k in range(len(costs))]  # those of the last seed
    np.testing.assert_allclose(line["is"], [10.0**-k + 1e-6 for k in range(len(costs))], rtol=1e-4)
    assert len(costs) > 3


def test_from_ten_seeds_on_the_band_is_that_of_the_quartiles() -> None:
    values = np.random.default_rng(1).normal(size=(12, 5))
    middle, low, high = band(values, math.inf)
    np.testing.assert_allclose([low, middle, high], np.percentile(values, [25, 50, 75], axis=0))


def test_default_runs_and_trials_are_no_part_of_them() -> None:
    frames = make(optimizers=["adam"], problems=["quadratic_valley"], batch_sizes=[32], seeds=2)
    alone = frames.curves[frames.curves["tuned"]]
    both = curves_json(frames.curves, frames.runs, frames.cells)
    assert both == curves_json(alone, frames.runs, frames.cells)
    assert curves_json(frames.curves.iloc[:0], frames.runs, frames.cells) == "{}"


def test_copies_of_a_seed_are_drawn_once() -> None:
    frames = make(optimizers=["adagrad"], problems=["quadratic_valley"], batch_sizes=[32], seeds=4)
    runs = frames.runs.assign(status="ok")
    losses = ["train_loss", "valid_loss", "test_loss"]
    runs.loc[runs["seed"].isin([0, 1, 2]), losses] = [0.1, 0.2, 0.3]
    (data,) = json.loads(curves_json(frames.curves, runs, frames.cells)).values()
    assert [line["seed"] for line in data["valid_loss"]["seeds"]] == [0, 3]
