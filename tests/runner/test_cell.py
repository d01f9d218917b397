"""A cell from its first trial to its marker: protocol, budget, pairing, and failures as rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import optbench
from optbench.metrics.audit import audit
from optbench.metrics.definitions import write_index
from optbench.metrics.tables import all_tables
from optbench.optimizers.builtin import BUILT_IN
from optbench.training.loop import Course
from optbench.training.seeds import trial_seed
from tests.support.passes import PASSES
from tests.support.tiny import EXPLODING, OUT_OF_MEMORY, RAISING, TINY, TINY_NET, run_tiny


@pytest.fixture(scope="module")
def all_optimizers(tmp_path_factory: pytest.TempPathFactory) -> optbench.Results:
    """All ten optimizers on both tiny problems at two batch sizes."""
    folder = tmp_path_factory.mktemp("cells") / "run"
    choices: dict[str, Any] = {"problems": [TINY, TINY_NET], "optimizers": list(BUILT_IN), "batch_sizes": [21, 60]}
    return run_tiny(folder, **choices, tuning_worth=4)


def test_every_cell_stays_within_its_tuning_budget_and_adds_up(all_optimizers: optbench.Results) -> None:
    cells = all_optimizers.cells.set_index("cell_id")
    assert len(cells) == 40
    assert (cells["status"] == "ok").all()
    charged = all_optimizers.trials.groupby("cell_id")["cost"].sum()
    assert charged.to_dict() == cells["tuning_cost"].to_dict()
    assert (cells["tuning_cost"] <= cells["tuning_budget"]).all()
    # No whole run would have fitted into what is left.
    assert (cells["tuning_budget"] - cells["tuning_cost"] < cells["run_budget"]).all()


def test_trials_that_diverge_are_charged_for_what_they_computed(tmp_path: Path) -> None:
    results = run_tiny(tmp_path / "run", problems=[TINY], optimizers=[EXPLODING], tuning_worth=2)
    assert set(results.trials["status"]) == {"diverged"}
    [cell] = results.cells.to_dict("records")
    assert 0 < results.trials["cost"].sum() == cell["tuning_cost"] <= cell["tuning_budget"]
    result = results.directory.cell(cell["cell_id"]).result()
    assert result is not None
    assert result["tuning_cost"] == cell["tuning_cost"], "as `status` says it"


def test_every_training_stays_within_the_run_budget(all_optimizers: optbench.Results) -> None:
    for frame in (all_optimizers.runs, all_optimizers.trials):
        merged = frame.merge(all_optimizers.cells[["cell_id", "run_budget"]], on="cell_id")
        assert (merged["cost"] <= merged["run_budget"]).all()
        whole = merged["status"] == "ok"
        assert (merged["run_budget"] - merged["cost"] < merged["batch_size"])[whole].all()


def test_runs_charge_what_they_compute(all_optimizers: optbench.Results) -> None:
    runs = all_optimizers.runs
    assert (runs["cost"] == runs["forwards"] * runs["batch_size"]).all()
    assert (runs["forwards"] == runs["backwards"]).all()
    lbfgs = runs["optimizer"] == "lbfgs"
    assert (runs["examples"] == runs["steps"] * runs["batch_size"]).all()
    assert (runs["examples"] == runs["cost"])[~lbfgs].all()
    assert (runs["examples"] < runs["cost"])[lbfgs].all()


def test_trial_zero_is_the_default_and_tuning_seeds_are_never_reported_on(all_optimizers: optbench.Results) -> None:
    trials, runs = all_optimizers.trials, all_optimizers.runs
    first = trials[trials["trial"] == 0]
    defaults = {name: spec.default_lr for name, spec in BUILT_IN.items()}
    assert (first["lr"] == first["optimizer"].map(defaults)).all()
    assert not set(trials["seed"]) & set(runs["seed"])
    assert set(trials["seed"]) == {trial_seed(0)}  # points are compared, not the luck of their seeds
    assert set(runs["seed"]) == {0, 1}


def test_the_choice_is_made_on_validation_and_runs_use_it(all_optimizers: optbench.Results) -> None:
    finished = all_optimizers.trials.query("status == 'ok'")
    best = finished.loc[finished.groupby("cell_id")["valid_loss"].idxmin()].set_index("cell_id")["lr"]
    tuned = all_optimizers.runs[all_optimizers.runs["tuned"]]
    assert (tuned["lr"] == tuned["cell_id"].map(best)).all()
    untuned = all_optimizers.runs[~all_optimizers.runs["tuned"]]
    assert (untuned["lr"] == untuned["optimizer"].map({n: s.default_lr for n, s in BUILT_IN.items()})).all()


def test_optimizers_are_paired_by_seed(all_optimizers: optbench.Results) -> None:
    """At step 0 every optimizer stands at the same point; another seed stands elsewhere."""
    start = all_optimizers.curves.query("step == 0 and kind == 'run'")
    by_seed = start.groupby(["problem", "seed"])["valid_loss"].nunique()
    assert (by_seed == 1).all()
    network = start[start["problem"].str.startswith("tiny_net")]
    assert network.groupby("seed")["valid_loss"].first().nunique() == 2


def test_curves_start_at_zero_and_end_where_the_run_ended(all_optimizers: optbench.Results) -> None:
    curves = all_optimizers.curves.query("kind == 'run'")
    last = curves.groupby(["cell_id", "seed", "tuned"])[["step", "cost", "valid_loss"]].last()
    runs = all_optimizers.runs.set_index(["cell_id", "seed", "tuned"])
    for column, name in (("step", "steps"), ("cost", "cost"), ("valid_loss", "valid_loss")):
        assert (last[column] == runs.loc[last.index, name]).all()
    assert (curves.groupby(["cell_id", "seed", "tuned"])["step"].first() == 0).all()


def test_hyperparameters_are_stored_as_constructed(all_optimizers: optbench.Results) -> None:
    folder = all_optimizers.directory.folder
    cell = all_optimizers.cells.query("optimizer == 'momentum'")["cell_id"].iloc[0]
    record = json.loads((folder / "cells" / cell / "runs" / "0.json").read_text())
    assert record["constructed"]["class"] == "torch.optim.sgd:SGD"
    assert record["constructed"]["momentum"] == 0.9
    assert record["constructed"]["weight_decay"] == 0
    assert record["constructed"]["lr"] == record["hyperparameters"]["lr"]


def test_equal_hyperparameters_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A default that tuning does not beat is not trained again: the same bits are known."""
    from optbench.training.execution import trainer as module

    trained = []

    class Counting(Course):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            trained.append(kwargs.get("test", False))
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(module, "Course", Counting)
    results = run_tiny(tmp_path / "run", optimizers=["adam"], tuning_worth=1)
    assert trained == [False, True, True]
    runs = results.runs.drop(columns="tuned")
    assert len(runs) == 4
    assert (
        runs[results.runs["tuned"]].reset_index(drop=True).equals(runs[~results.runs["tuned"]].reset_index(drop=True))
    )


