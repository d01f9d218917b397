"""The plan: which cells there are, what their identity depends on, and that it is made without torch."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from optbench import selection
from optbench.config.load import configure, load_config
from optbench.config.presets import PRESETS
from optbench.errors import UserError
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS
from optbench.planning.matrix import Cell, Plan, make_plan
from tests.support.tiny import EXPLODING, RAISING, TINY, TINY_NET

QUICK = load_config("quick")
BASE: dict[str, Any] = {
    "problems": [TINY], "optimizers": ["adam"], "batch_sizes": [10], "devices": ["cpu"], "run_budget": "2epochs",
}  # fmt: skip


def plan(**choices: Any) -> Plan:
    return make_plan(configure(**{**BASE, **choices}))


def cell(**choices: Any) -> Cell:
    [found] = plan(**choices).cells
    return found


def complaint(**choices: Any) -> str:
    with pytest.raises(UserError) as caught:
        plan(**choices)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def from_toml(tmp_path: Path, text: str, **choices: Any) -> list[Cell]:
    file = tmp_path / "my.toml"
    file.write_text(dedent(text))
    return list(make_plan(configure(file=file, **{**BASE, **choices})).cells)


# The matrix


def test_quick_is_ten_optimizers_on_three_problems_at_two_batch_sizes() -> None:
    found = make_plan(configure(preset="quick", devices=["cpu"]))
    assert len(found.cells) == 60
    assert len({c.id for c in found.cells}) == len({c.key for c in found.cells}) == 60
    assert {c.batch_size for c in found.cells} == {20, 100}
    problems = {c.problem.label for c in found.cells}
    assert len(problems) == 3
    assert sum("digits" in label for label in problems) == 2  # substitute data is named
    assert len({c.optimizer.label for c in found.cells}) == 10
    assert found.seeds == tuple(range(10))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_planned(name: str) -> None:
    cells = make_plan(configure(preset=name, devices=["cpu"])).cells
    assert len({c.key for c in cells}) == len(cells)


def test_the_matrix_is_the_product_in_the_order_of_the_configuration() -> None:
    found = plan(
        problems=[TINY, TINY_NET], optimizers=["sgd", "adam"], batch_sizes=[20, 10], schedules=["constant", "linear"]
    )
    assert [c.key for c in found.cells] == [
        (problem, optimizer, batch, "cpu", schedule)
        for problem in ("tiny", "tiny_net")
        for batch in (20, 10)
        for schedule in ("constant", "linear")
        for optimizer in ("sgd", "adam")
    ]


def test_sweeps_make_cells_with_labels_of_their_own() -> None:
    found = plan(problems=[f"{TINY}[condition=[1,10,100]]"], optimizers=["adam[eps=[1e-8,1e-3]]"])
    assert [c.key[:2] for c in found.cells] == [
        (problem, optimizer)
        for problem in ("tiny[condition=1.0]", "tiny", "tiny[condition=100.0]")  # 10 is the default
        for optimizer in ("adam[eps=1e-8]", "adam[eps=0.001]")
    ]
    assert len({c.id for c in found.cells}) == 6


def test_what_is_asked_for_twice_is_planned_once() -> None:
    found = plan(
        problems=[TINY, f"{TINY}[condition=10]"],
        optimizers=["adam", "adam", "momentum", "momentum[momentum=0.9]"],
        batch_sizes=[10, 10],
        devices=["cpu", "cpu"],
        schedules=["constant", "constant[]"],
    )
    assert [c.optimizer.label for c in found.cells] == ["adam", "momentum"]


def test_a_problem_may_have_its_own_budget_and_batch_sizes(tmp_path: Path) -> None:
    text = f"""
        problems = ["{TINY_NET}", {{select = "{TINY}", run_budget = "3epochs", batch_sizes = [7, 8]}}]
        batch_sizes = [5]
        run_budget = "90examples"
        optimizers = ["sgd"]
        devices = ["cpu"]
    """
    file = tmp_path / "my.toml"
    file.write_text(dedent(text))
    found = make_plan(load_config(file=file)).cells
    assert [(c.problem.label, c.batch_size, c.run_cost) for c in found] == [
        ("tiny_net", 5, 90), ("tiny", 7, 600), ("tiny", 8, 600)
    ]  # fmt: skip


@pytest.mark.parametrize("preset", ["quick", "standard", "full", "recipe"])
def test_a_problem_decides_where_nobody_else_does(preset: str) -> None:
    """A preset decides for its own problems alone."""
    found = make_plan(configure(preset=preset, problems=[TINY], optimizers=["sgd"], schedules=["constant"]))
    assert [(c.batch_size, str(c.run_budget)) for c in found.cells] == [(10, "2epochs"), (100, "2epochs")]


def test_own_batch_sizes_that_do_not_fit_are_left_out_and_asked_ones_refused() -> None:
    few = {"problems": [f"{TINY}[examples=56]", TINY], "optimizers": ["sgd"], "devices": ["cpu"]}
    found = make_plan(configure(**few))
    assert [(c.problem.label, c.batch_size) for c in found.cells] == [
        ("tiny[examples=56]", 10), ("tiny", 10), ("tiny", 100)
    ]  # fmt: skip
    assert found.notes == ("batch size 100 of tiny[examples=56] is left out: there are 56 training examples",)
    for asked in ([20, 100], [100, 20], [100]):
        with pytest.raises(UserError, match=r"^batch size of tiny\[examples=56\] = 100 is out of range"):
            make_plan(configure(**few, batch_sizes=asked))


def test_costs_in_example_gradients() -> None:
    found = cell(run_budget="2.5epochs", tuning_worth=4)
    assert found.run_cost == 500  # of 200 examples
    assert found.tuned
    assert found.trainings(seeds=3) == 4 + 2 * 3
    untuned = cell(tuning_worth=0)
    assert not untuned.tuned
    assert untuned.trainings(seeds=3) == 3
    assert not cell(optimizers=["adam[lr=0.1]"]).tuned


def test_the_estimate_grows_with_the_work() -> None:
    one, two = plan(), plan(run_budget="4epochs")
    assert two.seconds(two.cells[0]) == pytest.approx(2 * one.seconds(one.cells[0]))
    timed = plan(run_budget="30seconds", tuning_worth=4, seeds=3)
    assert timed.seconds(timed.cells[0]) == 30 * (4 + 2 * 3)


def test_what_tables_need_is_plain_json() -> None:
    for name in ("adam[betas=(0.8,0.9),lr=0.1]", "lbfgs"):
        record = cell(optimizers=[name]).record()
        assert json.loads(json.dumps(record, allow_nan=False))["optimizer"] == name
    assert cell().record()["lr_range"] == [1e-3, 1e1]
    assert cell().record()["target"] == 0.1


# Identity


def id_in_another_process(tmp_path: Path, seed: str, **choices: Any) -> str:
    code = (
        "import json, sys; from optbench.api import plan; choices = json.loads(sys.argv[1]);"
        "print(*[cell.id for cell in plan(**choices).cells])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", code, json.dumps({**BASE, **choices})],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    return ran.stdout.strip()


@pytest.mark.processes
def test_ids_are_the_same_in_every_process(tmp_path: Path) -> None:
    choices = {"optimizers": ["adam[eps=1e-3,betas=(0.8,0.9)]"], "problems": [f"{TINY}[noise=0.5,condition=3]"]}
    assert {id_in_another_process(tmp_path, seed, **choices) for seed in ("1", "2")} == {cell(**choices).id}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"optimizers": ["adam[eps=1e-3,amsgrad=true]"]}, {"optimizers": ["adam[amsgrad=true,eps=0.001]"]}),
        ({"problems": [f"{TINY}[noise=0.5,condition=3]"]}, {"problems": [f"{TINY}[condition=3.0,noise=5e-1]"]}),
        ({"optimizers": ["rmsprop[momentum=1]"]}, {"optimizers": ["rmsprop[momentum=1.0]"]}),
        ({"optimizers": ["adam[lr=1]"]}, {"optimizers": ["adam[lr=1.0]"]}),
        ({"schedules": ["cosine[warmup=0.05]"]}, {"schedules": ["cosine[ warmup = 5e-2 ]"]}),
        ({"seeds": 1}, {"seeds": 50}),
        ({"run_budget": "2epochs"}, {"run_budget": "400examples"}),
        ({"tuning_worth": 4}, {"tuning_worth": 4.0}),
        ({}, {"preset": "standard", "evaluations": QUICK.evaluations, "tuning_worth": QUICK.tuning.worth}),
        ({"devices": ["auto"]}, {"devices": [make_plan(configure(**{**BASE, "devices": ["auto"]})).cells[0].device]}),
    ],
)
def test_the_same_work_has_the_same_id(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert cell(**one).id == cell(**other).id


@pytest.mark.parametrize(
    "choice",
    [
        {"problems": [TINY_NET]},
        {"problems": [f"{TINY}[noise=0.2]"]},
        {"optimizers": ["adamax"]},
        {"optimizers": ["adam[eps=1e-7]"]},
        {"optimizers": ["adam[lr=0.001]"]},  # fixed, not tuned
        {"optimizers": ["adam[betas=(0.9,0.99)]"]},
        {"batch_sizes": [20]},
        {"schedules": ["linear"]},
        {"schedules": ["constant[warmup=0.1]"]},
        {"threads": 2},
        {"run_budget": "3epochs"},
        {"run_budget": "400seconds"},
        {"tuning_worth": 5},
        {"sampler": "random"},
        {"pruner": "median"},
        {"evaluations": 11},
    ],
    ids=str,
)
def test_whatever_changes_the_numbers_changes_the_id(choice: dict[str, Any]) -> None:
    renamed = {{"sampler": "tuning_sampler", "pruner": "tuning_pruner"}.get(k, k): v for k, v in choice.items()}
    assert cell(**renamed).id != cell().id


def test_the_device_and_the_version_of_a_problem_are_part_of_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    assert replace(cell(), device="cuda").id != cell().id
    from optbench.problems.quadratic_valley import QuadraticValley

    before = cell(problems=["quadratic_valley"]).id
    monkeypatch.setattr(QuadraticValley, "version", QuadraticValley.version + 1)
    assert cell(problems=["quadratic_valley"]).id != before


def test_the_search_space_is_part_of_the_id(tmp_path: Path) -> None:
    def with_range(low: str, scale: str = "log") -> str:
        text = f"[optimizer.mine]\nbase = 'adam'\n[optimizer.mine.search]\nlr = {{low={low}, high=1, scale='{scale}'}}"
        return from_toml(tmp_path, text, optimizers=["mine"])[0].id

    assert with_range("1e-3") == with_range("0.001")
    assert len({with_range("1e-3"), with_range("1e-4"), with_range("1e-3", "linear")}) == 3


def test_names_of_optimizers_are_labels_only(tmp_path: Path) -> None:
    text = "[optimizer.{0}]\nbase = 'adam'\narguments = {{eps = 1e-3}}"
    [mine] = from_toml(tmp_path, text.format("mine"), optimizers=["mine"])
    [yours] = from_toml(tmp_path, text.format("yours"), optimizers=["yours"])
    assert (mine.optimizer.label, yours.optimizer.label) == ("mine", "yours")
    assert mine.id == yours.id == cell(optimizers=["adam[eps=0.001]"]).id


@pytest.mark.parametrize("other", ["yours", "adam[eps=0.001]"])
def test_two_names_for_one_optimizer_are_refused(other: str, tmp_path: Path) -> None:
    text = "".join(f"[optimizer.{name}]\nbase = 'adam'\narguments = {{eps = 1e-3}}\n" for name in ("mine", "yours"))
    with pytest.raises(UserError, match=re.escape(f"optimizers mine and {other} are identical; remove one of them")):
        from_toml(tmp_path, text, optimizers=["mine", other])


def test_tables_that_nothing_selects_are_validated(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown optimizer .adm.; did you mean"):
        from_toml(tmp_path, "[optimizer.mine]\nbase = 'adm'", optimizers=["sgd"])


def test_a_path_with_brackets_can_be_selected(tmp_path: Path) -> None:
    source = Path(TINY.rpartition(":")[0])
    target = tmp_path / "a [b], (c)" / source.name
    target.parent.mkdir()
    target.write_text(source.read_text("utf-8"), "utf-8")
    found = cell(problems=[f'"{target}:Tiny"[condition=3]'], optimizers=[f'"{target}:exploding"'])
    assert (found.problem.label, found.optimizer.label) == ("tiny[condition=3.0]", "exploding")
    assert found.id == cell(problems=[f"{TINY}[condition=3]"], optimizers=[EXPLODING]).id
    assert selection.parse(str(found.problem.selection)) == [found.problem.selection]


def moved(tmp_path: Path, edit: Callable[[str], str] = str) -> Path:
    source = Path(TINY.rpartition(":")[0])
    target = tmp_path / "elsewhere" / source.name
    target.parent.mkdir(exist_ok=True)
    target.write_text(edit(source.read_text("utf-8")), "utf-8")
    return target


def test_a_file_that_moved_keeps_its_ids_and_an_edited_one_does_not(tmp_path: Path) -> None:
    here = cell(problems=[TINY], optimizers=[RAISING])
    there = moved(tmp_path)
    assert cell(problems=[f"{there}:Tiny"], optimizers=[f"{there}:raising"]).id == here.id
    edited = moved(tmp_path, lambda text: text + "\n# edited\n")
    assert cell(problems=[f"{edited}:Tiny"], optimizers=[RAISING]).id != here.id
    assert cell(problems=[TINY], optimizers=[f"{edited}:raising"]).id != here.id


def test_a_relative_path_is_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(TINY.rpartition(":")[0]).parent)
    assert cell(problems=["tiny.py:Tiny"]).id == cell().id


def test_no_path_is_part_of_the_identity() -> None:
    identity = json.dumps(cell(problems=[TINY], optimizers=[EXPLODING]).identity)
    assert str(Path(TINY).parent) not in identity
    assert str(Path.home()) not in identity


# What does not exist or fit


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"problems": ["quadratic_vally"]}, "unknown problem 'quadratic_vally'; did you mean 'quadratic_valley'? (acc"),
    ({"problems": [f"{TINY}[noize=1]"]}, "'noize'; did you mean 'noise'? (accepted: condition, examples, noise, o"),
    ({"problems": [f"{TINY}[noise=x]"]}, "[noise] = 'x' is not valid (accepted: a number)"),
    ({"problems": [f"{TINY}[condition=0]"]}, "tiny[condition] = 0.0 is out of range (accepted: at least 1)"),
    ({"problems": [f"{TINY}["]}, "expected a parameter name"),
    ({"problems": [""]}, "selection '' has no valid name (accepted: name[param=value,…])"),
    ({"problems": ["quadratic_valley[dimm=2]"]}, "parameter of quadratic_valley 'dimm'; did you mean 'dim'? (a"),
    ({"problems": ["quadratic_valley[dim=x]"]}, "quadratic_valley[dim] = 'x' is not valid (accepted: a whole numb"),
    ({"problems": ["cifar_resnet[depth=21]"]}, "cifar_resnet[depth] = 21 is out of range (accepted: 6n + 2: 8, 14, 20"),
    ({"problems": ["cifar_resnet[shortcut=con]"]}, "'con'; did you mean 'conv'? (accepted: conv, none, pad)"),
    ({"problems": ["mnist_cnn[dropout=1]"]}, "mnist_cnn[dropout] = 1.0 is out of range (accepted: at least 0 and less"),
    ({"problems": ["mnist_cnn[data=minst]"]}, "'minst'; did you mean 'mnist'? (accepted: digits, fashion_mnist, mni"),
    ({"problems": ["mnist_cnn[data=./nowhere]"]}, "nowhere"),
    ({"optimizers": ["adm"]}, "unknown optimizer 'adm'; did you mean 'adam'? (accepted: adabelief, adadelta"),
    ({"optimizers": ["adam[epz=1]"]}, "unknown hyperparameter of adam 'epz'; did you mean 'eps'? (accepted: ams"),
    ({"optimizers": ["adam[betas=0.9]"]}, "adam[betas] = 0.9 is not valid (accepted: 2 numbers in parentheses, a"),
    ({"schedules": ["cosin"]}, "unknown schedule 'cosin'; did you mean 'cosine'?"),
    ({"devices": ["gpu"]}, "unknown device 'gpu'"),
    ({"batch_sizes": [201]}, "batch size of tiny = 201 is out of range (accepted: 1 to its 200 training examples)"),
    ({"run_budget": "9examples"}, "run budget 9examples of tiny is less than one step of batch size 10 (accepted:"),
    ({"threads": int("1" * 20)}, "threads = 11111111111111111111 is out of range (accepted: at most 4096)"),
]  # fmt: skip


def test_what_does_not_exist_or_fit() -> None:
    found = [(complaint(**choices), line) for choices, line in MISTAKES]
    assert [both for both in found if both[1] not in both[0]] == []


def test_the_whole_training_set_is_a_batch_and_one_batch_a_budget() -> None:
    assert cell(batch_sizes=[200], run_budget="1epoch").run_cost == 200
    assert cell(batch_sizes=[1], run_budget="1example").run_cost == 1


def test_optimizers_of_the_file_are_among_the_accepted(tmp_path: Path) -> None:
    text = "[optimizer.mine]\nbase = 'adam'"
    with pytest.raises(
        UserError, match=r"unknown optimizer 'mime'; did you mean 'mine'\? \(accepted: adabelief, adadelta, .*mine"
    ):
        from_toml(tmp_path, text, optimizers=["mime"])
    assert [c.optimizer.label for c in from_toml(tmp_path, text, optimizers=["mine", "sgd"])] == ["mine", "sgd"]


def test_two_cells_of_one_name_are_refused(tmp_path: Path) -> None:
    there = moved(tmp_path, lambda text: text + "\n# edited\n")
    assert "two different cells would both be called tiny × adam × 10" in complaint(problems=[TINY, f"{there}:Tiny"])


@pytest.mark.parametrize("value", ["inf", "nan", "1979-05-27", "{a = nan}"])
def test_arguments_that_no_id_can_hold(value: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def f(params, lr=1.0, cap=None): ...")
    text = f"[optimizer.mine]\nclass = '{path}:f'\narguments = {{cap = {value}}}"
    with pytest.raises(UserError, match=r"parameter = .* is out of range"):
        from_toml(tmp_path, text, optimizers=["mine"])


# Lightness: tests/cli/test_main.py has what is imported


def test_planning_leaves_the_disk_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(TINY.rpartition(":")[0], tmp_path / "tiny.py")
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert cell(problems=["tiny.py:Tiny"])
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == before


def test_a_default_outside_of_its_declared_range_is_noted(tmp_path: Path) -> None:
    """Ranges of the rate that follow from a problem's curvature are not declared, and no registered optimizer's is."""
    file = tmp_path / "my.toml"
    file.write_text(
        dedent(
            """
            [optimizer.rate]
            base = "adam"
            search.lr = { low = 1e-2, high = 1e-1 }
            [optimizer.list]
            base = "momentum"
            search.momentum = [0.5, 0.8]
            [optimizer.inside]
            base = "adam"
            search.weight_decay = { low = 1e-4, high = 1.0, zero = true }
            """
        )
    )
    choices = {"file": file, "problems": [TINY_NET], "batch_sizes": [10]}
    assert make_plan(configure(**choices)).notes == (
        "default lr = 0.001 of optimizer rate lies outside of its search space, 0.01 to 0.1: trial 0 alone tries it",
        "default momentum = 0.9 of optimizer list lies outside of its search space, 0.5 or 0.8: trial 0 alone tries it",
    )
    assert make_plan(configure(**choices, tuning_worth=0)).notes == ()


def test_no_registered_optimizer_has_a_default_outside_of_its_range() -> None:
    torch_only = [name for name, spec in REGISTERED_OPTIMIZERS.items() if not spec.package]
    assert not [note for note in plan(problems=[TINY, TINY_NET], optimizers=torch_only).notes if "outside" in note]


def test_a_rate_is_never_searched_at_zero(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"search range of mine\.lr contains 0"):
        from_toml(
            tmp_path,
            '[optimizer.mine]\nbase = "adam"\nsearch.lr = { low = 1e-4, high = 1.0, zero = true }',
            optimizers=["mine"],
        )
