"""What an optimizer's signature and its decorator say: detected, declared, and refused where it makes no sense."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from optbench.errors import UserError
from optbench.optimizers.decorator import target_name
from optbench.optimizers.registry import optimizer_spec
from optbench.optimizers.search_space import Choices, Range
from tests.support import own
from tests.support.own import OWN
from tests.support.tiny import TINY_NET, TinyNet, run_tiny


def test_a_decorated_class_has_what_was_said_and_what_is_seen() -> None:
    spec = optimizer_spec(f"{OWN}:Told")
    assert (spec.name, spec.family, spec.source) == ("told", "sgd", "Nobody (2020)")
    assert (spec.default_lr, spec.learning_rate) == (0.1, Range(1e-3, 1e1))
    assert spec.search == {
        "weight_decay": Range(1e-4, 1.0), "nesterov": Choices((True, False)),
        "momentum": Range(0.5, 0.99, log=False, when=(("nesterov", (True,)),)),
    }  # fmt: skip
    assert spec.arguments == {"dampening": 0.0}
    assert spec.hyperparameters["dampening"] == 0.0
    assert spec.hyperparameters["momentum"] == 0.9
    assert spec.from_run == {"width": "batch_size"}
    assert spec.rule == "SGD that has been told more than its signature says."


def test_a_subclass_is_not_what_was_said_of_its_base() -> None:
    assert optimizer_spec(f"{OWN}:Heir").search == {}
    assert optimizer_spec(f"{OWN}:Heir").name == "Heir"


def test_what_is_fixed_is_not_searched_nor_what_depends_on_it() -> None:
    spec = optimizer_spec(f"{OWN}:Told")
    assert set(spec.configured({}).search_space(TinyNet())) == {"lr", "weight_decay", "nesterov", "momentum"}
    plain = spec.configured({"nesterov": False}).search_space(TinyNet())
    assert set(plain) == {"lr", "weight_decay"}
    fancy = spec.configured({"nesterov": True}).search_space(TinyNet())
    assert fancy["momentum"] == Range(0.5, 0.99, log=False)


def test_a_rate_that_is_never_tuned_is_charged_nothing(tmp_path: Path) -> None:
    results = run_tiny(tmp_path / "run", optimizers=[f"{OWN}:Free", "sgd"], tuning_worth=3)
    cells = results.cells.set_index("optimizer")
    assert cells.loc["Free", ["tuning_budget", "tuning_cost", "trials"]].tolist() == [0, 0, 0]
    assert cells.loc["sgd", "tuning_cost"] > 0
    runs = results.runs.set_index("optimizer")
    assert (runs.loc["Free", "lr"] == 0.01).all()
    assert not runs.loc["Free", "tuned"].any()


@pytest.mark.parametrize(
    ("name", "facts"),
    [("Asking", {"total_steps": "steps", "epochs": "epochs"}), ("function", {"total_iterations": "steps"})],
)
def test_facts_that_are_asked_for_by_a_known_name(name: str, facts: dict[str, str]) -> None:
    spec = optimizer_spec(f"{OWN}:{name}")
    assert spec.from_run == facts
    assert spec.configured({next(iter(facts)): 7}).arguments == {next(iter(facts)): 7}


def test_a_name_of_optbenchs_own_is_refused() -> None:
    with pytest.raises(UserError, match="takes_ours has an argument lr_warmup, a name that optbench reserves"):
        optimizer_spec(f"{OWN}:takes_ours")


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("search={'momentun': (0.1, 1)}", "unknown hyperparameter of Mine 'momentun'; did you mean 'momentum'?"),
        ("arguments={'momentun': 1}", "unknown hyperparameter of Mine 'momentun'"),
        ("from_run={'momentum': 'step'}", "unknown fact about a run for Mine 'step'; did you mean 'steps'?"),
        ("groups={'rest': 'dims > 1'}", "unknown name in the rule 'dims > 1' 'dims'"),
        ("search={'momentum': optbench.Range(1, 2, when=(('mode', (1,)),))}", "in a condition of Mine.momentum 'mode'"),
        ("lr=(1, 0.1)", "search range = (1, 0.1) is out of range"),
        ("search={'momentum': [1]}", "at least two values, all different"),
    ],
)
def test_what_is_said_has_to_fit(said: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        dedent(f"""
        import optbench
        @optbench.optimizer({said})
        def Mine(params, lr=0.1, momentum=0.9): ...
    """)
    )
    with pytest.raises(UserError) as caught:
        optimizer_spec(f"{file}:Mine")
    assert line in str(caught.value)


def test_classes_can_be_run_by_themselves(tmp_path: Path) -> None:
    """As `optbench.run(optimizers=[Told])`: found again by workers, here by the same process."""
    choices: dict[str, Any] = {"problems": [TinyNet], "optimizers": [own.Told, "sgd"]}
    results = run_tiny(tmp_path / "run", **choices)
    assert set(results.cells["optimizer"]) == {"told", "sgd"}
    assert (results.runs["status"] == "ok").all()


def test_where_a_class_is_found_again() -> None:
    assert target_name(own.Told) == "tests.support.own:Told"
    assert target_name(optimizer_class := __import__("torch").optim.SGD).endswith(":SGD")
    assert optimizer_class is __import__("torch").optim.SGD

    class Local:
        pass

    for thing in (Local, lambda params: None):
        with pytest.raises(UserError, match="can't be imported by name"):
            target_name(thing)


def test_a_class_of_a_script_is_found_by_the_scripts_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import ModuleType

    main = ModuleType("__main__")
    file = tmp_path / "script.py"
    file.write_text("class Mine: ...")
    main.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(file.read_text(), main.__dict__)
    assert target_name(main.Mine) == f"{file.resolve()}:Mine"
    del main.__file__
    with pytest.raises(UserError, match="Mine is not defined in a file, so workers can't import it"):
        target_name(main.Mine)


def test_the_decorator_is_of_the_package_whatever_was_imported() -> None:
    import optbench.optimizers.spec

    assert callable(optbench.optimizer)
    assert TINY_NET
