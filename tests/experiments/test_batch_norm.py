"""Batch normalisation: steps to an accuracy on straight lines, and verdicts both ways."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from optbench.experiments import batch_norm
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from tests.support.experiment_tables import SEEDS, noise, verdicts


def curves(speeds: dict[tuple[str, float], float]) -> pd.DataFrame:
    rows = [
        {"network": "net", "arm": arm, "factor": factor, "seed": seed, "status": "ok", "step": step,
         "valid_metric": min(1.0, speed * step / 100)}
        for (arm, factor), speed in speeds.items() for seed in SEEDS for step in range(0, 110, 10)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def final_errors(batch: float, sequential: float, saved: float) -> pd.DataFrame:
    errors = {
        ("none", 0.0, "shuffled"): 0.2, ("none", 0.5, "shuffled"): 0.2 - saved, ("batch", 0.0, "shuffled"): batch,
        ("batch", 0.5, "shuffled"): batch, ("batch", 0.0, "sequential"): sequential,
    }  # fmt: skip
    return pd.DataFrame([
        {"norm": norm, "dropout": p, "order": order, "seed": seed, "test_error": value + 1e-4 * noise()}
        for (norm, p, order), value in errors.items() for seed in SEEDS
    ])  # fmt: skip


def test_batch_norm_compares_steps_to_what_every_run_without_reached() -> None:
    table = batch_norm.steps(
        curves({("none", 1.0): 0.5, ("batch", 1.0): 1.0, ("batch", 5.0): 4.0, ("batch", 30.0): 0.2})
    )
    reached = table.groupby(["arm", "factor"])["steps"].first()
    assert (reached["none", 1.0], reached["batch", 1.0], reached["batch", 5.0]) == (100.0, 50.0, 12.5)
    assert math.isinf(reached["batch", 30.0])
    measurements = batch_norm.evaluate({"steps": table, "final": final_errors(0.1, 0.15, 0.05)})
    assert verdicts(measurements) == [HOLDS, HOLDS, FAILS, HOLDS, HOLDS]  # 30 times the rate never gets there
    assert measurements[0].measured == pytest.approx(2)
    assert measurements[0].predicted == pytest.approx(31.0 / 13.3)
    measurements = batch_norm.evaluate({"steps": table, "final": final_errors(0.1, 0.05, -0.05)})
    assert verdicts(measurements)[-2:] == [FAILS, FAILS]


def test_some_that_never_get_there_leave_it_open() -> None:
    table = batch_norm.steps(curves({("none", 1.0): 0.5, **{("batch", f): 1.0 for f in batch_norm.TABLE}}))
    table.loc[(table["arm"] == "batch") & (table["factor"] == 5) & (table["seed"] == 0), "steps"] = math.inf
    assert verdicts(batch_norm.evaluate({"steps": table, "final": final_errors(0.1, 0.15, 0.05)}))[:3] == [
        HOLDS,
        UNKNOWN,
        HOLDS,
    ]


def test_the_legend_covers_no_curve() -> None:
    made = curves({("none", 1.0): 0.5, ("batch", 1.0): 1.0, ("batch", 5.0): 4.0, ("batch", 30.0): 0.2})
    made = pd.concat([made, made.assign(network="other")]).assign(optimizer="sgd", batch_size=50)
    tables = {"curves": made, "steps": batch_norm.steps(made), "final": final_errors(0.1, 0.15, 0.05)}
    figure = batch_norm.draw(tables, batch_norm.evaluate(tables))
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 4
    around = [*(ax.get_tightbbox() for ax in figure.axes), *(text.get_window_extent() for text in figure.texts)]
    assert not any(legend.get_window_extent().overlaps(box) for box in around)
    assert not any(ax.get_legend() for ax in figure.axes)
