"""Presets, TOML files and choices become one validated configuration; every mistake is located."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.config.load import load_config, parse_config
from optbench.config.presets import PRESETS, preset
from optbench.config.schema import PRUNERS, SAMPLERS, Config, ProblemEntry
from optbench.errors import UserError
from optbench.optimizers.builtin import BUILT_IN


def load(tmp_path: Path, text: str, **choices: Any) -> Config:
    file = tmp_path / "my.toml"
    file.write_text(text, "utf-8")
    return load_config(file=file, choices=choices)


def complaint(tmp_path: Path, text: str, **choices: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text, **choices)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_run_everything(name: str) -> None:
    config = load_config(name)
    assert config.preset == name
    if name == "recipe":
        return  # one problem on the optimizers' own search spaces; tests/config/test_recipe.py
    assert list(config.optimizers) == list(BUILT_IN)
    selections = " ".join(entry if isinstance(entry, str) else entry.select for entry in config.problems)
    assert all(problem in selections for problem in ("quadratic_valley", "mnist_cnn", "cifar_resnet"))


def test_quick_is_the_default_and_the_presets_grow() -> None:
    assert load_config() == load_config("quick")
    quick, standard, full = (load_config(name) for name in ("quick", "standard", "full"))
    assert (quick.seeds, standard.seeds, full.seeds) == (10, 5, 10)
    assert quick.evaluations < standard.evaluations < full.evaluations
    assert quick.tuning.worth < standard.tuning.worth < full.tuning.worth
    assert len(full.schedules) > len(standard.schedules)


def test_quick_needs_no_network() -> None:
    assert all("data=digits" in entry.select for entry in load_config("quick").problems[1:])  # type: ignore[union-attr]
    assert all(entry.batch_sizes == (20, 100) for entry in load_config("quick").problems)  # type: ignore[union-attr]


UNKNOWN_KEYS = [
    ("seed = 3", "unknown key 'seed'; did you mean 'seeds'? (accepted: batch_sizes, devices, evaluations, "
     "ladder, optimizer, optimizers, preset, problems, run_budget, schedules, seeds, threads, tuning) at seed"),
    ("[tuning]\nworht = 3", "unknown key 'worht'; did you mean 'worth'? (accepted: pruner, round, sampler, "
     "studies, worth) at tuning.worht"),
    ("problems = ['a', {select = 'b', run_budgt = '2epochs'}]", "unknown key 'run_budgt'; did you mean "
     "'run_budget'? (accepted: batch_sizes, run_budget, select) at problems.1.run_budgt"),
    ("problems = [{selct = 'b'}]", "unknown key 'selct'; did you mean 'select'? (accepted: batch_sizes, "
     "run_budget, select) at problems.0.selct"),
    ("[optimizer.search]\nbasse = 'adam'", "unknown key 'basse'; did you mean 'base'? (accepted: arguments, base, "
     "class, contiguous_parameters, default_lr, from_run, groups, needs_closure, reset, search, second_backward) "
     "at optimizer.search.basse"),
    ("[optimizer.x.groups.head]\nparameter = ['a']", "unknown key 'parameter'; did you mean 'parameters'? "
     "(accepted: arguments, base, class, parameters, search, where) at optimizer.x.groups.head.parameter"),
    ("[optimizer.x.groups.head]\nparameters = ['a']\nsearch.lr = {lo = 1, high = 2}", "unknown key 'lo'; did you "
     "mean 'low'? (accepted: high, low, scale, values, when, zero) at optimizer.x.groups.head.search.lr.lo"),
    ("[optimizer.x.search]\nlr = {lo = 1, high = 2}", "unknown key 'lo'; did you mean 'low'? (accepted: high, "
     "low, scale, values, when, zero) at optimizer.x.search.lr.lo"),
]  # fmt: skip


def test_unknown_keys_are_located_with_the_nearest_match(tmp_path: Path) -> None:
    found = {text: complaint(tmp_path, text) for text, _ in UNKNOWN_KEYS}
    assert found == {text: f"{tmp_path / 'my.toml'}: {line}" for text, line in UNKNOWN_KEYS}


WRONG_VALUES = [
    ("seeds = 'a'", "seeds = 'a': "),
    ("seeds = '3'", "seeds = '3': "),
    ("seeds = true", "seeds = True: "),
    ("seeds = 3.0", "seeds = 3.0: "),
    ("seeds = 0", "seeds = 0 is out of range (accepted: at least 1)"),
    ("seeds = 1000000", "seeds = 1000000 is out of range (accepted: below 1000000)"),
    ("[seeds]\nx = 1", "seeds = {'x': 1}: "),
    ("evaluations = 0", "evaluations = 0 is out of range (accepted: at least 1)"),
    ("threads = 0", "threads = 0 is out of range (accepted: at least 1)"),
    ("batch_sizes = [10, 'x']", "batch_sizes.1 = 'x': "),
    ("batch_sizes = 10", "batch_sizes = 10: expected a list"),
    ("problems = []", "problems = []: List should have at least 1 item"),
    ("problems = 'mnist_cnn'", "problems = 'mnist_cnn': expected a list"),
    ("problems = 3", "problems = 3: expected a list"),
    ("[problems]\nselect = 'a'", "problems = {'select': 'a'}: expected a list"),
    ("problems = [[1]]", "problems.0 = [1]: "),
    ("problems = [{run_budget = '2epochs'}]", "problems.0.select is missing"),
    ("problems = [{select = 'a', run_budget = '2epoch s'}]", "problems.0.run_budget: invalid run budget"),
    ("problems = [{select = 'a', batch_sizes = ['x']}]", "problems.0.batch_sizes.0 = 'x': "),
    ("optimizers = []", "optimizers = []: "),
    ("optimizers = [1]", "optimizers.0 = 1: "),
    ("devices = []", "devices = []: "),
    ("schedules = []", "schedules = []: "),
    ("run_budget = 2", "run_budget = 2: "),
    ("run_budget = '2parsecs'", "run_budget: invalid run budget '2parsecs' (accepted: amounts such as 2e"),
    ("tuning = 3", "tuning = 3: expected a table"),
    ("[tuning]\nworth = -1", "tuning.worth = -1 is out of range (accepted: at least 0"),
    ("[tuning]\nworth = 0.5", "tuning.worth = 0.5: less than one run budget does not cover a single trial"),
    ("[tuning]\nworth = nan", "tuning.worth = nan: "),
    ("[tuning]\nworth = inf", "tuning.worth = inf: "),
    ("[tuning]\nworth = true", "tuning.worth = True: "),
    ("[tuning]\nsampler = 'tpee'", "tuning.sampler: unknown sampler 'tpee'; did you mean 'tpe'? (accepte"),
    ("[tuning]\npruner = 'medain'", "tuning.pruner: unknown pruner 'medain'; did you mean 'median'? (a"),
    ("optimizer = 3", "optimizer = 3: expected a table"),
    ("[optimizer]\nx = 3", "optimizer.x = 3: expected a table"),
    ("[optimizer.x]\nbase = 'adam'\ndefault_lr = 0", "optimizer.x.default_lr = 0 is out of range (accepted: above 0"),
    ("[optimizer.x.search]\nlr = {low = 1}",
     "optimizer.x.search.lr = {'low': 1}: neither a range nor a list (accepted: low and high, or values)"),
    ("[optimizer.x.search]\nlr = {low = 2, high = 1}", "search range = (2.0, 1.0) is out of range (accepted: 0 <"),
    ("[optimizer.x.search]\nlr = {low = 0, high = 1}", "search range = (0.0, 1.0) is out of range (accepted: 0 <"),
    ("[optimizer.x.search]\nlr = {low = 1, high = 2, scale = 'ln'}", "optimizer.x.search.lr.scale = 'ln': "),
    ("[optimizer.x.search]\nlr = 'a'", "optimizer.x.search.lr = 'a': expected a table"),
]  # fmt: skip


def test_wrong_values_are_located(tmp_path: Path) -> None:
    found = [(complaint(tmp_path, text), located) for text, located in WRONG_VALUES]
    start = f"{tmp_path / 'my.toml'}: "
    assert [both for both in found if not both[0].startswith(start) or both[1] not in both[0]] == []


def test_choices_do_not_trip_over_a_file_of_the_wrong_shape(tmp_path: Path) -> None:
    choices = {"run_budget": "3epochs", "batch_sizes": [5]}
    for text in ("problems = 3", "problems = 'mnist_cnn'", "[problems]\nx = 1", "problems = [3]"):
        assert "problems" in complaint(tmp_path, text, **choices)


@pytest.mark.parametrize("text", ["a = = 3", "seeds = 1\nseeds = 2", "[tuning", "seeds = ", "x = " + "[" * 100_000])
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    assert complaint(tmp_path, text).startswith(f"configuration {tmp_path / 'my.toml'} is not valid TOML: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"configuration .*nowhere\.toml does not exist"):
        load_config(file=tmp_path / "nowhere.toml")
    with pytest.raises(UserError, match="can't be read: IsADirectoryError"):
        load_config(file=tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="can't be read: UnicodeDecodeError"):
        load_config(file=tmp_path / "bytes.toml")


def test_unknown_presets(tmp_path: Path) -> None:
    expected = "unknown preset 'quik'; did you mean 'quick'? (accepted: full, quick, recipe, standard)"
    with pytest.raises(UserError) as caught:
        preset("quik")
    assert str(caught.value) == expected
    assert complaint(tmp_path, "preset = 'quik'") == expected


def test_a_file_overrides_its_preset_table_by_table(tmp_path: Path) -> None:
    config = load(tmp_path, "preset = 'standard'\nseeds = 7\n[tuning]\nsampler = 'gp'")
    standard = load_config("standard")
    assert (config.preset, config.seeds, config.tuning.sampler) == ("standard", 7, "gp")
    assert config.tuning.worth == standard.tuning.worth
    assert config.problems == standard.problems


def test_a_named_preset_goes_before_the_one_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("preset = 'quick'\nseeds = 7")
    config = load_config("standard", file)
    assert (config.preset, config.seeds) == ("standard", 7)
    assert config.tuning.worth == load_config("standard").tuning.worth


def test_choices_go_before_everything(tmp_path: Path) -> None:
    config = load(tmp_path, "seeds = 7\n[tuning]\nworth = 9\nsampler = 'gp'", **{"seeds": 2, "tuning.worth": 3})
    assert (config.seeds, config.tuning.worth, config.tuning.sampler) == (2, 3, "gp")


def test_choices_that_were_not_made_change_nothing() -> None:
    nothing = {"seeds": None, "batch_sizes": (), "run_budget": None, "tuning.worth": None}
    assert load_config("quick", choices=nothing) == load_config("quick")


def test_a_chosen_run_budget_or_batch_size_replaces_those_of_single_problems(tmp_path: Path) -> None:
    text = "problems = ['b', {select = 'a', run_budget = '9epochs', batch_sizes = [7]}]"
    both = load(tmp_path, text, run_budget="1epoch", batch_sizes=[3])
    assert both.problems == ("b", ProblemEntry(select="a"))
    assert (both.run_budget, both.batch_sizes) == ("1epoch", (3,))
    assert load(tmp_path, text, run_budget="1epoch").problems[1] == ProblemEntry(select="a", batch_sizes=(7,))
    assert load(tmp_path, text, batch_sizes=[3]).problems[1] == ProblemEntry(select="a", run_budget="9epochs")


def test_a_file_that_keeps_the_problems_of_a_preset_decides_for_all_of_them(tmp_path: Path) -> None:
    config = load(tmp_path, "run_budget = '1epoch'")
    assert all(entry.run_budget is None for entry in config.problems)  # type: ignore[union-attr]
    assert config.run_budget == "1epoch"


def test_a_file_that_describes_optimizers_and_names_none_names_these(tmp_path: Path) -> None:
    tables = '[optimizer.second]\nbase = "sgd"\n[optimizer.first]\nbase = "adam"'
    assert load(tmp_path, tables).optimizers == ("second", "first")
    assert load(tmp_path, f'optimizers = ["adam"]\n{tables}').optimizers == ("adam",)
    assert load(tmp_path, tables, optimizers=["first", "adam"]).optimizers == ("first", "adam")


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config().seeds = 9  # type: ignore[misc]


_amounts = st.none() | st.sampled_from(["2epochs", "0.5 epochs", "300examples", "30seconds"])
_sizes = st.lists(st.integers(1, 10**9), max_size=3).map(tuple)
_texts = st.text(st.characters(exclude_categories=["Cs"]))
_finite = st.floats(allow_nan=False, allow_infinity=False)
_scalars = st.booleans() | st.integers(-(2**60), 2**60) | _finite | _texts
_ranges = st.tuples(st.floats(1e-9, 1), st.floats(2, 1e9), st.sampled_from(["log", "linear"])).map(
    lambda t: {"low": t[0], "high": t[1], "scale": t[2]}
)
_tables = st.fixed_dictionaries(
    {"arguments": st.dictionaries(_texts, _scalars | st.lists(_scalars, max_size=2), max_size=2),
     "search": st.dictionaries(_texts, _ranges, max_size=2)},
    optional={"base": _texts, "class": _texts, "default_lr": st.floats(1e-9, 1e9), "needs_closure": st.booleans()},
)  # fmt: skip
_entries = st.fixed_dictionaries({"select": _texts, "run_budget": _amounts, "batch_sizes": _sizes})
_tuning = st.fixed_dictionaries(
    {"worth": st.just(0) | st.floats(1, 1e6), "sampler": st.sampled_from(SAMPLERS), "pruner": st.sampled_from(PRUNERS)}
)
_configs = st.fixed_dictionaries(
    {"problems": st.lists(_texts | _entries, min_size=1, max_size=3),
     "optimizers": st.lists(_texts, min_size=1, max_size=3)},
    optional={"preset": _texts, "batch_sizes": _sizes, "schedules": st.lists(_texts, min_size=1, max_size=2),
              "seeds": st.integers(1, 999_999), "run_budget": _amounts, "tuning": _tuning,
              "optimizer": st.dictionaries(_texts, _tables, max_size=2)},
)  # fmt: skip


@given(_configs)
def test_a_configuration_reads_back_from_its_toml(settings: dict[str, Any]) -> None:
    config = Config.model_validate(settings)
    again = parse_config(config.toml(), "here")
    assert again == config
    assert repr(again) == repr(config)


def test_the_toml_has_the_keys_that_users_write() -> None:
    settings = {"problems": ["a"], "optimizers": ["b"], "optimizer": {"b": {"class": "module:Class"}}}
    assert 'class = "module:Class"' in Config.model_validate(settings).toml()


def test_a_damaged_configuration_of_a_results_directory_says_where_it_is() -> None:
    with pytest.raises(UserError, match=r"^results/x/config\.toml is not valid TOML: "):
        parse_config("a = = 3", "results/x/config.toml")
    with pytest.raises(UserError, match=r"^results/x/config\.toml: unknown key 'sedes'; did you mean 'seeds'\?"):
        parse_config("problems = ['a']\noptimizers = ['b']\nsedes = 3", "results/x/config.toml")
