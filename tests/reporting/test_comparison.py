"""`compare` as a function and as a verb: the same verdicts as those of one directory."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import optbench
from optbench.cli.verbs import COMPLETE, WRONG_USE, _main
from optbench.errors import UserError
from optbench.metrics.leaderboard import leaderboard
from optbench.metrics.verdicts import verdicts
from optbench.plots import style
from optbench.reporting import html_tables
from optbench.reporting.comparison import Comparison, verdict_blocks
from optbench.results.checksum import unseal
from optbench.results.join import JoinedResults
from tests.results.test_join import change, part
from tests.support.drawn import only
from tests.support.studies import study
from tests.support.tiny import run_tiny


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> optbench.Results:
    """Three optimizers on nine seeds, which are enough to decide between them."""
    folder = tmp_path_factory.mktemp("comparison") / "whole"
    return run_tiny(folder, optimizers=["sgd", "adam", "adadelta"], seeds=9)


def split(whole: optbench.Results, folder: Path) -> tuple[Path, Path]:
    """The directories `old` and `new` with the optimizers of `whole`."""
    source = whole.directory.folder
    return part(source, folder / "old", "adam", "sgd"), part(source, folder / "new", "adadelta")


@pytest.fixture(scope="module")
def halves(whole: optbench.Results, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Only to be read."""
    return split(whole, tmp_path_factory.mktemp("halves"))


@pytest.fixture(scope="module")
def compared(halves: tuple[Path, Path]) -> Comparison:
    """With all tables, before any of them is left out."""
    return optbench.compare(*halves)


