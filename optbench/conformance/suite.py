"""Runs checks on whatever a selection names, and as pytest functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from optbench import selection
from optbench.conformance.finding import Finding, Verdict
from optbench.errors import UserError, one_line, unknown
from optbench.importing import load_attribute, load_module
from optbench.optimizers.decorator import settings_of
from optbench.optimizers.registry import code_version, optimizer_names, optimizer_spec
from optbench.optimizers.spec import OptimizerSpec
from optbench.problem.base import Problem
from optbench.problem.data import DataSource, default_data_dir
from optbench.problem.registry import problem_names

if TYPE_CHECKING:
    from optbench.conformance.subject import OptimizerSubject

#: Names of the checks, in their order; a check that the others rest on comes first.
OPTIMIZER_CHECKS = (
    "constructs", "steps", "moves", "descends", "zero_rate", "rate_matters", "search_space", "deterministic",
    "isolated", "global_state", "saves", "without_gradient", "groups", "precisions", "switches", "charges", "budget",
    "linear",
)  # fmt: skip
PROBLEM_CHECKS = (
    "shapes", "settings", "start", "differentiable", "disjoint", "evaluation", "coupling", "minimum", "reproducible",
    "trains", "workers",
)  # fmt: skip
#: Without these no other check of an optimizer means anything.
_FIRST = ("constructs", "steps")


def kind(text: str, tables: Mapping[str, Any] | None = None) -> str:
    """`problem` or `optimizer`, whichever a selection names; raises UserError where it is neither."""
    name = selection.parse(text)[0].name
    if ":" in name:
        found = load_attribute(name)
        return "problem" if isinstance(found, type) and issubclass(found, Problem) else "optimizer"
    problems, optimizers = problem_names(), {*optimizer_names(), *(tables or {})}
    if name not in problems and name not in optimizers:
        raise unknown("problem or optimizer", name, {*problems, *optimizers})
    return "problem" if name in problems else "optimizer"


def defined_in(file: str) -> list[str]:
    """Selections of all problems and optimizers that a file defines."""
    import torch

    module = load_module(file)
    found = []
    for name, thing in vars(module).items():
        own = getattr(thing, "__module__", None) == module.__name__
        optimizer = isinstance(thing, type) and issubclass(thing, torch.optim.Optimizer)
        problem = isinstance(thing, type) and issubclass(thing, Problem) and is_dataclass(thing)
        if isinstance(thing, OptimizerSpec) or (own and (optimizer or problem or settings_of(thing))):
            found.append(f"{file}:{name}")
    if not found:
        raise UserError(f"{file} defines neither a problem nor an optimizer (accepted: FILE.py, FILE.py:NAME, NAME)")
    return found


def check(
    text: str,
    *,
    device: str = "cpu",
    tables: Mapping[str, Any] | None = None,
    source: DataSource | None = None,
    only: Iterable[str] = (),
) -> Iterator[Finding]:
    """The findings on a problem or an optimizer, one after another.

    `tables` are optimizers as TOML describes them; `source` says where a problem's data is; `only` names some of
    the checks. Raises UserError for what can't be found or isn't installed.
    """
    if kind(text, tables) == "problem":
        yield from _check_problem(text, device, source, tuple(only))
    else:
        yield from _check_optimizer(text, device, tables, tuple(only))


def _check_optimizer(
    text: str, device: str, tables: Mapping[str, Any] | None, only: tuple[str, ...]
) -> Iterator[Finding]:
    from optbench.conformance import optimizer_needs, optimizer_state, optimizer_steps
    from optbench.conformance.subject import quietly

    homes = (optimizer_steps, optimizer_state, optimizer_needs)
    subject, waived = _subject(text, device, tables), _waived(text, tables)
    for name in _chosen(OPTIMIZER_CHECKS, only):
        if name in waived:
            yield Finding(name, "skipped", f"not asked of it: {waived[name]}")
            continue
        with quietly():
            finding = _finding(name, _among(homes, name), subject)
        yield finding
        if name in _FIRST and finding.outcome == "failed":
            return


def _subject(text: str, device: str, tables: Mapping[str, Any] | None) -> OptimizerSubject:
    """What is checked; the same one for checks of the same thing, one by one."""
    from optbench.conformance.subject import OptimizerSubject

    if tables:
        return OptimizerSubject(text, device, tables)
    return _remembered(text, device, code_version(optimizer_spec(selection.parse(text)[0].name)))


@lru_cache(maxsize=4)
def _remembered(text: str, device: str, version: str) -> OptimizerSubject:
    from optbench.conformance.subject import OptimizerSubject

    return OptimizerSubject(text, device)


def _waived(text: str, tables: Mapping[str, Any] | None) -> Mapping[str, str]:

    name = selection.parse(text)[0].name
    if name in (tables or {}):
        origin = (tables or {})[name].get("base", "")
        return optimizer_spec(origin).waived if origin else {}
    return optimizer_spec(name).waived


def _check_problem(text: str, device: str, source: DataSource | None, only: tuple[str, ...]) -> Iterator[Finding]:
    from optbench.conformance import problem_data, problem_loss, problem_minimum, problem_training
    from optbench.conformance.problem_subject import ProblemSubject
    from optbench.conformance.subject import quietly

    homes = (problem_data, problem_loss, problem_minimum, problem_training)
    subject = ProblemSubject(text, source or DataSource(default_data_dir()), device)
    for name in _chosen(PROBLEM_CHECKS, only):
        with quietly():
            yield _finding(name, _among(homes, name), subject)


def _among(homes: Iterable[ModuleType], name: str) -> Callable[[Any], str]:
    """The function of a check, in whichever module it is."""
    found: Callable[[Any], str] = next(getattr(home, name) for home in homes if hasattr(home, name))
    return found


def _chosen(names: tuple[str, ...], only: tuple[str, ...]) -> tuple[str, ...]:
    for name in only:
        if name not in names:
            raise unknown("check", name, names)
    return tuple(name for name in names if not only or name in only)


def _finding(name: str, function: Callable[[Any], str], subject: Any) -> Finding:
    try:
        return Finding(name, "ok", function(subject))
    except Verdict as verdict:
        return Finding(name, verdict.outcome, verdict.reason, verdict.fix)
    except UserError:
        raise
    except Exception as error:
        return Finding(name, "failed", f"the check ended with {one_line(error)}", "see where this is raised from")


def optimizer_test(target: str, **options: Any) -> Any:
    """A pytest function of an optimizer, parametrised by the checks; assign it to a name that begins with `test`."""
    return _test(target, OPTIMIZER_CHECKS, options)


def problem_test(target: str, **options: Any) -> Any:
    """A pytest function, parametrised by the checks of a problem."""
    return _test(target, PROBLEM_CHECKS, options)


def _test(target: str, names: tuple[str, ...], options: Mapping[str, Any]) -> Any:
    import pytest

    @pytest.mark.parametrize("name", names)
    def test(name: str) -> None:
        prove(target, name, options)

    return test


def prove(target: str, name: str, options: Mapping[str, Any] | None = None) -> None:
    """One check within a test: fails, or is skipped, with the finding's reason."""
    import pytest

    [finding] = check(target, only=[name], **(options or {}))
    if finding.outcome == "failed":
        pytest.fail(f"{target}: {finding}", pytrace=False)
    if finding.outcome == "skipped":
        pytest.skip(finding.reason)
