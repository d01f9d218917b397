"""Names of schedules are long: they fit into titles and headings, and no two texts of a figure overlap."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from optbench.plots import style
from optbench.plots.batch_size_heatmap import batch_size_heatmap
from optbench.plots.grid import grid
from optbench.plots.loss_against_cost import loss_against_cost
from optbench.plots.lr_sensitivity import lr_sensitivity

SCHEDULES = (
    "constant",
    "cosine[final=0.1,warmup=0.05]",
    "wsd[decay=0.2,shape=sqrt,warmup=100]",
    "restarts[cycles=3,factor=2,final=0.01,warmup=100]",
    "wsd[decay=0.25,shape=exponential,final=0.05,warmup=100]",
)


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return pd.DataFrame([
        {
            "cell_id": f"{optimizer}-{size}-{schedule}", "problem": "mlp", "optimizer": optimizer, "batch_size": size,
            "device": "cpu", "schedule": schedule, "status": "ok", "error": "", "lr_default": 0.01, "lr_tuned": 0.1,
            "lr_low": 1e-4, "lr_high": 1.0, "lr_low_searched": 1e-4, "lr_high_searched": 1.0,
            "metric_name": "accuracy", "metric_higher_is_better": True, "target": 0.9, "trials": 10,
        }
        for optimizer in ("adam", "momentum") for size in (32, 128) for schedule in SCHEDULES
    ])  # fmt: skip


def overlapping(figure: Figure) -> Iterator[tuple[str, str]]:
    """Pairs of titles, headings and labels of the axes that overlap."""
    figure.canvas.draw()
    texts = [text for text in figure.texts if text.get_text()]
    for ax in figure.axes:
        ticks = [*ax.get_xticklabels(), *ax.get_yticklabels()] if len(ax.get_xticklabels()) > 1 else []
        texts += [text for text in (ax.title, ax._left_title, ax.xaxis.label, *ticks) if text.get_text()]  # type: ignore[attr-defined]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_visible()]
    for (name, box), (other, beside) in combinations(boxes, 2):
        across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
        if across > 1 and min(box.y1, beside.y1) - max(box.y0, beside.y0) > 1:
            yield name, other


def drawn(cells: pd.DataFrame) -> dict[str, Figure]:
    runs = cells.assign(
        seed=0, lr=0.1, tuned=True, kind="run", trial=-1, step=0, seconds=0.0, valid_loss=1.0, valid_metric=0.5,
        test_metric=0.5, test_loss=1.0, n_ok=1, n_runs=1, rank=1.0, train_loss=1.0,
    )  # fmt: skip
    curves = pd.concat([runs.assign(cost=float(cost), valid_loss=2.0 / (1 + cost)) for cost in range(5)])
    figures: dict[str, Any] = {
        "loss": loss_against_cost(curves, cells, "mlp")[0],
        "rates": lr_sensitivity(runs.assign(trial=0), runs, cells, "mlp")[0],
        "heat": batch_size_heatmap(runs, cells, "mlp")[0],
        "grid": grid(cells, ["adam", "momentum"], "title", "subtitle", [])[0],
    }
    return figures


def test_no_texts_overlap_with_several_schedules_with_long_names(cells: pd.DataFrame) -> None:
    assert {name: list(overlapping(figure)) for name, figure in drawn(cells).items()} == {
        "loss": [], "rates": [], "heat": [], "grid": [],
    }  # fmt: skip


def test_labels_are_wrapped_after_commas_and_before_brackets() -> None:
    name = "batch 32, wsd[decay=0.2,shape=sqrt,warmup=100]"
    assert style.wrap_label(name, 100) == name
    assert style.wrap_label(name, 30) == "batch 32, wsd[decay=0.2,\nshape=sqrt,warmup=100]"
    assert style.wrap_label("wsd[decay=0.25,shape=exponential]", 10) == "wsd\n[decay=0.25,\nshape=exponential]"
    assert style.wrap_title("batch 32", 3.1) == ("batch 32", 10)


def test_a_long_list_of_schedules_is_a_number(cells: pd.DataFrame) -> None:
    assert style.scope(cells) == "on cpu, 5 learning rate schedules"
    assert style.scope(cells[cells["schedule"] == SCHEDULES[2]]) == f"on cpu, {SCHEDULES[2]} learning rate"
    assert style.scope(cells[cells["schedule"].isin(SCHEDULES[:2])]) == (
        "on cpu, constant, cosine[final=0.1,warmup=0.05] learning rate"
    )
