"""Any text is a configuration or an error of one line; what is written is read as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.config.load import load_config, parse_config
from optbench.config.schema import SAMPLERS, Config
from optbench.errors import UserError
from optbench.planning.matrix import Plan, make_plan
from optbench.results.plan_record import describe_fault
from optbench.runner.run import _record
from optbench.selection import Selection, parse
from tests.support.tiny import TINY

GRAMMAR = st.text('adm[](),="\\ .:-+e019\n\0äß') | st.text()
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    NUMBERS | st.booleans() | st.none() | st.text(max_size=8).filter(str.isprintable),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple),
    max_leaves=5,
)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(GRAMMAR)
def test_any_text_is_a_selection_or_an_error_of_one_line(text: str) -> None:
    try:
        found = parse(text)
    except UserError as error:
        one_line = len(str(error).splitlines()) == 1
    else:
        one_line = True
        assert [parse(str(selection)) for selection in found] == [[selection] for selection in found]
    assert one_line


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.from_regex(r"[a-z][a-z_ ]{0,6}[a-z]", fullmatch=True), st.dictionaries(KEYS, VALUES, max_size=3))
def test_a_selection_that_is_written_is_read_as_it_was(name: str, parameters: dict[str, Any]) -> None:
    selection = Selection(name, tuple(parameters.items()))
    assert parse(str(selection)) == [selection]


TOML = st.lists(
    st.tuples(
        st.sampled_from(["problems", "optimizers", "seeds", "batch_sizes", "run_budget", "devices", "tuning_worth"]),
        st.sampled_from(["1", "-1", "[]", "[[]]", '""', '"adam["', "{}", "nan", "1e400", '["a\\nb"]', "1979-05-27"]),
    ),
    max_size=4,
).map(lambda pairs: "\n".join(f"{key} = {value}" for key, value in pairs))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(TOML | st.text())
def test_any_toml_is_a_configuration_or_an_error_of_one_line(text: str) -> None:
    try:
        config = parse_config(text, "run.toml")
    except UserError as error:
        refused = str(error)
        one_line = len(refused.splitlines()) == 1 and "run.toml" in refused
    else:
        one_line = True
        assert parse_config(config.toml(), "again") == config
    assert one_line


POSITIVE = st.floats(1e-6, 1e6, allow_subnormal=False)
TABLES = st.fixed_dictionaries(
    {"base": st.sampled_from(["momentum", "adam"])},
    optional={
        "default_lr": POSITIVE,
        "arguments": st.fixed_dictionaries({"weight_decay": st.floats(0, 1)}),
        "search": st.tuples(POSITIVE, st.floats(1.1, 100), st.sampled_from(["log", "linear"])).map(
            lambda drawn: {"lr": {"low": drawn[0], "high": drawn[0] * drawn[1], "scale": drawn[2]}}
        ),
        "groups": st.floats(0, 1).map(lambda decay: {"flat": {"where": "ndim < 2", "arguments": {"lr": decay + 1e-3}}}),
    },
)
PROBLEMS = st.one_of(
    st.builds("quadratic_valley[condition={1!r},dim={0}]".format, st.integers(2, 40), st.floats(1, 1e9)),
    st.builds("mnist_cnn[data=digits,dropout={!r}]".format, st.floats(0, 0.9)),
    st.sampled_from(["rosenbrock", "beale", "mlp", 'mlp[order="sequential"]', "quadratic_valley[dim=[2,3]]"]),
)
BUDGETS = st.integers(1, 10**6).map("{}epochs".format)
CONFIGS = st.fixed_dictionaries(
    {
        "problems": st.lists(
            PROBLEMS | st.fixed_dictionaries({"select": PROBLEMS, "run_budget": BUDGETS}),
            min_size=1, max_size=3,
        ),
        "optimizers": st.lists(
            st.sampled_from(["sgd", "adam[betas=(0.5,0.75)]", "nesterov", "rmsprop[eps=[1e-8,1e-3]]", "mine"]),
            min_size=1, max_size=3, unique=True,
        ),
        "optimizer": TABLES.map(lambda table: {"mine": table}),
        "batch_sizes": st.lists(st.integers(1, 300), max_size=2),
        "devices": st.just(["cpu"]),
        "schedules": st.lists(st.sampled_from(["constant", "cosine[warmup=0.1]", "linear"]), min_size=1, max_size=2),
    },
    optional={
        "seeds": st.integers(1, 50),
        "run_budget": st.builds("{!r}{}".format, st.floats(0.5, 500), st.sampled_from(["epochs", "seconds"])),
        "evaluations": st.integers(1, 100),
        "threads": st.integers(1, 64),
        "tuning": st.fixed_dictionaries(
            {"worth": st.just(0) | st.floats(1, 1e4)},
            optional={"round": st.integers(1, 9), "sampler": st.sampled_from(SAMPLERS), "studies": st.integers(1, 5)},
        ),
    },
)  # fmt: skip


def planned(config: Config) -> Plan | str:
    """The plan of a configuration, or why there is none."""
    try:
        return make_plan(config)
    except UserError as error:
        return str(error)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(CONFIGS)
def test_a_plan_that_is_written_is_read_as_it_was(choices: dict[str, Any]) -> None:
    """Plan to text to plan, by the configuration that a results directory holds; the record of cells likewise."""
    config = Config.model_validate(choices)
    again = parse_config(config.toml(), "again")
    assert again == config
    assert again.toml() == config.toml()
    plan, same = planned(config), planned(again)
    assert same == plan
    if isinstance(plan, str) or isinstance(same, str):
        assert len(plan.splitlines()) == 1
        return
    record = _record(plan)
    assert [cell.id for cell in same.cells] == [cell.id for cell in plan.cells]
    assert json.loads(json.dumps(_record(same), allow_nan=False)) == json.loads(json.dumps(record, allow_nan=False))
    assert describe_fault(json.loads(json.dumps(record))) == ""


def test_most_of_these_configurations_have_a_plan() -> None:
    found: list[bool] = []

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(CONFIGS)
    def look(choices: dict[str, Any]) -> None:
        found.append(isinstance(planned(Config.model_validate(choices)), Plan))

    look()
    assert sum(found) > len(found) / 2


IDS = """
import sys
from tests.test_properties import cell_ids
print(*cell_ids(sys.argv[1], reverse=True))
"""


def cell_ids(problem: str, reverse: bool) -> list[str]:
    """The ids of some cells, whose configuration has its keys in this order or the reverse one."""
    choices = {"problems": [problem], "optimizers": ["sgd[momentum=0.5,nesterov=true]", "adam"], "seeds": 2}
    choices = dict([*choices.items()][::-1]) if reverse else choices
    return sorted(cell.id for cell in make_plan(load_config(choices=choices)).cells)


@pytest.mark.processes
def test_cell_ids_do_not_depend_on_the_process_hash_seed_or_order_of_keys() -> None:
    """In a new process with another hash seed, and in this one."""
    elsewhere = subprocess.run(
        [sys.executable, "-c", IDS, TINY],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parents[1],
    ).stdout.split()
    assert len(elsewhere) > 1
    assert elsewhere == cell_ids(TINY, reverse=False)


GOLDEN = """
problems = [
    "quadratic_valley[dim=3,condition=50]",
    { run_budget = "3epochs", select = "mnist_cnn[data=digits,dropout=0.5]" },
]
optimizers = ["sgd", "adam[betas=(0.8,0.99),eps=1e-7]", "tuned"]
batch_sizes = [32]
devices = ["cpu"]
schedules = ["cosine[warmup=0.1]"]
run_budget = "20000examples"
[tuning]
worth = 6
[optimizer.tuned]
base = "momentum"
search.momentum = { low = 0.5, high = 0.99, scale = "linear" }
"""


def test_cell_ids_are_those_of_every_python_and_machine() -> None:
    """Pinned: the same under Python 3.11, 3.12 and 3.13. They change with the version of a problem, or with what
    a cell says of itself, and then every results directory is computed anew: `CHANGELOG.md` has to say so.
    """
    assert [cell.id for cell in make_plan(parse_config(GOLDEN, "golden")).cells] == [
        "0513225dd74e934c", "a63de3c22f307a4a", "0da1c7f89a3ca385",
        "d0e9aa6d275f980a", "3b4e0d9924780b21", "540d6b3763d5af35",
    ]  # fmt: skip


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False))
def test_cell_ids_do_not_depend_on_the_order_of_keys(random: Random) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = list(value.items())
            random.shuffle(items)
            return {key: shuffled(item) for key, item in items}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    settings = tomllib.loads(GOLDEN)
    plan = make_plan(Config.model_validate(shuffled(settings)))
    assert plan == make_plan(Config.model_validate(settings))
