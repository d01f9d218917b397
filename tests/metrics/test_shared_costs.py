"""Costs at which seeds are compared, by a plain loop."""

from __future__ import annotations

import numpy as np
import pandas as pd

from optbench.metrics.shared_costs import align_costs


def test_all_seeds_have_had_equally_many_evaluations() -> None:
    rng = np.random.default_rng(0)
    points = np.arange(1, 7) * 1000.0
    seeds = {seed: [0.0, *(points + rng.integers(0, 90, 6))] for seed in range(4)}
    seeds[3] = seeds[3][:4]  # it diverged
    rows = [{"seed": seed, "cost": cost} for seed, costs in seeds.items() for cost in costs]
    found = align_costs(pd.DataFrame(rows).sample(frac=1, random_state=int(rng.integers(100))))
    wanted = [max(costs[k] for costs in seeds.values() if k < len(costs)) for k in range(7)]
    np.testing.assert_array_equal(found, wanted)
    for k, cost in enumerate(found):
        assert {sum(each <= cost for each in costs) for seed, costs in seeds.items() if seed != 3} == {k + 1}


def test_equal_costs_are_all_there() -> None:
    frame = pd.DataFrame({"seed": [0, 0, 1, 1], "cost": [0.0, 10.0, 0.0, 10.0]})
    assert list(align_costs(frame)) == [0.0, 10.0]
