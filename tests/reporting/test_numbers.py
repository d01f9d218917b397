"""What figures and tables of the page show are the numbers of the tables: read back from the browser."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import optbench
from optbench.metrics.performance_profile import profile_curves
from optbench.metrics.probability_of_improvement import probability_of_improvement
from optbench.metrics.tables import all_tables
from optbench.metrics.target_summary import select_times
from optbench.metrics.verdicts import verdicts
from optbench.reporting.page import report_page
from optbench.reporting.standings import standings
from optbench.results.stored import GROUP
from tests.reporting.conftest import Made, Opened
from tests.support.directories import write_directory

Open = Callable[..., Opened]
TASK = {"problem": "valley", "batch_size": 32, "device": "cpu", "schedule": "constant"}


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same number or text, or both missing."""
    if one is None or other is None or pd.isna(other):
        return (one is None) == (other is None or bool(pd.isna(other)))
    return math.isclose(one, other, rel_tol=1e-12) if isinstance(one, (int, float)) else one == str(other)


def within(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    for name, value in values.items():
        table = table[table[name] == value]
    return table


def by_optimizer(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["optimizer"]: row for row in rows}


def test_the_leaderboard_without_scripts_is_the_one_that_scripts_make(made: Made, opened: Open) -> None:
    page = opened(made.address)
    fixed = by_optimizer(page.table("#standings"))
    texts = page.page.locator("#standings tbody").text_content()
    # Any change makes the script write it anew; this one is undone again.
    page.page.select_option("#bar select", "sgd")
    page.page.select_option("#bar select", "adam")
    assert page.page.locator("#standings tbody").text_content() == texts
    again = by_optimizer(page.table("#standings"))
    table = standings(made.tables)
    assert list(again) == list(fixed) == list(table["optimizer"])
    for row in table.to_dict("records"):
        for name in set(fixed["adam"]) - {"interval", "optimizer"}:
            value = fixed[row["optimizer"]][name]
            assert same(value, row[name]), (row["optimizer"], name)
            if value is None:
                assert again[row["optimizer"]][name] is None
            else:
                assert again[row["optimizer"]][name] == pytest.approx(value, rel=1e-9), (row["optimizer"], name)


def test_the_profile(made: Made, opened: Open) -> None:
    page = opened(made.address)
    rows = by_optimizer(page.shown("profile"))
    table = within(made.tables["performance_profile"], measure="cost")
    for row in table.to_dict("records"):
        for name in ("area", "area_low", "area_high", "fastest", "solved", "units"):
            assert same(rows[row["optimizer"]][name], row[name]), name
    times = select_times(made.tables["time_to_target"], made.results.runs, made.results.cells)
    curves = profile_curves(times, "cost")
    for trace in page.drawn("profile")["data"]:
        own = within(curves, optimizer=trace["name"])
        np.testing.assert_allclose(trace["x"], own["ratio"], rtol=1e-12)
        np.testing.assert_allclose(trace["y"], own["share"], rtol=1e-12)


def test_scores(made: Made, opened: Open) -> None:
    rows = by_optimizer(opened(made.address).shown("scores"))
    for row in made.tables["aggregate"].to_dict("records"):
        for name, column in (("score", "iqm"), ("score_low", "iqm_low"), ("score_high", "iqm_high")):
            assert rows[row["optimizer"]][name] == pytest.approx(row[column], rel=1e-9)


def test_a_selection_is_what_the_tables_of_it_alone_would_say(made: Made, opened: Open) -> None:
    """Filters recompute: the page with two problems and two optimizers chosen, against tables of nothing else."""
    page = opened(f"{made.address}#?problem=valley&problem=clouds&optimizer=adam&optimizer=sgd")
    chosen = {"problem": ["valley", "clouds"], "optimizer": ["adam", "sgd"]}

    def part(frame: pd.DataFrame) -> pd.DataFrame:
        for name, values in chosen.items():
            frame = frame[frame[name].isin(values)]
        return frame.reset_index(drop=True)

    names = ("runs", "trials", "studies", "curves", "cells")
    results = type("Part", (), {name: part(getattr(made.results, name)) for name in names})
    tables = all_tables(results)
    table = standings(tables)
    rows = by_optimizer(page.table("#standings"))
    assert list(rows) == list(table["optimizer"])
    for row in table.to_dict("records"):
        for name in ("rank", "score", "median_rank", "target_reached", "step_ratio", "memory_ratio", "failed_runs"):
            assert rows[row["optimizer"]][name] == pytest.approx(row[name], rel=1e-9, nan_ok=True), name
        assert rows[row["optimizer"]]["interval"] is None, "not that of everything"
    shown = by_optimizer(page.shown("profile"))
    for row in within(tables["performance_profile"], measure="cost").to_dict("records"):
        assert shown[row["optimizer"]]["area"] == pytest.approx(row["area"], rel=1e-9)
        assert shown[row["optimizer"]]["area_low"] is None
    pairs = page.table("#improvement")
    known = tables["probability_of_improvement"].set_index(["optimizer", "other"])["probability"]
    heads = page.page.locator("#improvement thead th").all_text_contents()[1:]
    assert sorted(heads) == ["adam", "sgd"]
    values = page.page.evaluate(
        "[...document.querySelectorAll('#improvement tbody td')].map(cell => cell.dataset.v ?? null)"
    )
    found = {float(value) for value in values if value}
    assert len(pairs) == 2
    np.testing.assert_allclose(sorted(found), sorted(set(known)), rtol=1e-9)


def copied(folder: Path, cells: Iterable[str], seed: int, earlier: int) -> None:
    """Makes the tuned runs of a seed those of an earlier one, bit by bit."""
    for cell in cells:
        runs = folder / "cells" / cell / "runs"
        record = json.loads((runs / f"{earlier}.json").read_text("utf-8")) | {"seed": seed}
        (runs / f"{seed}.json").write_text(json.dumps(record), "utf-8")


def test_seeds_that_are_copies_count_once_in_pairs(opened: Open, tmp_path: Path) -> None:
    """Copies of both (one observation), of one of the two (two observations), and of another seed each (likewise)."""
    folder = write_directory(tmp_path / "copies", ("adam", "momentum", "sgd"), ("clouds", "stars"), (32, 64), seeds=5)
    plan = json.loads((folder / "plan.json").read_text("utf-8"))["cells"]
    own = {
        name: [cell["cell_id"] for cell in plan if cell["optimizer"] == name] for name in ("adam", "momentum", "sgd")
    }
    copied(folder, own["adam"], 3, 0)
    copied(folder, own["sgd"], 3, 0)
    copied(folder, own["momentum"][:2], 4, 1)
    copied(folder, own["sgd"][:1], 4, 2)
    results = optbench.load(folder)
    tables = all_tables(results)
    path = tmp_path / "copies.html"
    path.write_text(report_page(results, tables, []), "utf-8")
    page = opened(path.as_uri()).page
    with page.expect_download() as waiting:
        page.click("[data-matrix=improvement] button:has-text('JSON')")
    found = json.loads(waiting.value.path().read_text("utf-8"))
    table = tables["probability_of_improvement"].set_index(["optimizer", "other"])
    assert len(found) == len(table) == 6
    for row in found:
        known = table.loc[(row["optimizer"], row["other"])]
        assert row["n_pairs"] == known["n_pairs"]
        for name in ("probability", "probability_low", "probability_high"):
            assert row[name] == pytest.approx(known[name], rel=1e-9), (row, name)
    numbers = {(row["optimizer"], row["other"]): row["n_pairs"] for row in found}
    assert numbers["adam", "sgd"] == 8
    assert numbers["adam", "momentum"] == 10


@pytest.mark.parametrize("reference", ["adam", "sgd"])
def test_verdicts_are_against_the_reference_that_is_chosen(made: Made, opened: Open, reference: str) -> None:
    rows = by_optimizer(opened(f"{made.address}#?reference={reference}").table("#standings"))
    judged = verdicts(made.results.runs, made.results.cells, reference)
    for name, own in judged.groupby("optimizer"):
        counts = own["verdict"].value_counts()
        for column, verdict in (("wins", "win"), ("ties", "tie"), ("losses", "loss"), ("inconclusive", "inconclusive")):
            assert rows[str(name)][column] == counts.get(verdict, 0)
    assert rows[reference]["wins"] is None


def test_a_selection_is_compared_by_what_the_page_ranks_by(made: Made, opened: Open, tmp_path: Path) -> None:
    """Also against another reference than the one whose verdicts are a table."""
    runs, cells, metric = made.results.runs, made.results.cells, "cost_to_target"
    path = tmp_path / "ranked.html"
    path.write_text(report_page(made.results, all_tables(made.results, metric), [], metric), "utf-8")
    page = opened(f"{path.as_uri()}#?problem=valley&reference=momentum")
    with page.page.expect_download() as waiting:
        page.page.click("[data-matrix=improvement] button:has-text('JSON')")
    found = pd.DataFrame(json.loads(waiting.value.path().read_text("utf-8"))).set_index(["optimizer", "other"])
    own = within(runs, problem="valley"), within(cells, problem="valley")
    known, usual = (
        probability_of_improvement(*own, name).set_index(["optimizer", "other"])["probability"]
        for name in (metric, "test_metric")
    )
    assert found["probability"].to_dict() == pytest.approx(known.to_dict(), rel=1e-9)
    assert known.to_dict() != pytest.approx(usual.to_dict())
    judged = within(verdicts(runs, cells, "momentum", metric), problem="valley")
    rows = by_optimizer(page.table("#standings"))
    for name, part in judged.groupby("optimizer"):
        for column, verdict in (("wins", "win"), ("losses", "loss"), ("inconclusive", "inconclusive")):
            assert rows[str(name)][column] == (part["verdict"] == verdict).sum()


def test_speed_ups(made: Made, opened: Open) -> None:
    page = opened(f"{made.address}#?reference=sgd").page
    names = page.locator("#speedup thead th").all_text_contents()[1:]
    summary = made.tables["target_summary"]
    for row in page.locator("#speedup tbody tr").all():
        problem, batch = row.locator("th").text_content().split(", batch ")
        task = within(summary, problem=problem, batch_size=int(batch)).set_index("optimizer")["median_cost"]
        for name, cell in zip(names, row.locator("td").all(), strict=True):
            hatched = "hatched" in (cell.get_attribute("class") or "")
            assert hatched == bool(np.isnan(task[name]))
            if not hatched and not np.isnan(task["sgd"]):
                assert float(cell.get_attribute("data-v")) == pytest.approx(task["sgd"] / task[name], rel=1e-12)


def test_curves_are_medians_and_seeds(made: Made, opened: Open) -> None:
    curves = within(made.results.curves, kind="run", tuned=True, **TASK)
    figure = opened(f"{made.address}#?y=linear").drawn("curves")
    for name, own in curves.groupby("optimizer"):
        table = own.pivot(index="cost", columns="seed", values="valid_loss")
        lines = [trace for trace in figure["data"] if trace["name"] == name and trace.get("mode") == "lines"]
        middle = next(trace for trace in lines if trace["line"]["width"] > 1)
        np.testing.assert_allclose(middle["x"], table.index)
        np.testing.assert_allclose(middle["y"], table.median(axis=1), rtol=1e-4)
        seeds = [trace for trace in lines if trace["line"]["width"] == 0.7]
        assert len(seeds) == table.shape[1] == 6
        np.testing.assert_allclose(sorted(seed["y"][-1] for seed in seeds), sorted(table.iloc[-1]), rtol=1e-3)


def test_ends_gains_and_batch_sizes(made: Made, opened: Open) -> None:
    page = opened(made.address)
    finals = within(made.tables["final_metric"], **TASK)
    ends, gains = by_optimizer(page.shown("ends")), by_optimizer(page.shown("gain"))
    for row in finals.to_dict("records"):
        name = row["optimizer"]
        if row["tuned"]:
            assert same(ends[name]["median"], row["median"])
            assert same(ends[name]["lowest"], row["lowest"])
            assert same(gains[name]["tuned"], row["median"])
        else:
            assert same(gains[name]["untuned"], row["median"])  # all seeds have both runs
    losses = within(made.tables["final_loss"], problem="valley", tuned=True).set_index(["optimizer", "batch_size"])
    costs = within(made.tables["target_summary"], problem="valley").set_index(["optimizer", "batch_size"])
    steps = within(made.tables["cells"], problem="valley").set_index(["optimizer", "batch_size"])
    for figure, column, table in (
        ("scaling-loss", "median", losses),
        ("scaling-cost", "median_cost", costs),
        ("scaling-seconds", "median_seconds", costs),
        ("scaling-step", "step_ms", steps),
    ):
        rows = page.shown(figure)
        assert len(rows) == 6
        for row in rows:
            assert same(row[column], table.loc[(row["optimizer"], row["batch_size"]), column]), figure


def test_rates_and_budgets(made: Made, opened: Open) -> None:
    page = opened(made.address)
    trials = within(made.tables["trials"], **TASK).set_index(["optimizer", "trial"])
    rows = page.shown("rates")
    assert len(rows) == len(trials)
    for row in rows:
        known = trials.loc[(row["optimizer"], row["trial"])]
        assert same(row["lr"], known["lr"])
        assert same(row["valid_loss"], known["valid_loss"])
        assert row["status"] == known["status"]
    best = within(made.tables["best_of_k"], **TASK).set_index(["optimizer", "k"])
    for row in page.shown("budget"):
        for name in ("best", "median_best", "run_budgets", "cost"):
            assert same(row[name], best.loc[(row["optimizer"], row["k"]), name]), name


def test_stability(made: Made, opened: Open) -> None:
    rows = opened(made.address).shown("stability")
    table = made.tables["rank_stability"]
    assert len(rows) == len(table)
    for row, known in zip(rows, table.to_dict("records"), strict=True):
        for name in ("rank", "mean_rank", "tau"):
            assert same(row[name], known[name]), name


def test_every_table_can_be_downloaded_with_all_digits(made: Made, opened: Open, tmp_path: Path) -> None:
    page = opened(made.address).page
    for name in ("runs", "target_summary", "curves"):
        with page.expect_download() as waiting:
            page.click(f"#downloads [data-download={name}][data-as=csv]")
        waiting.value.save_as(tmp_path / f"{name}.csv")
        read = pd.read_csv(tmp_path / f"{name}.csv", dtype=str)
        table = made.tables[name]
        assert list(read.columns) == list(table.columns)
        for column in table.select_dtypes("number"):
            np.testing.assert_array_equal(read[column].astype(float), table[column].astype(float), err_msg=column)
    listed = set(
        page.evaluate("[...document.querySelectorAll('#downloads [data-as=json]')].map(one => one.dataset.download)")
    )
    assert listed >= set(made.tables)


def test_the_groups_of_the_page_are_the_leaderboard(made: Made, opened: Open) -> None:
    page = opened(f'{made.address}#?task={{"problem":"clouds","batch_size":128}}')
    board = made.tables["leaderboard"]
    shown = page.page.locator(".group:visible")
    assert shown.count() == 1
    where = {name: shown.get_attribute(f"data-{name.replace('_', '-')}") for name in GROUP}
    assert where["problem"] == "clouds"
    rows = by_optimizer(page.table(".group:not([hidden]) table"))
    for row in within(board, problem="clouds", batch_size=128).to_dict("records"):
        for name in ("rank", "test_metric", "cost_to_target", "lr", "step_ms"):
            assert same(rows[row["optimizer"]][name], row[name]), name