@pytest.mark.parametrize(("optimizer", "status"), [(RAISING, "error"), (OUT_OF_MEMORY, "oom")])
def test_a_failing_cell_is_rows_and_the_rest_goes_on(optimizer: str, status: str, tmp_path: Path) -> None:
    results = run_tiny(tmp_path / "run", optimizers=[optimizer, "sgd"])
    states = results.cells.set_index("optimizer")["status"].to_dict()
    assert states == {optimizer.rpartition(":")[2]: status, "sgd": "ok"}
    rows = results.runs[results.runs["optimizer"] != "sgd"]
    assert len(rows) == 4
    assert (rows["status"] == status).all()
    assert rows["error"].str.len().gt(0).all()
    assert not rows["error"].str.contains("\n").any()
    assert rows[["test_loss", "test_metric", "steps_to_target"]].isna().all(axis=None)
    failed_trial = results.trials.query("status == @status").iloc[0]
    assert failed_trial["cost"] == 30  # three steps of ten were computed before it failed


def test_when_every_trial_diverges_the_runs_say_so(tmp_path: Path) -> None:
    results = run_tiny(tmp_path / "run", optimizers=[EXPLODING], evaluations=2)
    assert (results.trials["status"] == "diverged").all()
    tuned, untuned = (results.runs[results.runs["tuned"] == flag] for flag in (True, False))
    assert (tuned["status"] == "skipped").all()
    assert tuned["error"].str.contains("no trial").all()
    assert (untuned["status"] == "diverged").all()
    assert results.runs["test_metric"].isna().all()
    assert not results.runs["target_reached"].any()


