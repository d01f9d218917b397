"""Ranks, medians and failures in the leaderboard, and tables as files."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import optbench
from optbench.formatting import format_cell, format_number, to_latex, to_markdown, to_text
from optbench.metrics.final import final_metric
from optbench.metrics.fresh_seeds import measure_cells
from optbench.metrics.leaderboard import for_paper, leaderboard, summary
from optbench.metrics.losses import medians, seed_losses
from optbench.metrics.tables import all_tables
from optbench.metrics.verdicts import verdicts
from optbench.reporting.files import write_tables
from optbench.results.stored import CELL
from tests.support.frames import PROBLEMS, VALLEY, make
from tests.support.studies import study

ONE = PROBLEMS[1]


def board_of(values: dict[str, list[float | None]], higher: bool = True, tuned: bool = True) -> pd.DataFrame:
    """The leaderboard of optimizers whose seeds ended with these test metrics; None is a diverged one."""
    frames = make(optimizers=list(values), problems=[ONE], batch_sizes=[64], seeds=1)
    frames.cells["metric_higher_is_better"] = higher
    frames.cells["trials"] = 12 if tuned else 0
    template = frames.runs.iloc[0].to_dict()
    rows = [
        template | {"cell_id": f"{ONE}-{name}-64", "optimizer": name, "seed": seed, "tuned": tuned,
                    "train_loss": float(seed), "status": "diverged" if value is None else "ok",
                    "test_metric": math.nan if value is None else value}
        for name, seeds in values.items() for seed, value in enumerate(seeds)
    ]  # fmt: skip
    return leaderboard(pd.DataFrame(rows, columns=frames.runs.columns), frames.cells).set_index("optimizer")


def test_ranks_follow_the_median_and_ties_share_the_better_rank() -> None:
    values: dict[str, list[float | None]] = {
        "adam": [0.9, 0.8, 0.1], "sgd": [0.7, 0.8, 0.99], "nadam": [0.95, 0.9, 0.85], "rmsprop": [0.5, 0.5, 0.5],
    }  # fmt: skip
    board = board_of(values)
    assert board["rank"].to_dict() == {"nadam": 1, "adam": 2, "sgd": 2, "rmsprop": 4}
    assert board.loc["adam", ["test_metric", "test_metric_low", "test_metric_high"]].tolist() == [0.8, 0.1, 0.9]
    assert board_of(values, higher=False)["rank"].to_dict() == {"rmsprop": 1, "adam": 2, "sgd": 2, "nadam": 4}


@pytest.mark.parametrize("higher", [True, False])
def test_a_diverged_seed_is_worse_than_every_number(higher: bool) -> None:
    bad, good = (0.1, 0.9) if higher else (0.9, 0.1)
    board = board_of({"adam": [good, good, None], "sgd": [bad] * 3, "nadam": [good, None, None]}, higher)
    assert board["rank"].to_dict() == {"adam": 1, "sgd": 2, "nadam": 3}
    assert board.loc["adam", "test_metric"] == good
    assert math.isnan(board.loc["nadam", "test_metric"])
    assert board.loc["nadam", ["n_ok", "n_runs", "diverged"]].tolist() == [1, 3, 2]
    assert board.loc["nadam", "test_metric_low"] == good


def test_copies_of_a_seed_are_one_observation_on_every_table() -> None:
    """Five seeds repeat one run up to the last bits: the medians are those of the three observations."""
    values = {"adam": [0.2, *[0.2 * (1 + 1e-14 * step) for step in range(1, 5)], 0.4, 0.6]}
    found = study(values | {"sgd": [0.3 + 0.01 * step for step in range(7)]})
    found.runs["train_loss"] = found.runs["test_loss"]
    board = leaderboard(found.runs, found.cells).set_index("optimizer")
    assert board.loc["adam", ["n_ok", "n_runs"]].tolist() == [3, 3]
    assert board["n_runs"]["sgd"] == 7
    final = final_metric(found.runs, found.curves, found.cells).set_index("optimizer")
    own = measure_cells(found.runs, found.cells, "test_metric").set_index("optimizer")
    losses = medians(seed_losses(found.runs, found.cells)).set_index("optimizer")
    for median in (board["test_metric"], final["median"], own["value"], losses["loss"]):
        assert median.to_dict() == pytest.approx({"adam": 0.4, "sgd": 0.33})
    assert final["n_seeds"].to_dict() == own["n_seeds"].to_dict() == {"adam": 3, "sgd": 7}


def test_an_even_number_of_seeds_with_half_of_them_lost_has_no_median() -> None:
    board = board_of({"adam": [0.9, None], "sgd": [0.2, 0.1]})
    assert board["rank"].to_dict() == {"sgd": 1, "adam": 2}
    assert math.isnan(board.loc["adam", "test_metric"])


def test_cells_whose_seeds_all_diverged_share_the_last_rank() -> None:
    board = board_of({"adam": [None, None], "sgd": [None, None], "nadam": [0.1, 0.2]})
    assert board["rank"].to_dict() == {"nadam": 1, "adam": 2, "sgd": 2}
    assert board.loc["adam", ["test_metric", "test_metric_low", "test_metric_high"]].isna().all()


def test_a_metric_that_is_not_finite_counts_as_failed() -> None:
    board = board_of({"adam": [math.inf] * 3, "sgd": [0.1] * 3, "nadam": [math.nan] * 3})
    assert board["rank"].to_dict() == {"sgd": 1, "adam": 2, "nadam": 2}
    assert board["test_metric"].isna().to_dict() == {"sgd": False, "adam": True, "nadam": True}


def test_one_seed_and_one_optimizer() -> None:
    board = board_of({"adam": [0.5]})
    assert board.loc["adam", ["rank", "test_metric", "n_runs"]].tolist() == [1, 0.5, 1]


def test_without_tuning_the_default_runs_are_ranked() -> None:
    board = board_of({"adam": [0.5, 0.6, 0.7], "sgd": [0.9, 0.8, 0.7]}, tuned=False)
    assert board["rank"].to_dict() == {"sgd": 1, "adam": 2}
    assert board.loc["adam", "test_metric_default"] == board.loc["adam", "test_metric"] == 0.6
    assert board.loc["adam", "test_metric_paired"] == 0.6


def test_default_and_tuned_medians_are_compared_on_the_same_seeds() -> None:
    """The default was selected, so tuning gained nothing, whatever further seeds ended with."""
    values = [0.5, 0.6, 0.7, 0.9, 0.9, 0.9, 0.9]
    frames = make(optimizers=["adam"], problems=[ONE], batch_sizes=[64], seeds=1)
    template = frames.runs.iloc[0].to_dict()
    rows = [
        template | {"seed": seed, "tuned": True, "test_metric": value, "train_loss": 1.0 + seed}
        for seed, value in enumerate(values)
    ]
    rows += [row | {"tuned": False} for row in rows[:3]]
    board = leaderboard(pd.DataFrame(rows), frames.cells).iloc[0]
    assert board[["test_metric", "test_metric_default", "test_metric_paired"]].tolist() == [0.9, 0.6, 0.6]
    rows[1] |= {"status": "diverged"}
    rows[2] |= {"status": "diverged"}
    board = leaderboard(pd.DataFrame(rows), frames.cells).iloc[0]
    assert board[["test_metric", "test_metric_default"]].tolist() == [0.9, 0.6]
    assert math.isnan(board["test_metric_paired"]), "two of three failed"


def test_default_runs_never_stand_in_for_tuned_ones_that_are_missing() -> None:
    frames = make(optimizers=["adam", "sgd"], problems=[ONE], batch_sizes=[64])
    runs = frames.runs[(frames.runs["optimizer"] == "sgd") | ~frames.runs["tuned"]]
    board = leaderboard(runs, frames.cells).set_index("optimizer")
    assert board["rank"].isna().to_dict() == {"sgd": False, "adam": True}
    assert not math.isnan(board.loc["adam", "test_metric_default"])
    assert math.isnan(board.loc["adam", "test_metric_paired"])


def test_failed_cells_rank_last_and_missing_ones_not_at_all() -> None:
    frames = make()
    frames.cells.loc[frames.cells["optimizer"] == "sgd", "status"] = "missing"
    runs = frames.runs[frames.runs["optimizer"] != "sgd"]
    board = leaderboard(runs, frames.cells)
    assert len(board) == len(frames.cells) == 60
    assert board.loc[board["optimizer"] == "sgd", "rank"].isna().all()
    failed = board[board["status"] == "oom"].iloc[0]
    assert (failed["rank"], failed["n_runs"], failed["target_reached"]) == (9, 0, 0.0)
    table = summary(board).set_index("optimizer")
    assert table.loc["sgd", "groups"] == 0
    assert math.isnan(table.loc["sgd", "mean_rank"])
    assert table.index[-1] == "sgd"


def test_targets_count_misses_as_infinite() -> None:
    frames = make(optimizers=["adam", "sgd"], problems=[ONE], batch_sizes=[64])
    tuned = frames.runs["tuned"]
    frames.runs["target_reached"], frames.runs["cost_to_target"] = False, math.nan
    for name, costs in {"adam": [100.0, 300.0, None], "sgd": [50.0, None, None]}.items():
        rows = frames.runs.index[tuned & (frames.runs["optimizer"] == name)]
        for row, cost in zip(rows, costs, strict=True):
            frames.runs.loc[row, "target_reached"] = cost is not None
            frames.runs.loc[row, "cost_to_target"] = math.nan if cost is None else cost
    board = leaderboard(frames.runs, frames.cells).set_index("optimizer")
    assert board.loc["adam", ["target_reached", "cost_to_target"]].tolist() == [2 / 3, 300.0]
    assert board.loc["sgd", "target_reached"] == 1 / 3
    assert math.isnan(board.loc["sgd", "cost_to_target"])
    ranked = leaderboard(frames.runs, frames.cells, "cost_to_target").set_index("optimizer")
    assert ranked["rank"].to_dict() == {"adam": 1, "sgd": 2}
    frames.cells["target"] = math.nan
    board = leaderboard(frames.runs, frames.cells, "cost_to_target")
    assert board["target_reached"].isna().all()
    assert board["rank"].isna().all()


@pytest.mark.parametrize("rank_by", ["test_metric", "cost_to_target", "seconds_to_target"])
def test_nobody_is_best_where_nobody_has_a_value(rank_by: str) -> None:
    """All share the first place of a task without any value; one value makes its optimizer the best."""
    frames = make(optimizers=["adam", "sgd"], problems=[ONE], batch_sizes=[64])
    mine = frames.runs["optimizer"] == "adam"
    frames.runs["target_reached"], frames.runs["seconds_to_target"] = False, math.nan
    columns = ["test_metric", "cost_to_target", "seconds_to_target"]
    frames.runs[columns] = math.nan
    board = leaderboard(frames.runs, frames.cells, rank_by)
    assert board["rank"].tolist() == [1, 1]
    assert summary(board, rank_by)["best_in"].tolist() == [0, 0]
    frames.runs.loc[mine, "target_reached"] = True
    frames.runs.loc[mine, columns] = 0.5
    board = leaderboard(frames.runs, frames.cells, rank_by)
    assert summary(board, rank_by).set_index("optimizer")["best_in"].to_dict() == {"adam": 1, "sgd": 0}


def test_another_metric_ranks_in_its_own_direction() -> None:
    frames = make(problems=[ONE], batch_sizes=[64])
    board = leaderboard(frames.runs, frames.cells, "test_loss")
    medians = frames.runs[frames.runs["tuned"]].groupby("optimizer")["test_loss"].median().rank()
    assert board.set_index("optimizer")["rank"].astype(float).to_dict() == medians.to_dict()


def test_the_leaderboard_agrees_with_an_independent_ranking() -> None:
    frames = make()
    board = leaderboard(frames.runs, frames.cells).set_index(["problem", "batch_size", "optimizer"])
    for problem, batch in itertools.product(PROBLEMS, (32, 128)):
        medians = {}
        for name in frames.cells["optimizer"].unique():
            runs = frames.runs.query("problem == @problem and batch_size == @batch and optimizer == @name and tuned")
            worst = math.inf if problem == VALLEY else -math.inf
            seeds = sorted(v if s == "ok" else worst for v, s in zip(runs["test_metric"], runs["status"], strict=True))
            medians[name] = seeds[1] if seeds else worst
        for name, value in medians.items():
            better = sum(v < value if problem == VALLEY else v > value for v in medians.values())
            assert board.loc[(problem, batch, name), "rank"] == better + 1


def test_summary() -> None:
    frames = make()
    board = leaderboard(frames.runs, frames.cells)
    table = summary(board)
    assert table["mean_rank"].is_monotonic_increasing
    adam = table.set_index("optimizer").loc["adam"]
    own = board[board["optimizer"] == "adam"]
    assert adam["mean_rank"] == own["rank"].mean()
    assert (adam["groups"], adam["best_in"]) == (6, int((own["rank"] == 1).sum()))
    assert table["diverged"].sum() == 2
    assert table["failed_cells"].sum() == 2


def test_empty_frames() -> None:
    frames = make()
    board = leaderboard(frames.runs.iloc[:0], frames.cells)
    assert len(board) == 60
    assert board["rank"].notna().sum() == 2, "cells that failed"
    empty = leaderboard(frames.runs.iloc[:0], frames.cells.iloc[:0])
    assert len(empty) == 0
    assert len(summary(empty)) == 0
    assert list(empty.columns) == list(board.columns)


def test_files_hold_every_digit(tmp_path) -> None:
    frames = make(optimizers=["adam", "nadam", "sgd"])
    frames.runs["hp_eps"] = ["auto", 1e-8] * (len(frames.runs) // 2)
    results = SimpleNamespace(**frames.__dict__)
    tables = all_tables(results)
    write_tables(tables, tmp_path, {"leaderboard", "summary"})
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {f"{name}.{kind}" for name in tables for kind in ("parquet", "csv")} | {
        f"{name}.{kind}" for name in ("leaderboard", "summary") for kind in ("md", "tex")
    }
    for name in ("runs", "curves"):
        back = pd.read_csv(tmp_path / f"{name}.csv", dtype={"valid_loss": str})
        np.testing.assert_array_equal(back["valid_loss"].astype(float), tables[name]["valid_loss"])
        back = pd.read_parquet(tmp_path / f"{name}.parquet")
        np.testing.assert_array_equal(back["valid_loss"], tables[name]["valid_loss"])
    assert set(pd.read_parquet(tmp_path / "runs.parquet")["hp_eps"]) == {"auto", "1e-08"}
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "leaderboard.parquet"), tables["leaderboard"])


def test_csv_in_parts_reads_back_as_the_table(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optbench.reporting.files._ROWS", 2)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({
        "number": [*rng.normal(size=3) * 1e-9, math.nan, math.inf, 1 / 3, 1e300],
        "whole": pd.array([1, None, 3, 4, 5, 6, 2**60], dtype="Int64"),
        "text": ["x,y", 'q"z', "two\nlines", "µ", "", "None", "d"],
        "late": [None, None, None, "only", "in", "later", "parts"],
        "kind": pd.Categorical(["run"] * 6 + ["trial"]),
        "mixed": ["auto", 0.1, None, 1, "auto", 2.5, True],
        "unknown": [None] * 7,
    })  # fmt: skip
    write_tables({"t": table, "empty": table.iloc[:0]}, tmp_path, set())
    back = pd.read_csv(tmp_path / "t.csv", dtype={"whole": "Int64", "mixed": str}, keep_default_na=False,
                       na_values={"number": [""], "whole": [""]})  # fmt: skip
    np.testing.assert_array_equal(back["number"], table["number"])
    assert back["whole"].equals(table["whole"])
    for name in ("text", "kind"):
        assert back[name].tolist() == table[name].tolist()
    assert back["late"].tolist() == ["", "", "", "only", "in", "later", "parts"]
    assert back["mixed"].tolist() == ["auto", "0.1", "", "1", "auto", "2.5", "True"]
    assert list(pd.read_csv(tmp_path / "empty.csv").columns) == list(table.columns)
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == 7


def test_text_forms_escape() -> None:
    table = pd.DataFrame({"a_b": ["x|y", "50% & {z}"], "n": [1.5, math.nan]})
    assert to_markdown(table).splitlines() == [
        "| a_b       |     n |",
        "|-----------|------:|",
        r"| x\|y      | 1.500 |",
        "| 50% & {z} |     – |",
    ]
    lines = to_latex(table).splitlines()
    assert lines[1] == r"\begin{tabular}{lr}"
    assert r"a\_b" in lines[3]
    assert lines[6].split(" & ")[0].strip() == r"50\% \& \{z\}"
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert to_text(table).splitlines()[0] == "a_b            n"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("<b>bold</b>", r"\<b\>bold\</b\>"),
        ("*a* `b` ~~c~~", r"\*a\* \`b\` \~\~c\~\~"),
        ("_a_ mean_rank", r"\_a\_ mean_rank"),
        ("[a](b) ![c](d) mlp[layers=2]", r"[a]\(b) \![c]\(d) mlp[layers=2]"),
        ("&lt; a & b &#60;", r"\&lt; a & b \&#60;"),
        (r"$\alpha_1$", r"\$\\alpha_1\$"),
        ("+1 -- =x äöü 动", "+1 -- =x äöü 动"),
    ],
)
def test_markdown_shows_a_name_as_it_is(text: str, escaped: str) -> None:
    assert to_markdown(pd.DataFrame({"a": [text]})).splitlines()[2] == f"| {escaped} |"


def test_latex_takes_no_name_for_markup() -> None:
    lines = to_latex(pd.DataFrame({"a": ["-- dash", "[x]", "*", "a-b 1e-05", "“"], "n": 1})).splitlines()
    assert [line.split(" & ")[0].strip() for line in lines[6:-2]] == [
        "{-}{-} dash", "{}[x]", "{}*", "a-b 1e-05", "“",
    ]  # fmt: skip
    assert lines[1] == "% needs XeLaTeX or LuaLaTeX, and a font that has “"
    assert "XeLaTeX" not in to_latex(pd.DataFrame({"a": ["äöüž", "–", "∞"]}))


def test_no_name_is_a_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    names = ["=1+1", "+1+1", "-- dash", "@sum", "\tx", "a=b", "-1.5", "+inf"]
    table = pd.DataFrame({"name": names, "number": -1.5, "-kind": pd.Categorical(names)})
    write_tables({"t": table}, tmp_path, set())
    back = pd.read_csv(tmp_path / "t.csv", dtype=str)
    expected = ["'=1+1", "'+1+1", "'-- dash", "'@sum", "'\tx", "a=b", "-1.5", "+inf"]
    assert back["name"].tolist() == back["'-kind"].tolist() == expected
    assert set(back["number"]) == {"-1.5"}
    assert pd.read_parquet(tmp_path / "t.parquet")["name"].tolist() == names


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.98, "0.9800"), (0.999999, "1.000"), (123456.0, "123,456"), (math.nan, "–"), (None, "–"), (pd.NA, "–"),
     (math.inf, "∞"), (0.0, "0"), (-0.5, "-0.5000"), (2.5e-9, "2.500e-09"), (1234, "1,234"), (True, "yes"),
     ("text", "text")],
)  # fmt: skip
def test_significant_digits(value: object, text: str) -> None:
    assert format_number(value) == text


def test_columns_have_their_own_digits() -> None:
    assert format_cell("lr", 0.1) == "0.1"
    assert format_cell("lr_tuned", 0.00123456) == "0.00123"
    assert format_cell("target_reached", 2 / 3) == "67 %"
    assert format_cell("mean_rank", 1.5) == "1.50"
    assert format_cell("tuning_cost", 71234.3333) == "71,234"
    assert format_cell("cost_to_target", math.nan) == "–"


def test_a_paper_gets_the_mean_with_its_interval_and_the_verdict(tmp_path: Path) -> None:
    adam, mine = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], [0.01, 0.02, 0.01, 0.02, 0.03, 0.02, 3.0]
    outcomes = {"adam": adam, "mine": mine, "worse": [2 * value for value in adam], "lost": [1.0, *[None] * 6]}
    found = study(outcomes)
    default = found.runs.assign(tuned=False, test_metric=9.0)
    found.runs = pd.concat([default, found.runs], ignore_index=True)
    final = final_metric(found.runs, found.curves, found.cells)
    judged = verdicts(found.runs, found.cells, "adam")
    board = leaderboard(found.runs, found.cells)
    table = for_paper(board, final, judged)
    assert list(table)[4:] == ["test metric", "mean ± 95 %", "n", "against adam", "p"]
    table = table.set_index("optimizer")
    low, high = stats.t.interval(0.95, 6, np.mean(adam), stats.sem(adam))
    assert table.loc["adam", "mean ± 95 %"] == f"1.30 ± {format_number((high - low) / 2, 2)}"
    low, high = stats.t.interval(0.95, 6, np.mean(mine), stats.sem(mine))
    assert low < 0
    assert table.loc["mine", "mean ± 95 %"] == f"{format_number(np.mean(mine), 3)} [0, {format_number(high, 3)}]"
    row = judged.set_index("optimizer").loc["worse"]
    assert table.loc["worse", ["n", "against adam", "p"]].tolist() == [7, "loss", format_number(row["p_holm"], 2)]
    assert table.loc["adam", ["against adam", "p"]].tolist() == ["–", "–"]
    tables = {"leaderboard": board, "final_metric": final, "verdicts": judged}
    write_tables({**tables, "cells": found.cells, "runs": found.runs}, tmp_path, {"leaderboard"})
    latex, markdown = ((tmp_path / f"leaderboard.{kind}").read_text("utf-8") for kind in ("tex", "md"))
    assert "mean ± 95" in latex
    assert "| mean ± 95 % | n | against adam | p |" in " ".join(markdown.split())
    assert f"Computed with optbench {optbench.__version__}." in markdown


def test_a_paper_gets_five_columns() -> None:
    board = pd.DataFrame({
        "problem": "mlp", "batch_size": [20, 100], "device": "cpu", "schedule": "constant",
        "optimizer": ["adam", "sgd"],
        "lr": [0.001, math.nan], "test_metric": [0.95123, math.nan], "test_metric_low": [0.94, math.nan],
        "test_metric_high": [0.961, math.nan], "n_runs": 3,
    })  # fmt: skip
    table = for_paper(board)
    assert list(table) == ["problem", "batch size", "optimizer", "learning rate", "test metric"]
    assert table.iloc[:, 1:].to_numpy().tolist() == [
        [20, "adam", "0.001", "0.951 [0.940, 0.961]"],
        [100, "sgd", "–", "–"],
    ]
    assert list(for_paper(board.assign(schedule=["constant", "cosine"])))[2:4] == ["schedule", "optimizer"]


def test_a_limited_interval_of_small_losses_has_both_ends() -> None:
    """Its half widths differ by less than 1e-8."""
    final = pd.DataFrame({"mean": [2e-9], "mean_low": [0.0], "mean_high": [5e-9], "tuned": True, "n_seeds": 3})
    board = board_of({"adam": [2e-9] * 3}, higher=False).reset_index()
    table = for_paper(board, final.assign(**board.loc[:0, CELL].iloc[0].to_dict()))
    assert table["mean ± 95 %"].tolist() == ["2.00e-09 [0, 5.00e-09]"]
