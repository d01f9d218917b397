"""Problems and optimizers by name, path, package and entry point; whatever fails is one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent

import pytest

from optbench.config.optimizer_table import OptimizerTable, build_spec
from optbench.errors import UserError
from optbench.importing import source_digest
from optbench.optimizers.builtin import ADAM, BUILT_IN
from optbench.optimizers.registry import optimizer_names, optimizer_spec
from optbench.optimizers.search_space import Range
from optbench.problem.registry import BUILT_IN_PROBLEMS, make_problem, problem_class, problem_names
from tests.support.tiny import TINY, TinyNet

MINE = """
    import sys
    from dataclasses import dataclass, field
    from optbench import OptimizerSpec, Range
    from tests.support.tiny import Tiny

    class Optimizer:
        '''My rule.

        More of it.
        '''
        def __init__(self, params, lr=0.5, beta=0.9, *, decay=0, mode="fast"): ...
        def step(self, closure=None): ...

    class Closure(Optimizer):
        def step(self, closure): ...

    class NoRate:
        def __init__(self, params, beta=0.9): ...

    class NoDefaultRate:
        def __init__(self, params, lr, beta=0.9): ...

    class ZeroRate:
        def __init__(self, params, lr=0.0): ...

    class Needs:
        def __init__(self, params, lr=0.5, *, horizon, width): ...

    def factory(params, lr=1, **others): ...

    SPEC = OptimizerSpec("spec", "torch.optim:Adam", 1e-3, Range(1e-5, 1e-1))
    LOST = OptimizerSpec("lost", "nosuchpackage.module:Adam", 1e-3, Range(1e-5, 1e-1))
    UNNAMED = OptimizerSpec("unnamed", "Adam", 1e-3, Range(1e-5, 1e-1))
    NUMBER = 3

    @dataclass(frozen=True)
    class Parametric(Tiny):
        name = "parametric"
        size: float = 1.0
        count: int = 1
        flag: bool = False
        word: str = "a"
        pair: tuple = (1, 2)

    @dataclass(frozen=True, kw_only=True)
    class Required(Tiny):
        size: float

    @dataclass(frozen=True)
    class Choosy(Tiny):
        size: float = 1.0
        def check(self):
            raise ValueError("no size is right\\nsecond line")

    class Plain:
        pass
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """The path of a file with problems and optimizers of all kinds."""
    path = tmp_path / "mine.py"
    path.write_text(dedent(MINE))
    return str(path)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same as a module of a package that can be imported."""
    (tmp_path / "thirdparty").mkdir()
    (tmp_path / "thirdparty" / "__init__.py").write_text("")
    (tmp_path / "thirdparty" / "module.py").write_text(dedent(MINE))
    monkeypatch.syspath_prepend(tmp_path)
    yield "thirdparty.module"
    for name in [name for name in sys.modules if name.partition(".")[0] == "thirdparty"]:
        del sys.modules[name]


def complaint(function: object, *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)  # type: ignore[operator]
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_built_in_problems() -> None:
    assert {name: problem_class(name).name for name in BUILT_IN_PROBLEMS} == {name: name for name in BUILT_IN_PROBLEMS}
    assert [name for name in BUILT_IN_PROBLEMS if make_problem(name, {}).training_examples() < 1] == []


def test_names_say_where_things_are_implemented() -> None:
    assert problem_names().items() >= BUILT_IN_PROBLEMS.items()
    assert optimizer_names()["adam"] == "torch.optim:Adam"


def test_a_problem_from_a_file(mine: str) -> None:
    problem = make_problem(f"{mine}:Parametric", {"size": 2, "count": 3, "flag": True, "word": 7})
    assert type(problem).name == "parametric"
    found = [getattr(problem, name) for name in ("size", "count", "flag", "word", "pair")]
    assert repr(found) == "[2.0, 3, True, '7', (1, 2)]"


def test_one_file_is_one_module_and_its_edited_self_another(mine: str) -> None:
    assert problem_class(f"{mine}:Parametric") is problem_class(f"{mine}:Parametric")
    before = problem_class(f"{mine}:Parametric")
    Path(mine).write_text(Path(mine).read_text() + "\n# edited\n")
    assert problem_class(f"{mine}:Parametric") is not before


def test_a_problem_from_a_package(package: str) -> None:
    assert problem_class(f"{package}:Parametric").name == "parametric"


def test_entry_points_add_problems_and_optimizers(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("parametric", f"{package}:Parametric", "optbench.problems"),
        EntryPoint("theirs", f"{package}:Optimizer", "optbench.optimizers"),
        EntryPoint("described", f"{package}:SPEC", "optbench.optimizers"),
        EntryPoint("broken", "nosuchpackage:Thing", "optbench.optimizers"),
    ]
    monkeypatch.setattr("optbench.importing.entry_points", lambda group: [p for p in points if p.group == group])
    assert problem_class("parametric").name == "parametric"
    assert optimizer_spec("theirs").default_lr == 0.5
    assert optimizer_spec("described").constructor == "torch.optim:Adam"
    assert problem_names()["parametric"] == f"{package}:Parametric"
    assert "did you mean 'theirs'?" in complaint(optimizer_spec, "their")
    assert complaint(optimizer_spec, "broken").startswith("nosuchpackage can't be imported: ModuleNotFoundError")


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("mnist_cn", "unknown problem 'mnist_cn'; did you mean 'mnist_cnn'? (accepted: "),
        ("MINE:Parametri", "; did you mean 'Parametric'? (accepted: "),
        ("MINE:", "unknown name in "),
        ("MINE:Plain", "mine.py:Plain is not a problem (accepted: a dataclass derived from optbench.Problem)"),
        ("MINE:NUMBER", "mine.py:NUMBER is not a problem (accepted: "),
        ("nowhere.py:Thing", "nowhere.py does not exist (accepted: file.py:Class or package.module:Class)"),
        ("nosuchpackage:Thing", "nosuchpackage can't be imported: ModuleNotFoundError: No module named 'nosuchpackage"),
        (":Thing", " can't be imported: ValueError"),
        ("..relative:Thing", "..relative can't be imported: "),
    ],
)  # fmt: skip
def test_problems_that_are_not_there(target: str, line: str, mine: str) -> None:
    assert line in complaint(problem_class, target.replace("MINE", mine))


@pytest.mark.parametrize("error", ["syntax error here", "raise ValueError('a\\nb')", "import nosuchpackage", "1 / 0"])
def test_a_file_that_cannot_be_imported(error: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(error)
    for _ in range(2):  # and nothing half imported stays behind
        assert complaint(problem_class, f"{path}:X").startswith(f"{path} can't be imported: ")


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        (
            {"sice": 1},
            "[...] 'sice'; did you mean 'size'? (accepted: condition, count, examples, flag, noise, order, p",
        ),
        ({"size": "x"}, "[size] = 'x' is not valid (accepted: a number)"),
        ({"size": True}, "[size] = True is not valid (accepted: a number)"),
        ({"count": 1.5}, "[count] = 1.5 is out of range (accepted: a whole number)"),
        ({"count": True}, "[count] = True is not valid (accepted: a whole number)"),
        ({"flag": 1}, "[flag] = 1 is not valid (accepted: true or false)"),
        ({"condition": 0.5}, "tiny[condition] = 0.5 is out of range (accepted: at least 1)"),
    ],
)
def test_parameters_that_a_problem_does_not_take(parameters: dict[str, object], line: str, mine: str) -> None:
    assert line.replace("[...] ", "") in complaint(make_problem, f"{mine}:Parametric", parameters)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Required", "can't be constructed: TypeError: "),
        ("Choosy", "can't be constructed: ValueError: no size is right"),
    ],
)
def test_a_problem_that_cannot_be_made(name: str, line: str, mine: str) -> None:
    assert line in complaint(make_problem, f"{mine}:{name}", {})


def test_a_required_parameter_can_be_given(mine: str) -> None:
    assert make_problem(f"{mine}:Required", {"size": 2.0}).size == 2.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("where", ["file", "package"])
def test_a_class_gets_a_spec_from_its_signature(where: str, mine: str, package: str) -> None:
    target = f"{mine if where == 'file' else package}:Optimizer"
    spec = optimizer_spec(target)
    assert (spec.name, spec.constructor, spec.rule) == ("Optimizer", target, "My rule.")
    assert spec.default_lr == 0.5
    assert spec.learning_rate == Range(0.5 / 100, 0.5 * 100)  # four decades, as all have
    assert spec.hyperparameters == {"beta": 0.9, "decay": 0, "mode": "fast"}
    assert (spec.needs_closure, spec.contiguous_parameters) == (False, True)


def test_a_step_that_requires_a_closure_gets_one(mine: str) -> None:
    assert optimizer_spec(f"{mine}:Closure").needs_closure
    assert optimizer_spec("torch.optim:LBFGS").needs_closure
    assert not optimizer_spec("torch.optim:Adam").needs_closure


def test_a_function_and_a_spec_are_optimizers_too(mine: str) -> None:
    assert optimizer_spec(f"{mine}:factory").default_lr == 1.0
    assert optimizer_spec(f"{mine}:factory").hyperparameters == {}
    assert optimizer_spec(f"{mine}:SPEC").name == "spec"


def test_a_class_without_a_learning_rate_has_nothing_to_tune(mine: str) -> None:
    spec = optimizer_spec(f"{mine}:NoRate")
    assert (spec.default_lr, spec.learning_rate) == (None, None)
    assert spec.configured({}).search_space(TinyNet()) == {}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("MINE:NoDefaultRate", "NoDefaultRate has no default learning rate; add one, or set default_lr in a TOML tabl"),
        ("MINE:ZeroRate", "ZeroRate has no default learning rate; "),
        ("MINE:Needs", "Needs needs a value for horizon, width; add defaults, or use a TOML table"),
        ("MINE:NUMBER", "NUMBER is not an optimizer (accepted: a class or function called as f(params, lr=…))"),
        ("builtins:dict", "builtins:dict is not an optimizer (accepted: "),
        ("adm", "unknown optimizer 'adm'; did you mean 'adam'? (accepted: adabelief, adadelta, adafactor"),
        ("torch.optim:Addam", "unknown name in torch.optim 'Addam'; did you mean 'Adam'?"),
    ],
)  # fmt: skip
def test_optimizers_that_are_none(name: str, line: str, mine: str) -> None:
    assert line in complaint(optimizer_spec, name.replace("MINE", mine))


def table(**settings: object) -> OptimizerTable:
    return OptimizerTable.model_validate(settings)


def test_a_table_on_a_base() -> None:
    search = {"eps": {"low": 1e-10, "high": 1e-2}}
    spec = build_spec("mine", table(base="adam", arguments={"betas": [0.8, 0.9]}, search=search))
    assert (spec.name, spec.constructor) == ("mine", "torch.optim:Adam")
    assert spec.arguments == {"betas": (0.8, 0.9)}
    assert spec.search == {"eps": Range(1e-10, 1e-2)}
    assert (spec.default_lr, spec.learning_rate) == (ADAM.default_lr, ADAM.learning_rate)


def test_a_table_gives_what_a_class_lacks(mine: str) -> None:
    lacking = build_spec("mine", table(**{"class": f"{mine}:NoDefaultRate"}, default_lr=0.01))
    assert (lacking.default_lr, lacking.learning_rate) == (0.01, Range(0.01 / 100, 0.01 * 100))
    needing = build_spec("mine", table(**{"class": f"{mine}:Needs"}, arguments={"horizon": 3, "width": 2}))
    assert needing.arguments == {"horizon": 3, "width": 2}
    assert "needs a value for width" in complaint(
        build_spec, "mine", table(**{"class": f"{mine}:Needs"}, arguments={"horizon": 3})
    )


def test_a_table_decides_the_range_also_on_quadratics() -> None:
    from tests.support.tiny import Tiny

    spec = build_spec("mine", table(base="sgd", search={"lr": {"low": 1e-2, "high": 1e-1}}))
    assert spec.configured({}).search_space(Tiny()) == {"lr": Range(1e-2, 1e-1)}


def test_groups_have_hyperparameters_of_their_own() -> None:
    groups = {
        "head": {"parameters": ["5.*"], "arguments": {"momentum": 0.5},
                 "search": {"lr": {"low": 1e-2, "high": 1}}},
        "first": {"parameters": ["0.*", "1.*"], "search": {"momentum": {"low": 0, "high": 0.9, "scale": "linear"}}},
    }  # fmt: skip
    spec = build_spec("mine", table(base="momentum", groups=groups))
    assert spec.groups == {"head": ("5.*",), "first": ("0.*", "1.*")}
    assert spec.arguments == {"momentum": 0.9, "head.momentum": 0.5}
    assert spec.search == {"head.lr": Range(1e-2, 1), "first.momentum": Range(0, 0.9, log=False)}
    # Where their tuning starts: as the rest of the optimizer has them.
    assert {key: spec.hyperparameters[key] for key in spec.search} == {"head.lr": 1e-3, "first.momentum": 0.9}
    fixed = spec.configured({"head.lr": 3})
    assert fixed.arguments["head.lr"] == 3.0
    assert list(fixed.search) == ["first.momentum"]


@pytest.mark.parametrize(
    ("group", "line"),
    [
        ({"search": {"lrr": {"low": 1, "high": 2}}}, "unknown hyperparameter of mine.head to search 'lrr'"),
        ({"arguments": {"momentun": 1}}, "unknown hyperparameter of mine 'momentun'; did you mean 'momentum'?"),
        ({"arguments": {"lr": "fast"}}, "mine[lr] = 'fast' is not valid"),
    ],
)
def test_groups_that_make_no_sense(group: dict[str, object], line: str) -> None:
    groups = {"head": {"parameters": ["5.*"], **group}}
    assert line in complaint(build_spec, "mine", table(base="momentum", groups=groups))
    named = {"he.ad": {"parameters": ["5.*"]}}
    assert "invalid group name 'he.ad' of optimizer mine" in complaint(
        build_spec, "mine", table(base="sgd", groups=named)
    )


def test_a_learning_rate_among_the_arguments_is_fixed_or_where_tuning_starts() -> None:
    fixed = build_spec("mine", table(base="sgd", arguments={"lr": 1}))
    assert (fixed.default_lr, fixed.learning_rate, fixed.arguments) == (1.0, None, {})
    start = build_spec("mine", table(base="sgd", arguments={"lr": 1}, search={"lr": {"low": 0.1, "high": 9}}))
    assert (start.default_lr, start.learning_rate, start.arguments) == (1.0, Range(0.1, 9), {})


def test_a_table_switches_what_a_class_needs() -> None:
    spec = build_spec("mine", table(base="lbfgs", needs_closure=False, contiguous_parameters=False))
    assert (spec.needs_closure, spec.contiguous_parameters) == (False, False)
    assert BUILT_IN["lbfgs"].needs_closure


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "optimizer.mine needs either base = NAME or class = 'module:Class'"),
        ({"base": "adam", "class": "torch.optim:Adam"}, "optimizer.mine needs either base = NAME or class"),
        ({"base": "adm"}, "unknown optimizer 'adm'; did you mean 'adam'?"),
        ({"base": "adam", "arguments": {"epz": 1}}, "unknown hyperparameter of adam 'epz'; did you mean 'eps'?"),
        ({"base": "adam", "arguments": {"eps": "x"}}, "adam[eps] = 'x' is not valid (accepted: a number of at leas"),
        ({"base": "adam", "arguments": {"lr": "x"}}, "adam[lr] = 'x' is not valid (accepted: a number of at least"),
        (
            {"base": "adam", "search": {"epz": {"low": 1, "high": 2}}},
            "unknown hyperparameter of mine to search 'epz'; did you mean 'eps'?",
        ),
    ],
)  # fmt: skip
def test_tables_that_make_no_sense(settings: dict[str, object], line: str) -> None:
    assert line in complaint(build_spec, "mine", table(**settings))


def test_the_digest_is_that_of_the_content(mine: str, tmp_path: Path) -> None:
    digest = source_digest(f"{mine}:Optimizer")
    other = tmp_path / "elsewhere" / "other.py"
    other.parent.mkdir()
    other.write_bytes(Path(mine).read_bytes())
    assert len(digest) == 12
    assert source_digest(f"{other}:Optimizer") == digest
    other.write_text(other.read_text() + "\n")
    assert source_digest(f"{other}:Optimizer") != digest


def test_the_digest_of_a_module_is_that_of_its_file(mine: str, package: str) -> None:
    assert source_digest(f"{package}:Optimizer") == source_digest(f"{mine}:Optimizer")


@pytest.mark.parametrize("target", ["nosuchpackage.module:Adam", "Adam", "nowhere.py:Adam"])
def test_what_cannot_be_found_has_no_digest(target: str) -> None:
    assert complaint(source_digest, target).startswith(f"{target} can't be found: ")


def test_a_path_may_start_with_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path(TINY.rpartition(":")[0]).parent))
    assert problem_class("~/tiny.py:Tiny").name == "tiny"
    assert source_digest("~/tiny.py:Tiny") == source_digest(TINY)