def test_a_budget_in_seconds_becomes_examples_once(tmp_path: Path) -> None:
    """By the speed measured in isolation: resumed or repeated, it is the same number of examples."""
    results = run_tiny(tmp_path / "run", optimizers=["sgd"], run_budget="0.02seconds", seeds=1)
    timing = results.directory.cell(results.cells["cell_id"].iloc[0]).timing()
    assert timing is not None
    budget = round(0.02 / timing["seconds_per_cost"])
    assert results.cells["run_budget"].iloc[0] == budget
    runs = results.runs
    assert (runs["cost"] <= budget).all()
    again = run_tiny(tmp_path / "run", optimizers=["sgd"], run_budget="0.02seconds", seeds=2)
    assert again.runs["cost"].nunique() == 1


def test_a_fixed_rate_is_not_tuned_and_charges_nothing(tmp_path: Path) -> None:
    results = run_tiny(tmp_path / "run", optimizers=["sgd[lr=0.05]"])
    assert len(results.trials) == 0
    assert results.runs["lr"].tolist() == [0.05, 0.05]
    assert not results.runs["tuned"].any()


def test_other_hyperparameters_are_tuned_too(tmp_path: Path) -> None:
    table = {"base": "adam", "search": {"eps": {"low": 1e-8, "high": 1e-2}}, "arguments": {"betas": [0.8, 0.99]}}
    results = run_tiny(tmp_path / "run", optimizers=["free"], optimizer={"free": table}, tuning_worth=6)
    trials = results.trials
    assert trials["hp_eps"].iloc[0] == 1e-8
    assert trials["hp_eps"].nunique() == 6
    assert trials["lr"].nunique() == 6
    assert results.runs["hp_betas"].iloc[0] == "[0.8, 0.99]"


