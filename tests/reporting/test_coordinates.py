"""Parallel coordinates: positions on the axes of the search, and the figure of the page."""

from __future__ import annotations

import math
from typing import Any

import pytest

from optbench.metrics.hyperparameters import column_of, searched_space
from optbench.optimizers.search_space import Choices
from optbench.reporting.coordinates import coordinate_axes, coordinates
from optbench.results.stored import CELL
from tests.reporting.conftest import Made


def test_only_cells_with_several_hyperparameters_have_axes(recipes: Made, made: Made) -> None:
    axes = coordinate_axes(recipes.results.cells)
    assert set(axes["optimizer"]) == {"adam_recipe", "sgd_recipe"}
    assert coordinate_axes(made.results.cells).empty
    assert coordinates(made.results.trials, made.results.runs, made.results.cells).empty
    decay = axes[(axes["optimizer"] == "adam_recipe") & (axes["hyperparameter"] == "weight_decay")].iloc[:3]
    assert decay["label"].tolist() == ["0", "0.0032", "0.1"]
    assert decay["position"].tolist() == [0.125, 0.625, 1.0]


def test_positions_lead_back_to_the_values(recipes: Made) -> None:
    results = recipes.results
    table = coordinates(results.trials, results.runs, results.cells)
    trials = results.trials.set_index([*CELL, "trial"])
    cells = results.cells.set_index(CELL)
    for row in table.to_dict("records"):
        key = tuple(row[name] for name in CELL)
        tried = searched_space(cells.loc[key].to_dict())[row["hyperparameter"]]
        value = trials.loc[(*key, row["trial"]), column_of(row["hyperparameter"])]
        if math.isnan(row["position"]):
            assert isinstance(value, float)
            assert math.isnan(value) or not tried.contains(value)  # type: ignore[union-attr]
        elif isinstance(tried, Choices):
            assert str(tried.at(row["position"])) == str(value)
        else:
            assert tried.at(row["position"]) == pytest.approx(value)
    assert table["position"].isna().any(), "trials without a warm-up"
    assert table["position"].dropna().between(0, 1).all()


def test_the_chosen_trial_has_the_values_of_the_tuned_runs(recipes: Made) -> None:
    results = recipes.results
    table = coordinates(results.trials, results.runs, results.cells)
    chosen = table[table["chosen"]].drop_duplicates([*CELL, "trial"])
    assert len(chosen.groupby(CELL)) == 4
    tuned = results.cells.set_index(CELL)["lr_tuned"]
    rates = results.trials.set_index([*CELL, "trial"])["lr"]
    for row in chosen.to_dict("records"):
        key = tuple(row[name] for name in CELL)
        assert rates[*key, row["trial"]] == tuned[key]


def test_the_figure_shows_the_trials_of_one_optimizer(recipes: Made, opened: Any) -> None:
    page = opened(f"{recipes.address}#learning-rates?search=sgd_recipe&batch_size=100")
    trials = recipes.results.trials.query("optimizer == 'sgd_recipe' and batch_size == 100").set_index("trial")
    rows = page.shown("coordinates")
    assert {row["trial"] for row in rows} == set(trials.index)
    for row in rows:
        known = trials.loc[row["trial"]]
        assert row["status"] == known["status"]
        for name in ("lr", "valid_loss", "hp_momentum", "hp_lr_warmup"):
            assert (row[name] is None) == math.isnan(known[name]), name
            assert row[name] is None or row[name] == known[name], name
        assert row["hp_lr_schedule"] == known["hp_lr_schedule"]
    assert any(row["chosen"] == "yes" for row in rows)
    drawn = page.drawn("coordinates")
    assert len(drawn["data"]) == len(trials)
    names = ["lr", "lr_schedule", "lr_warmup", "momentum", "nesterov"]
    assert sorted(drawn["layout"]["xaxis"]["ticktext"][:-1]) == names
    table = coordinates(recipes.results.trials, recipes.results.runs, recipes.results.cells)
    table = table.query("optimizer == 'sgd_recipe' and batch_size == 100")
    order = drawn["layout"]["xaxis"]["ticktext"][:-1]
    expected = {
        tuple(-0.1 if math.isnan(value) else value for value in own.set_index("hyperparameter").loc[order, "position"])
        for _, own in table.groupby("trial")
    }
    assert {tuple(trace["y"][:-1]) for trace in drawn["data"]} == expected
    assert "sgd_recipe" in drawn["label"]
    losses = [trace["y"][-1] for trace in drawn["data"]]
    assert losses.count(1.1) == (~trials["status"].isin(["ok", "stopped"])).sum()
    best = min(range(len(losses)), key=losses.__getitem__)
    assert f"validation loss {trials['valid_loss'].min():.4g}"[:20] in drawn["data"][best]["text"][0]


