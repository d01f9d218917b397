"""What the command line prints of plans, states and what there is."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pandas as pd
import pytest

import optbench
from optbench.cli import text as listing
from optbench.config.load import configure
from optbench.config.presets import PRESETS
from optbench.errors import UserError
from optbench.metrics import METRICS
from optbench.metrics.targets import list_targets
from optbench.optimizers import registry
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS
from optbench.optimizers.schedule_shapes import SHAPES
from optbench.planning.matrix import make_plan
from optbench.problem.data import DataSource
from optbench.problem.registry import BUILT_IN_PROBLEMS, make_problem
from optbench.results.load import Results
from optbench.results.store import CellStore
from optbench.runner.options import RunOptions
from optbench.runner.run import _describe_missing
from tests.support.tiny import CHOICES

SOURCE = DataSource(Path("unused"), download=False)


def test_tables_align() -> None:
    rows = [("name", "n"), ("a", "10"), ("longer", "9")]
    assert listing.align_columns(rows, right=(1,)).splitlines() == ["name     n", "a       10", "longer   9"]
    assert listing.align_columns([("a", ""), ("b", "c")]).splitlines() == ["a", "b  c"]  # no spaces at the ends


def test_the_plan_shows_every_cell_with_its_cost_and_the_whole_time() -> None:
    plan = make_plan(configure(**CHOICES))
    lines = listing.plan_text(plan, workers=2).splitlines()
    assert lines[0].split() == ["cell", "problem", "optimizer", "batch", "device", "schedule", "run", "budget", "cost",
                                "time", "execution"]  # fmt: skip
    for cell, line in zip(plan.cells, lines[1:3], strict=True):
        # 400 example gradients a training: 2 for the tuning, 2 × 2 for the runs.
        assert line.split()[:8] == [cell.id, "tiny", cell.optimizer.label, "10", "cpu", "constant", "2epochs", "2,400"]
    assert lines[4].startswith("2 cells, 2 seeds; ")
    assert lines[5].startswith("execution: eager ")
    assert re.match(r"about (\d+|<1) s on 2 workers ", lines[6])


def test_the_time_is_shared_by_the_workers() -> None:
    plan = make_plan(configure(**{**CHOICES, "run_budget": "1000000epochs"}))
    times = {workers: listing.plan_text(plan, workers).splitlines()[-2] for workers in (1, 2)}
    one, two = (int(re.search(r"about (\d+) h", times[workers])[1]) for workers in (1, 2))  # type: ignore[index]
    assert one == pytest.approx(2 * two, abs=1)
    assert "on 1 worker (" in times[1]


@pytest.mark.parametrize(("optimizers", "seeds", "needed"), [(["sgd", "adam"], 5, 6), (["sgd", "adam", "nadam"], 6, 7)])
def test_a_plan_says_when_its_seeds_can_decide_nothing(optimizers: list[str], seeds: int, needed: int) -> None:
    plan = make_plan(configure(**{**CHOICES, "optimizers": optimizers, "seeds": seeds}))
    notes = [line for line in listing.plan_text(plan, workers=1).splitlines() if line.startswith("note: ")]
    assert notes == [f"note: {seeds} seeds: too few to conclude that one optimizer beats another within one task. "
                     f"With {len(optimizers)} optimizers, a verdict needs at least {needed} seeds."]  # fmt: skip
    for able in ({"optimizers": optimizers, "seeds": needed}, {"optimizers": ["sgd"], "seeds": 1}):
        assert "too few" not in listing.plan_text(make_plan(configure(**{**CHOICES, **able})), workers=1)


def test_budgets_in_seconds_have_no_cost_yet() -> None:
    plan = make_plan(configure(**{**CHOICES, "run_budget": "30seconds"}))
    line = listing.plan_text(plan, workers=1).splitlines()[1]
    assert line.split()[6:] == ["30seconds", "by", "speed", "3", "min", "00", "s", "eager"]


def test_the_state_of_a_complete_run(tiny_run: Results) -> None:
    lines = listing.status_text(tiny_run).splitlines()
    for line, optimizer in zip(lines[1:3], ("sgd", "adam"), strict=True):
        # three trials, of which one is complete (400) and two stop halfway, tuned and untuned runs on two seeds
        assert line.split()[1:] == ["tiny", optimizer, "10", "cpu", "done", "3", "800", "of", "800", "4"]
    assert lines[-1] == "2 done, 0 failed, 0 missing"


def test_the_state_reads_each_result_once(tiny_run: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    names, read = [], CellStore._read

    def count(store: CellStore, name: str) -> dict[str, object] | None:
        names.append(name)
        return read(store, name)

    monkeypatch.setattr(CellStore, "_read", count)
    text = listing.status_text(optbench.load(tiny_run.directory.folder))
    assert text == listing.status_text(tiny_run)
    assert names.count("result.json") == len(tiny_run.plan["cells"]) == 2


def test_the_state_of_failed_and_missing_cells(partly_failed_run: Results) -> None:
    text = listing.status_text(partly_failed_run)
    assert "RuntimeError: the third step is too much" in text
    assert text.splitlines()[-1] == "1 done, 1 failed, 0 missing"


def test_the_state_of_a_partial_run(tiny_copy: Path) -> None:
    cells = sorted((tiny_copy / "cells").iterdir())
    (cells[0] / "result.json").unlink()
    (tiny_copy / "cells" / "0123456789abcdef").mkdir()
    lines = listing.status_text(optbench.load(tiny_copy)).splitlines()
    assert lines[-2] == "1 done, 0 failed, 1 missing"
    assert lines[-1] == "1 cell of other configurations in this directory (not part of the tables)"
    [missing] = [line for line in lines if line.startswith(cells[0].name)]
    assert missing.split()[5:] == ["missing", "3", "800", "4"]


def test_an_interrupted_extension_is_incomplete_not_missing(tiny_copy: Path) -> None:
    """The plan has more seeds than the finished cells, as after an interrupted `run --seeds 4`."""
    directory = optbench.load(tiny_copy).directory
    plan = directory.plan()
    directory.write_plan({**plan, "seeds": [0, 1, 2, 3]})
    lines = listing.status_text(optbench.load(tiny_copy)).splitlines()
    assert lines[-1] == "0 done, 0 failed, 0 missing, 2 incomplete"
    assert all("incomplete: 2 of 4 seeds" in line for line in lines[1:3])
    planned = make_plan(configure(**{**CHOICES, "seeds": 4}))
    assert listing.stored_text(planned, tiny_copy).endswith(", 2 with fewer seeds")
    missing = _describe_missing(planned, planned.cells, directory)
    assert missing == "2 of 2 cells to compute on cpu, 2 incomplete: 2 of 4 seeds"


def test_problems_with_parameters_and_defaults() -> None:
    text = listing.list_text("problems")
    for name, target in BUILT_IN_PROBLEMS.items():
        assert f"\n{name}[" in f"\n{text}"
        assert target in text
    assert text.count("\n    tells apart: ") == len(BUILT_IN_PROBLEMS)
    assert "    tells apart: methods that follow a narrow, curved valley from those that zigzag across it.\n" in text
    assert "quadratic_valley[dim=2,condition=100.0,examples=1000,noise=" in text
    assert "run budget 2epochs" in text
    assert "; target 2.606; optbench.problems.quadratic_deep:" in text


def test_optimizers_with_defaults_and_search_spaces() -> None:
    text = listing.list_text("optimizers")
    blocks = re.split(r"\n(?=\S)", text)
    assert [block.partition(":")[0] for block in blocks] == list(REGISTERED_OPTIMIZERS)
    assert "adam: torch.optim:Adam(lr)" in text
    assert "nesterov: torch.optim:SGD(lr, momentum=0.9, nesterov=True)" in text
    adadelta = next(block for block in blocks if block.startswith("adadelta"))
    assert (
        "tunes learning rate 0.01 to 100 (default 1) on networks; other hyperparameters: rho=0.9, eps=1e-6" in adadelta
    )
    assert "Zeiler (2012)" in adadelta
    muon = next(block for block in blocks if block.startswith("muon"))
    assert "group rest (ndim != 2 or layer == 'Embedding') by torch.optim:AdamW" in muon
    assert "tunes learning rate 1e-05 to 0.1 (default 0.001) and weight_decay 0.0001 to 1 (default 0.1)" in muon
    assert "tunes nothing on networks" in next(block for block in blocks if block.startswith("prodigy"))


def test_an_optimizer_whose_package_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(registry, "version", absent)
    [lion] = [b for b in re.split(r"\n(?=\S)", listing.list_text("optimizers")) if b.startswith("lion:")]
    assert lion.endswith("\n    not installed: pip install 'optbench[zoo]'")


def test_presets_and_metrics() -> None:
    assert [line for line in listing.list_text("presets").splitlines() if line[:-1] in {f"[{p}" for p in PRESETS}]
    text = listing.list_text("schedules")
    assert [line.partition("[")[0] for line in text.splitlines()[2:] if not line.startswith(" ")] == list(SHAPES)
    assert "wsd[decay=0.2,shape=linear,final=…,warmup=0.0]\n    1, and over the last `decay` of the run" in text
    assert listing.list_text("metrics").splitlines()[0].split()[:2] == ["metric", "better"]
    assert [line.split()[0] for line in listing.list_text("metrics").splitlines()[1:]] == list(METRICS)


@pytest.mark.parametrize(
    ("check", "given", "line"),
    [
        (listing.list_text, "problem", "list 'problem'; did you mean 'problems'? (accepted: metrics, "),
        (
            lambda name: optbench.run(rank_by=name),
            "test_los",
            "metric 'test_los'; did you mean 'test_loss'? (acc",
        ),
        (lambda name: RunOptions(SOURCE, engine=name), "process", "engine 'process'; did you mean 'processes'? (acc"),
    ],
)
def test_unknown_names(check: Callable[[str], object], given: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        check(given)
    assert str(caught.value).startswith(f"unknown {line}")


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_limit_is_a_number_of_seconds(seconds: float) -> None:
    with pytest.raises(UserError, match=r"cell timeout = .* is out of range"):
        RunOptions(SOURCE, engine="processes", cell_timeout=seconds)


def test_a_broken_plugin_says_which_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILT_IN_PROBLEMS, "broken", "nosuchpackage:Thing")
    with pytest.raises(UserError, match="nosuchpackage can't be imported"):
        listing.list_text("problems")


def test_the_document_of_problems_has_all_as_they_are() -> None:
    """Of every registered problem a row with what it is run with where nothing else is asked for, and a section."""
    text = (Path(__file__).parents[2] / "docs" / "problems.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| [`")
    ]
    by_name = {row[0].partition("`")[2].partition("`")[0]: row[1:] for row in rows}
    assert len(by_name) == len(rows)
    assert set(by_name) == set(re.findall(r"^## `(.*)`$", text, re.MULTILINE)) == set(BUILT_IN_PROBLEMS)
    problems = {name: make_problem(name, {}) for name in BUILT_IN_PROBLEMS}
    asked = [(n, p.metric_name, p.metric_higher_is_better, str(p.version), p.target) for n, p in problems.items()]
    columns = ["problem", "metric_name", "metric_higher_is_better", "problem_version", "target"]
    targets = list_targets(pd.DataFrame(asked, columns=columns))
    for name, (sizes, budget, metric, written) in by_name.items():
        problem = problems[name]
        better = "higher" if problem.metric_higher_is_better else "lower"
        assert sizes == ", ".join(map(str, problem.batch_sizes)), name
        assert (budget, metric) == (problem.run_budget, f"{problem.metric_name}, {better}"), name
        expected = [f"{value:.3g}" for value in targets.loc[targets["problem"] == name, "target"]]
        assert written.split(", ") == expected, name