@pytest.fixture
def few_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables other than verdicts, audit and leaderboard are left out; nothing here reads them."""
    monkeypatch.setattr("optbench.metrics.tables.TABLES", {})


@pytest.mark.usefixtures("few_tables")
def test_the_verdicts_are_those_of_one_directory(
    whole: optbench.Results, halves: tuple[Path, Path], compared: Comparison
) -> None:
    expected = verdicts(whole.runs, whole.cells)
    pd.testing.assert_frame_equal(compared.verdicts, expected, check_dtype=False)
    assert set(expected["optimizer"]) == {"sgd", "adadelta"}
    assert set(expected["verdict"]) - {"inconclusive"}, "nine seeds decide something"
    again = optbench.compare(*halves, reference="sgd", metric="valid_loss")
    pd.testing.assert_frame_equal(
        again.verdicts, verdicts(whole.runs, whole.cells, "sgd", "valid_loss"), check_dtype=False
    )
    assert set(compared.leaderboard["optimizer"]) == {"sgd", "adam", "adadelta"}
    assert "audit" in compared.leaderboard


@pytest.mark.usefixtures("few_tables")
def test_the_verb(
    compared: Comparison,
    halves: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(style, "FORMATS", {"svg": style.FORMATS["svg"]})
    old, new = halves
    arguments = ["compare", "old", str(new), "--results", str(old.parent), "--output", str(tmp_path / "out")]
    with only("loss_against_cost"):
        assert _main(arguments) == COMPLETE
    out = capsys.readouterr().out
    table = compared.verdicts
    assert "against adam by test_metric" in out
    for row in table.to_dict("records"):
        line = next(line for line in out.splitlines() if line.startswith(row["optimizer"]))
        assert row["verdict"] in line
    written = pd.read_csv(tmp_path / "out" / "tables" / "verdicts.csv")
    assert written["verdict"].tolist() == table["verdict"].tolist()
    assert (tmp_path / "out" / "tables" / "verdicts.tex").is_file()
    assert list((tmp_path / "out" / "plots").glob("loss_against_cost-*.svg"))
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with only("loss_against_cost"):
        assert _main(arguments) == COMPLETE
    assert {path: path.read_bytes() for path in before} == before, "same input, same bytes"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--reference", "adm"), "unknown reference optimizer 'adm'; did you mean 'adam'? (accepted: adadelta, adam,"),
        (("--rank-by", "test_los"), "unknown metric 'test_los'; did you mean 'test_loss'?"),
    ],
)
def test_mistakes(
    halves: tuple[Path, Path], more: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(["compare", *map(str, halves), *more]) == WRONG_USE
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert line in err


@pytest.mark.usefixtures("few_tables")
def test_one_directory_is_compared_within_itself(whole: optbench.Results, capsys: pytest.CaptureFixture[str]) -> None:
    alone = optbench.compare(whole.directory.folder)
    pd.testing.assert_frame_equal(alone.verdicts, verdicts(whole.runs, whole.cells), check_dtype=False)
    assert _main(["compare", str(whole.directory.folder), "--reference", "sgd"]) == COMPLETE
    blocks = verdict_blocks(verdicts(whole.runs, whole.cells, "sgd"))
    assert capsys.readouterr().out == "\n\n".join(blocks) + "\n"
    assert _main(["compare"]) == WRONG_USE
    with pytest.raises(UserError, match=r"unknown results directory 'whol' in .*; did you mean 'whole'"):
        optbench.compare(whole.directory.folder.parent / "whol")


@pytest.mark.usefixtures("few_tables")
def test_one_directory_is_compared_with_what_it_was_run_against(
    whole: optbench.Results, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    run_tiny(tmp_path / "against", optimizers=["adadelta"], seeds=9, against=halves[0])
    found = optbench.compare(tmp_path / "against").verdicts
    keys = ["problem", "batch_size", "optimizer"]
    pd.testing.assert_frame_equal(
        found.sort_values(keys, ignore_index=True),
        verdicts(whole.runs, whole.cells).sort_values(keys, ignore_index=True),
        check_dtype=False,
    )


@pytest.mark.usefixtures("few_tables")
def test_times_of_unlike_machines_are_refused(whole: optbench.Results, tmp_path: Path) -> None:
    old, new = split(whole, tmp_path)
    environments = json.loads((new / "environment.json").read_bytes())
    other = {**unseal(next(iter(environments.values()))), "cores": 1024}
    (new / "environment.json").write_text(json.dumps({**environments, "other": other}))
    change(new, "result.json", environment="other")
    with pytest.raises(UserError, match=r"seconds_to_target cannot be compared between different machines: .*1024"):
        optbench.compare(old, new, metric="seconds_to_target")
    compared = optbench.compare(old, new)
    assert "timings are left out" in str(compared)
    assert compared.leaderboard["step_ms"].isna().all()
    assert compared.verdicts["p"].notna().all()


@pytest.mark.usefixtures("few_tables")
def test_nothing_in_common_is_said(whole: optbench.Results, tmp_path: Path) -> None:
    folder = whole.directory.folder
    old, new = part(folder, tmp_path / "old", "adam"), part(folder, tmp_path / "new", "sgd")
    change(new, "result.json", run_budget=7.0)
    text = str(optbench.compare(old, new))
    assert "nothing to compare" in text
    assert "1 cells of new on tiny are left out: their run budget is 7, not 400" in text


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (math.nan, "cost_to_target needs a target, and bowl declares none"),
        (0.1, "no two optimizers have a known cost_to_target on the same task"),
    ],
)
def test_why_there_is_no_verdict_is_said(target: float, said: str) -> None:
    found = study({"adam": [1.0] * 3, "sgd": [2.0] * 3})
    found.cells["target"] = target
    frames = found.runs, found.trials, found.studies, found.curves, found.cells, found.curves
    results = JoinedResults(*frames, {}, [], [], {})
    empty = verdicts(found.runs, found.cells).iloc[:0]
    text = str(Comparison(results, {"verdicts": empty, "leaderboard": leaderboard(found.runs, found.cells)},
                          "cost_to_target"))  # fmt: skip
    assert text == f"nothing to compare: {said}"
    alone = found.runs["optimizer"] == "adam"
    results = replace(results, runs=found.runs[alone])
    assert "no two optimizers were run on the same problem" in str(Comparison(results, {
        "verdicts": empty, "leaderboard": leaderboard(found.runs, found.cells)}))  # fmt: skip


@pytest.mark.processes
def test_no_verdict_needs_torch(halves: tuple[Path, Path]) -> None:
    code = (
        "import sys, optbench; print(optbench.compare(*sys.argv[1:]));"
        "print(sorted({'torch', 'torchvision', 'optuna'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code, *map(str, halves)], capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1:] == ["[]"], ran.stderr


def test_recommend(whole: optbench.Results, halves: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    table = optbench.recommend(whole.directory.folder)
    assert table["trials"].unique().tolist() == [1, 2]
    pd.testing.assert_frame_equal(optbench.recommend(*halves), table)
    assert _main(["recommend", *map(str, halves), "--trials", "2", "--seconds", "1e9"]) == COMPLETE
    out = capsys.readouterr().out.splitlines()
    expected = optbench.recommend(*halves, trials=2, seconds=1e9)
    assert out[0] == expected["sentence"].iloc[0]
    assert out[1:] == ["", "in your own script: torch.optim.Adam(params, lr=0.1)"], "a single task is answered once"
    assert "use adam, at batch size 10, learning rate 0.1. Its test suboptimality has the median" in out[0]
    assert out[0].startswith("With 3 tuning trials and 1.00e+09 s of tuning: ") or "1e+09 s of tuning" in out[0]
    assert _main(["recommend", str(halves[0]), "--seconds", "1e-9"]) == COMPLETE
    assert "nothing to recommend for all tasks" in capsys.readouterr().out
    assert _main(["recommend", str(halves[0]), "--trials", "0"]) == WRONG_USE
    assert "trials = 0 is out of range (accepted: above 0)" in capsys.readouterr().err


@pytest.mark.usefixtures("few_tables")
def test_chosen_hyperparameters_other_than_the_rate_are_shown(tmp_path: Path) -> None:
    search = {"momentum": {"values": [0.5, 0.25]}}
    table = {"base": "momentum", "search": search}
    results = run_tiny(tmp_path / "run", optimizers=["heavy", "adam"], optimizer={"heavy": table}, tuning_worth=4)
    chosen = results.runs.query("optimizer == 'heavy' and tuned")["hp_momentum"].iloc[0]
    expected = {"heavy": f"momentum={chosen:g}", "adam": ""}
    compared = optbench.compare(tmp_path / "run")
    for frame in (results.cells, compared.leaderboard):
        assert dict(zip(frame["optimizer"], frame["others_tuned"], strict=True)) == expected
    assert f", momentum={chosen:g}" in str(compared)
    assert "chosen: heavy lr=" in str(compared)
    metrics = dict(zip(results.cells["problem"], results.cells["metric_name"], strict=True))
    [group] = html_tables.groups(compared.leaderboard, metrics, compared.verdicts)
    [table, *_] = html_tables.tuning_tables(results.cells)
    for shown in (group.table, table):
        assert "others_tuned" in [column.name for column in shown.columns]