def test_the_optimizer_is_chosen_with_the_keyboard(recipes: Made, opened: Any) -> None:
    page = opened(f"{recipes.address}#learning-rates")
    assert "adam_recipe" in page.drawn("coordinates")["label"]
    picker = page.page.locator("#figure-coordinates .controls select").first
    picker.focus()
    page.page.keyboard.press("ArrowDown")
    page.page.wait_for_function("location.hash.includes('search=sgd_recipe')")
    page.settled()
    assert "sgd_recipe" in page.drawn("coordinates")["label"]
    assert page.page.evaluate("document.activeElement.value") == "sgd_recipe"


def test_filters_reach_the_figure(recipes: Made, opened: Any) -> None:
    page = opened(f"{recipes.address}#learning-rates?optimizer=adam_recipe&search=sgd_recipe")
    assert "adam_recipe" in page.drawn("coordinates")["label"], "the chosen optimizer is filtered out"
    assert page.page.locator("#figure-coordinates").get_by_label("Optimizer").count() == 0
    page = opened(f"{recipes.address}#learning-rates?optimizer=adam")
    page.page.locator("#figure-coordinates").scroll_into_view_if_needed()
    page.page.wait_for_selector("#figure-coordinates .plot.empty:not(.waiting)")
    assert "No optimizer that passes the filters" in page.page.locator("#figure-coordinates .plot").inner_text()


def _positions(made: Made, name: str) -> dict[int, float]:
    table = coordinates(made.results.trials, made.results.runs, made.results.cells)
    own = table.query("optimizer == 'sgd_recipe' and batch_size == 100 and hyperparameter == @name")
    return dict(zip(own["trial"], own["position"], strict=True))


WHERE = "#learning-rates?search=sgd_recipe&batch_size=100"


def test_a_range_that_is_dragged_on_an_axis_keeps_its_trials(recipes: Made, opened: Any) -> None:
    page = opened(f"{recipes.address}{WHERE}")
    page.all_drawn()  # a figure that is drawn later moves this one
    page.drawn("coordinates")
    page.settled()
    plot = page.page.locator("#figure-coordinates .plot .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    order = page.drawn("coordinates")["layout"]["xaxis"]["ticktext"][:-1]
    place = order.index("momentum")
    # The axis has the range −0.1 … n + 0.1 across, and −0.16 … 1.16 up.
    x = box["x"] + box["width"] * (place + 0.1) / (len(order) + 0.2)
    low, high = (box["y"] + box["height"] * (1.16 - share) / 1.32 for share in (-0.02, 0.5))
    page.page.mouse.move(x - 8, low)
    page.page.mouse.down()
    page.page.mouse.move(x + 8, (low + high) / 2, steps=4)
    page.page.mouse.move(x + 8, high, steps=4)
    page.page.mouse.up()
    page.page.wait_for_function("location.hash.includes('range=momentum')")
    page.settled()
    kept = {trial for trial, position in _positions(recipes, "momentum").items() if -0.02 <= position <= 0.5}
    total = len(_positions(recipes, "momentum"))
    assert 0 < len(kept) < total
    assert {row["trial"] for row in page.shown("coordinates")} == kept
    faint = [trace for trace in page.drawn("coordinates")["data"] if trace["opacity"] < 0.1]
    assert len(faint) == total - len(kept)
    note = page.page.locator("#figure-coordinates .note").first
    assert note.inner_text() == f"{len(kept)} of {total} trials are in the chosen ranges."


def test_ranges_are_set_by_the_menu_shared_by_the_address_and_removed(recipes: Made, opened: Any) -> None:
    page = opened(f"{recipes.address}{WHERE}&range=lr:0.000:0.667")
    inside = {trial for trial, position in _positions(recipes, "lr").items() if position <= 0.667}
    assert {row["trial"] for row in page.shown("coordinates")} == inside
    page.page.get_by_label("Only trials in").select_option("momentum, low third")
    page.page.wait_for_function("location.hash.includes('range=momentum')")
    page.settled()
    low = {trial for trial, position in _positions(recipes, "momentum").items() if position <= 1 / 3}
    assert {row["trial"] for row in page.shown("coordinates")} == inside & low
    for name in ("lr", "momentum"):
        page.page.get_by_role("button", name=f"All values of {name}").click()
        page.page.wait_for_function(f"!location.hash.includes('range={name}')")
    page.settled()
    assert {row["trial"] for row in page.shown("coordinates")} == set(_positions(recipes, "lr"))


def test_lines_and_labels_follow_the_theme(recipes: Made, opened: Any) -> None:
    page = opened(f"{recipes.address}#learning-rates", color_scheme="dark")
    page.drawn("coordinates")
    colors = page.page.evaluate(
        """() => [...document.querySelectorAll("#figure-coordinates .plot .annotation-text")]
        .map(text => getComputedStyle(text).fill)"""
    )
    assert colors
    assert "rgb(31, 35, 40)" not in colors


def test_pages_without_recipes_have_no_such_figure(made: Made) -> None:
    assert 'id="figure-coordinates"' not in made.path.read_text("utf-8")
