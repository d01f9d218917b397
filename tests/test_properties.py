"""Any text is a configuration or an error of one line; what is written is read as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.config import parse_config
from optbench.errors import UserError
from optbench.selection import Selection, parse
from tests.tiny import TINY

GRAMMAR = st.text('adm[](),="\\ .:-+e019\n\0äß') | st.text()
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    NUMBERS | st.booleans() | st.none() | st.text(max_size=8).filter(str.isprintable),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple),
    max_leaves=5,
)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)


@settings(max_examples=300, deadline=None, derandomize=True)
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


@settings(max_examples=200, deadline=None, derandomize=True)
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


@settings(max_examples=300, deadline=None, derandomize=True)
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


IDS = """
import sys
from optbench.config import load_config
from optbench.matrix import make_plan
choices = {"problems": [sys.argv[1]], "optimizers": ["sgd[momentum=0.5,nesterov=true]", "adam"], "seeds": 2}
items = list(choices.items())
config = load_config(**{"choices": dict(items[::-1] if sys.argv[2] == "reversed" else items)})
print(*sorted(cell.id for cell in make_plan(config).cells))
"""


def test_cell_ids_do_not_depend_on_the_process_hash_seed_or_order_of_keys() -> None:
    found = set()
    for seed, order in (("0", "given"), ("1", "reversed")):
        found.add(
            subprocess.run(
                [sys.executable, "-c", IDS, TINY, order],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
                text=True,
            ).stdout
        )
    assert len(found) == 1
    assert len(found.pop().split()) > 1
