"""Simulated losses over several dimensions, on which samplers are compared, and what the tuning makes of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optbench.budget import parse_budget
from tests.support import dimensions
from tests.support.dimensions import START, Surface, Trainings, cell_of, main, simulate


def point(surface: Surface, shares: np.ndarray) -> dict[str, Any]:
    return {name: surface.space[name].at(float(share)) for name, share in zip(surface.names, shares, strict=True)}


@pytest.mark.parametrize("optimizer", ["adamw_recipe", "momentum_recipe"])
def test_the_optimum_is_known(optimizer: str) -> None:
    """No point of a random thousand is better, and none is above the start, unless it diverges."""
    surface = Surface(cell_of(optimizer, "tpe", "race", 16), 3)
    assert surface.excess(point(surface, surface.optimum)) == pytest.approx(0, abs=1e-9)
    drawn = np.random.default_rng(0).random((1000, len(surface.names)))
    excess = np.array([surface.excess(point(surface, shares)) for shares in drawn])
    assert excess.min() > 0
    assert excess[np.isfinite(excess)].max() <= surface.depth
    assert 0 < np.isinf(excess).mean() < 0.9, "there is a cliff"


def test_a_surface_is_the_same_in_every_process() -> None:
    """Regrets of rules that are computed one after another are compared."""
    surface = Surface(cell_of("adamw_recipe", "gp", "none", 32), 3)
    values = point(surface, np.full(len(surface.names), 0.5)) | {"lr": 1e-4}
    assert surface.excess(values) == pytest.approx(0.7159, abs=1e-4)


def test_short_prefixes_prefer_higher_rates_and_seeds_are_noise() -> None:
    surface = Surface(cell_of("momentum_recipe", "tpe", "race", 16), 1)
    best = {}
    for share in (1 / 8, 1.0):
        shares = np.tile(surface.optimum, (41, 1))
        shares[:, surface.rate] += np.linspace(-0.1, 0.1, 41)
        best[share] = int(np.argmin([surface.excess(point(surface, one), share) for one in shares]))
    assert best[1 / 8] > best[1.0] == 20
    values = point(surface, surface.optimum)
    curves = np.array([surface.curve(values, seed) for seed in range(40)])
    assert (curves[:, 0] == START).all()
    assert np.log(curves[:, -1]).mean() == pytest.approx(math.log(START) - surface.depth, abs=0.03)
    assert 0.02 < np.log(curves[:, -1]).std() < 0.05
    assert (surface.curve(values, 0) == curves[0]).all()


def test_the_default_finds_better_points_than_random_search() -> None:
    """At equal cost, on the same losses; neither is ever better than the optimum."""
    regrets = {
        sampler: simulate(cell_of("adamw_recipe", sampler, pruner, 16), 8)
        for sampler, pruner in (("tpe", "race"), ("random", "none"))
    }
    assert min(map(np.min, regrets.values())) >= 1
    assert np.log(regrets["tpe"]).mean() < np.log(regrets["random"]).mean()


def test_trainings_are_tuned_and_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tuning of a few steps of a real network; the loss of its chosen point is that on fresh seeds."""
    monkeypatch.setattr(dimensions, "SEEDS", 2)
    cell = replace(cell_of("momentum_recipe", "tpe", "race", 2), run_budget=parse_budget("320examples"))
    trainings = Trainings(cell)
    chosen = trainings.choose(0)
    assert chosen is not None
    assert chosen.keys() == cell.optimizer.search.keys()
    assert 0 < trainings.judge(chosen) < 3 * START


def test_the_table_has_the_regret_of_each_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"optimizer": "adamw_recipe", "pruner": "race", "worth": 16.0, "chosen": {}}
    losses = [("tpe", 0, 0.1), ("tpe", 1, 0.2), ("gp", 0, 0.4), ("gp", 1, 0.1)]
    lines = [{**rule, "sampler": sampler, "study": study, "loss": loss} for sampler, study, loss in losses]
    file = tmp_path / "trained.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    main("table", str(file))
    tpe, gp = capsys.readouterr().out.splitlines()
    assert tpe.startswith("tpe, pruner race, worth 16, n = 2: geometric mean 1.414")
    assert gp.startswith("gp, pruner race, worth 16, n = 2: geometric mean 2.000")
