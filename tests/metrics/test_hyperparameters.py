"""The appendix table: every hyperparameter that was searched, where, and what was chosen."""

from __future__ import annotations

import pytest

from optbench.metrics.hyperparameters import hyperparameters
from optbench.optimizers.search_space import Choices, Range, make_condition, read_space, space_text
from tests.support.rows import cell_of, frame, run_of, trial_of

SPACE = {
    "lr": Range(1e-3, 1e1),
    "momentum": Range(0.5, 0.996, log=False, complement=True),
    "weight_decay": Range(1e-4, 1.0, zero=True),
    "betas": Choices(((0.9, 0.99), (0.8, 0.9))),
    "lr_warmup": Range(0.0, 0.2, log=False, when=make_condition({"lr_schedule": ["cosine", "linear"]})),
}


def test_a_space_is_read_back_as_it_was() -> None:
    assert read_space(space_text(SPACE)) == SPACE
    assert read_space("") == {}


def test_each_row_says_where_was_searched_and_what_was_chosen() -> None:
    cell = cell_of(search=space_text(SPACE), lr_low_searched=1e-4, lr_high_searched=1e1, lr_tuned=2e-4)
    first = {"hp_momentum": 0.9, "hp_weight_decay": 0.0, "hp_betas": "(0.9, 0.99)"}
    best = {"hp_momentum": 0.95, "hp_weight_decay": 0.012345678, "hp_betas": "(0.8, 0.9)", "hp_lr_warmup": 0.1}
    trials, runs = [trial_of(cell, 0, 0.1, 1.0), trial_of(cell, 1, 2e-4)], [run_of(cell, 3)]
    frames = [frame([rows[0]], kind) for rows, kind in ((trials, "trials"), (runs, "runs"))]
    frames[0] = frame(trials, "trials").assign(**{key: [first.get(key), best[key]] for key in best})
    frames[1] = frames[1].assign(**best)
    table = hyperparameters(*frames, frame([cell], "cells").assign(search=cell["search"])).set_index("hyperparameter")
    assert table.index.tolist() == list(SPACE)
    assert table["searched"].tolist() == [
        "0.0001 to 10", "0.5 to 0.996", "0 or 0.0001 to 1", "(0.9,0.99), (0.8,0.9)", "0 to 0.2"
    ]  # fmt: skip
    assert table["scale"].tolist() == ["log", "log of 1 − value", "log", "list", "linear"]
    assert table.loc["lr_warmup", "condition"] == "lr_schedule is cosine or linear"
    assert table["start"].tolist() == ["0.1", "0.9", "0", "(0.9, 0.99)", ""]
    assert table["chosen"].tolist() == ["0.0002", "0.95", "0.01235", "(0.8, 0.9)", "0.1"]
    assert table["trials"].tolist() == [2, 2, 2, 2, 1]


def test_results_of_older_versions_have_the_learning_rate_alone() -> None:
    cell, untuned = cell_of(), cell_of("sgd", sampler="", lr_low=float("nan"), lr_high=float("nan"))
    table = hyperparameters(frame([trial_of(cell, 0, 0.1, 1.0)], "trials"), frame([run_of(cell)], "runs"),
                            frame([cell, untuned], "cells").drop(columns="search"))  # fmt: skip
    assert table[["optimizer", "hyperparameter", "searched", "trials"]].to_numpy().tolist() == [
        ["adam", "lr", "0.001 to 10", 1]
    ]


def test_without_trials_there_is_nothing_chosen() -> None:
    cell = cell_of(search=space_text(SPACE))
    empty = [frame([row], kind).iloc[:0] for row, kind in ((trial_of(cell, 0, 0.1), "trials"), (run_of(cell), "runs"))]
    table = hyperparameters(*empty, frame([cell], "cells"))
    assert set(table["chosen"]) == {""}
    assert set(table["trials"]) == {0}


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_cell_that_did_not_finish_has_its_declared_range(missing: float | None) -> None:
    cell = cell_of(search=space_text(SPACE), lr_low_searched=missing, lr_high_searched=missing)
    table = hyperparameters(frame([trial_of(cell, 0, 0.1)], "trials"), frame([run_of(cell)], "runs"),
                            frame([cell], "cells"))  # fmt: skip
    assert table["searched"].iloc[0] == "0.001 to 10"
