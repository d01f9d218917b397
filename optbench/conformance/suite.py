"""Runs the conformance checks on an optimizer or a problem, directly or as pytest functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from optbench import selection
from optbench.conformance.finding import Finding, Verdict
from optbench.conformance.place import describe_error
from optbench.errors import UserError, unknown
from optbench.importing import load_attribute
from optbench.optimizers.registry import code_version, optimizer_names, optimizer_spec
from optbench.problem.base import Problem
from optbench.problem.data import DataSource, MisshapenData, default_data_dir
from optbench.problem.registry import problem_names, refuse_data_file

if TYPE_CHECKING:
    from optbench.conformance.subject import OptimizerSubject

#: Names of the checks in their order. Checks that the others depend on come first.
OPTIMIZER_CHECKS = (
    "constructs", "steps", "moves", "descends", "zero_rate", "rate_matters", "search_space", "deterministic",
    "isolated", "global_state", "saves", "without_gradient", "groups", "precisions", "switches", "charges", "budget",
    "linear",
)  # fmt: skip
PROBLEM_CHECKS = (
    "shapes", "settings", "start", "random_numbers", "differentiable", "disjoint", "evaluation", "coupling", "minimum",
    "reproducible", "trains", "workers",
)  # fmt: skip
#: If one of these checks fails, the other checks of an optimizer are not run.
_FIRST = ("constructs", "steps")


def kind(text: str, tables: Mapping[str, Any] | None = None) -> str:
    """Returns `problem` or `optimizer`, depending on what a selection names.

    Args:
        text: Selection, such as `adam[betas=(0.9,0.99)]` or `FILE.py:NAME`.
        tables: Optimizers defined by tables in TOML, by name.

    Raises:
        UserError: The selection names neither.
    """
    name = selection.parse(text)[0].name
    if ":" in name:
        target = load_attribute(name)
        return "problem" if isinstance(target, type) and issubclass(target, Problem) else "optimizer"
    problems, optimizers = problem_names(), {*optimizer_names(), *(tables or {})}
    if name not in problems and name not in optimizers:
        refuse_data_file(name)
        raise unknown("problem or optimizer", name, {*problems, *optimizers})
    return "problem" if name in problems else "optimizer"


def check(
    text: str,
    *,
    device: str = "cpu",
    tables: Mapping[str, Any] | None = None,
    source: DataSource | None = None,
    only: Iterable[str] = (),
) -> Iterator[Finding]:
    """Runs the checks on a problem or an optimizer and yields their findings one by one.

    Args:
        text: Selection of a problem or an optimizer, such as `adam` or `FILE.py:NAME`.
        device: Device on which the checks run.
        tables: Optimizers defined by tables in TOML, by name.
        source: Where a problem's data are read from (default: the default data folder).
        only: Names of the checks to run (default: all).

    Raises:
        UserError: The selection is unknown or its package is not installed, or a check is unknown.
    """
    if kind(text, tables) == "problem":
        yield from _check_problem(text, device, source, tuple(only))
    else:
        yield from _check_optimizer(text, device, tables, tuple(only))


def _check_optimizer(
    text: str, device: str, tables: Mapping[str, Any] | None, only: tuple[str, ...]
) -> Iterator[Finding]:
    from optbench.conformance import optimizer_needs, optimizer_state, optimizer_steps
    from optbench.conformance.subject import suppress_side_effects

    modules = (optimizer_steps, optimizer_state, optimizer_needs)
    subject, waivers = _make_subject(text, device, tables), _find_waivers(text, tables)
    for name in _select_checks(OPTIMIZER_CHECKS, only):
        if name in waivers:
            yield Finding(name, "skipped", f"waived: {waivers[name]}")
            continue
        with suppress_side_effects():
            finding = _run_check(name, _find_function(modules, name), subject)
        yield finding
        if name in _FIRST and finding.outcome == "failed":
            return


def _make_subject(text: str, device: str, tables: Mapping[str, Any] | None) -> OptimizerSubject:
    """Returns the optimizer under test. It is cached, since pytest runs its checks one at a time."""
    from optbench.conformance.subject import OptimizerSubject

    if tables:
        return OptimizerSubject(text, device, tables)
    return _make_subject_cached(text, device, code_version(optimizer_spec(selection.parse(text)[0].name)))


@lru_cache(maxsize=4)
def _make_subject_cached(text: str, device: str, version: str) -> OptimizerSubject:
    from optbench.conformance.subject import OptimizerSubject

    return OptimizerSubject(text, device)


def _find_waivers(text: str, tables: Mapping[str, Any] | None) -> Mapping[str, str]:
    """Returns the checks that an optimizer is exempt from, with the reasons."""
    name = selection.parse(text)[0].name
    if name in (tables or {}):
        origin = (tables or {})[name].get("base", "")
        return optimizer_spec(origin).waived if origin else {}
    return optimizer_spec(name).waived


def _check_problem(text: str, device: str, source: DataSource | None, only: tuple[str, ...]) -> Iterator[Finding]:
    from optbench.conformance import problem_data, problem_loss, problem_minimum, problem_random, problem_training
    from optbench.conformance.problem_subject import ProblemSubject
    from optbench.conformance.subject import suppress_side_effects

    modules = (problem_data, problem_loss, problem_minimum, problem_random, problem_training)
    subject = ProblemSubject(text, source or DataSource(default_data_dir()), device)
    for name in _select_checks(PROBLEM_CHECKS, only):
        try:
            with suppress_side_effects():
                finding = _run_check(name, _find_function(modules, name), subject)
        except MisshapenData as error:  # every other check would fail for the same reason
            yield Finding(name, "failed", str(error), "return Data(train, valid, test), each a tuple (x, y, …)")
            return
        yield finding


def _find_function(modules: Iterable[ModuleType], name: str) -> Callable[[Any], str]:
    """Returns the function of a check, which has the name of the check, from the module that defines it."""
    function: Callable[[Any], str] = next(getattr(module, name) for module in modules if hasattr(module, name))
    return function


def _select_checks(names: tuple[str, ...], only: tuple[str, ...]) -> tuple[str, ...]:
    for name in only:
        if name not in names:
            raise unknown("check", name, names)
    return tuple(name for name in names if not only or name in only)


def _run_check(name: str, function: Callable[[Any], str], subject: Any) -> Finding:
    try:
        return Finding(name, "ok", function(subject))
    except Verdict as verdict:
        return Finding(name, verdict.outcome, verdict.reason, verdict.fix)
    except UserError:
        raise
    except Exception as error:
        described = describe_error(error)
        return Finding(
            name,
            "failed",
            f"the check raised {described}",
            "correct the line that is named" if "(line " in described else "take a few steps in a script",
        )


def optimizer_test(target: str, **options: Any) -> Any:
    """Makes a pytest function that runs all checks of an optimizer, one parametrisation per check.

    Args:
        target: Selection of the optimizer, such as `FILE.py:NAME`.
        **options: Keyword arguments of `check`, except `only`.

    Returns:
        The function; assign it to a name that begins with `test`.

    Example:
        >>> test_mine = optimizer_test("my_optimizer.py:Mine")
    """
    return _make_test(target, OPTIMIZER_CHECKS, options)


def problem_test(target: str, **options: Any) -> Any:
    """Makes a pytest function that runs all checks of a problem; see `optimizer_test`."""
    return _make_test(target, PROBLEM_CHECKS, options)


def _make_test(target: str, names: tuple[str, ...], options: Mapping[str, Any]) -> Any:
    import pytest

    @pytest.mark.parametrize("name", names)
    def test(name: str) -> None:
        assert_check(target, name, options)

    return test


def assert_check(target: str, name: str, options: Mapping[str, Any] | None = None) -> None:
    """Runs one check within a pytest test, which fails or is skipped with the finding's reason.

    Args:
        target: Selection of an optimizer or a problem.
        name: Name of the check.
        options: Keyword arguments of `check`, except `only`.
    """
    import pytest

    [finding] = check(target, only=[name], **(options or {}))
    if finding.outcome == "failed":
        pytest.fail(f"{target}: {finding}", pytrace=False)
    if finding.outcome == "skipped":
        pytest.skip(finding.reason)