def test_a_trial_is_judged_by_the_last_quarter_of_its_curve(all_optimizers: optbench.Results) -> None:
    trials = all_optimizers.trials.query("status == 'ok'").set_index(["cell_id", "trial"])
    curves = all_optimizers.curves.query("kind == 'trial'")
    cells = all_optimizers.cells.set_index("cell_id")
    one_a_step = trials[trials["optimizer"] != "lbfgs"]  # others may pass several points in a step
    assert len(one_a_step) > 20
    for key, trial in one_a_step.iterrows():
        curve = curves[(curves["cell_id"] == key[0]) & (curves["trial"] == key[1])]
        evaluations, budget = int(cells.loc[key[0], "evaluations"]), cells.loc[key[0], "run_budget"]
        begins = (3 * evaluations // 4 + 1) / evaluations * budget
        late = curve[(curve["cost"] >= begins * (1 - 1e-12)) | (curve["step"] == curve["step"].max())]
        for name in ("valid_loss", "valid_metric"):
            assert trial[name] == pytest.approx(late[name].mean(), rel=1e-12), key


@pytest.mark.parametrize(
    ("sampler", "worth"), [pytest.param("tpe", 14, marks=pytest.mark.slow), ("random", 4)]
)  # TPE's first ten trials are random
def test_repeated_tunings_are_extra_and_decide_nothing(tmp_path: Path, sampler: str, worth: int) -> None:
    choices: dict[str, Any] = {
        "problems": [TINY], "optimizers": ["sgd", "adam"], "batch_sizes": [10], "tuning_sampler": sampler,
        "tuning_worth": worth, "run_budget": "200examples",
    }  # fmt: skip
    once = run_tiny(tmp_path / "once", **choices)
    assert len(once.runs) == 8  # read now: the same directory is extended below
    several = run_tiny(tmp_path / "several", **choices, tuning_studies=3)
    extended = run_tiny(tmp_path / "once", **choices, tuning_studies=3)
    for results in (several, extended):
        pd.testing.assert_series_equal(results.runs["test_loss"], once.runs["test_loss"])
        pd.testing.assert_series_equal(results.trials["valid_loss"], once.trials["valid_loss"])
        pd.testing.assert_series_equal(results.cells["tuning_cost"], once.cells["tuning_cost"])
    assert (once.cells["studies"] == 1).all()
    assert len(once.studies) == 0
    assert (several.cells["studies"] == 3).all()
    studies = several.studies.drop(columns="seconds")
    pd.testing.assert_frame_equal(studies, extended.studies.drop(columns="seconds"))
    assert set(studies["study"]) == {1, 2}
    budgets = several.cells.set_index("cell_id")["tuning_budget"]
    spent = studies.groupby(["cell_id", "study"])["cost"].sum()
    assert (spent <= spent.index.get_level_values("cell_id").map(budgets)).all()
    seeds = {number: set(part["seed"]) for number, part in studies.groupby("study")} | {0: set(several.trials["seed"])}
    assert not seeds[0] & seeds[1]
    assert not seeds[1] & seeds[2]
    # The same trials of all optimizers have the same seed; what a sampler proposes late differs between studies.
    assert studies.groupby(["study", "trial"])["seed"].nunique().eq(1).all()
    late = pd.concat([several.trials.assign(study=0), studies])
    late = late[(late["optimizer"] == "adam") & (late["trial"] == worth - 1)]
    assert late["lr"].nunique() == 3
    table = all_tables(several)
    assert set(table["best_of_k"]["method"]) <= {"repeated", "expected"}
    assert len(table["studies"]) == len(studies)
    assert "- `studies`: " in write_index([*table], tmp_path)
    assert "studies" not in all_tables(once)


def test_a_trial_that_raises_is_one_trial(tmp_path: Path) -> None:
    results = run_tiny(
        tmp_path / "run", optimizers=[f"{PASSES}:Choosy", f"{PASSES}:Choosy[lr=0.5]"], tuning_worth=4, seeds=2
    )
    cells = results.cells.set_index("optimizer")
    assert list(cells["status"]) == ["ok", "error"]
    trials = results.trials[results.trials["optimizer"] == "Choosy"]
    assert set(trials.loc[trials["lr"] > 0.1, "status"]) == {"error"}
    assert set(trials.loc[trials["lr"] <= 0.1, "status"]) == {"ok", "stopped"}
    runs = results.runs[results.runs["optimizer"] == "Choosy"]
    assert set(runs["status"]) == {"ok"}


def test_a_fixed_rate_is_every_trials(tmp_path: Path) -> None:
    results = run_tiny(tmp_path / "run", optimizers=["adamw[lr=0.05]"], tuning_worth=4, seeds=1, problems=[TINY_NET])
    assert set(results.trials["lr"]) == set(results.runs["lr"]) == {0.05}
    assert len(set(results.trials["hp_weight_decay"])) == len(results.trials) > 4


def test_a_training_that_never_moves_is_said(tmp_path: Path) -> None:
    results = run_tiny(tmp_path / "run", optimizers=[f"{PASSES}:Idle", "sgd"], tuning_worth=0, seeds=2)
    still = results.runs[results.runs["optimizer"] == "Idle"]
    assert set(still["status"]) == {"ok"}
    assert still["error"].str.fullmatch(r"the model never changed in \d+ steps").all()
    assert set(results.runs.loc[results.runs["optimizer"] == "sgd", "error"]) == {""}
    findings = audit(results.trials, results.runs, results.cells)
    assert list(findings.loc[findings["finding"] == "remark", "optimizer"]) == ["Idle"]


def test_an_optimizer_that_is_told_its_steps_is_timed_and_has_a_budget_in_seconds(tmp_path: Path) -> None:
    for budget in ("200examples", "0.05seconds"):
        results = run_tiny(
            tmp_path / budget, optimizers=[f"{PASSES}:Limited"], tuning_worth=0, seeds=1, run_budget=budget
        )
        assert set(results.runs["status"]) == {"ok"}, budget
        assert results.cells["step_ms"].notna().all(), budget


@pytest.mark.parametrize(("batch_size", "pruner"), [(10, "none"), (70, "none"), (70, "race")])
def test_a_batch_that_doesnt_divide_the_budget_buys_no_further_trials(
    batch_size: int, pruner: str, tmp_path: Path
) -> None:
    results = run_tiny(
        tmp_path / "run",
        optimizers=["sgd"],
        batch_sizes=[batch_size],
        run_budget="100examples",
        tuning_worth=6,
        tuning_pruner=pruner,
        seeds=1,
    )
    assert len(results.trials) == 6
