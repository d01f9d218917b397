"""Warns, before a run starts, of mistakes in a user's optimizer that would make its results meaningless."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from optbench import selection
from optbench.config.schema import Config
from optbench.conformance.finding import RAISES
from optbench.conformance.suite import check
from optbench.errors import UserError
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS, code_version, optimizer_spec

#: A training requires that parameters with a gradient move and others do not, tuning that the learning rate has an
#: effect, and repetition that trainings are independent.
_GRAVE = ("moves", "zero_rate", "rate_matters", "isolated", "global_state", "without_gradient")


def find_doubts(config: Config) -> list[str]:
    """Returns a warning for each optimizer with a grave mistake.

    It does not move, moves what has no gradient, ignores its learning rate, or affects other trainings.

    Only a user's own optimizers are checked, since the registered ones are tested. An optimizer that cannot be run on
    the toy problems of the conformance suite, because it is made for other parameters, gets no warning.

    Args:
        config: The configuration to be run.

    Returns:
        One line per doubtful optimizer.
    """
    warnings = []
    for name in dict.fromkeys(chosen.name for text in config.optimizers for chosen in selection.parse(text)):
        if name in config.optimizer:
            table = config.optimizer[name].model_dump(exclude_none=True, by_alias=True)
            reason, arguments = _find_failure(name, {name: table}), f"{name} --config FILE"
        elif name not in REGISTERED_OPTIMIZERS:
            reason, arguments = _find_failure_cached(name, code_version(optimizer_spec(name))), name
        else:
            continue
        if reason:
            warnings.append(f"warning: {name}: {reason} (details: `optbench check {arguments}`)")
    return warnings


@lru_cache(maxsize=256)
def _find_failure_cached(name: str, version: str) -> str:
    """Returns the result of `_find_failure`, cached by the version of the optimizer's code."""
    return _find_failure(name, None)


def _find_failure(name: str, tables: Mapping[str, Any] | None) -> str:
    """Returns the reason of the first grave failure, or "" if there is none."""
    try:
        findings = list(check(name, tables=tables, only=("constructs", "steps", *_GRAVE)))
    except UserError:
        return ""
    # An error is not a silent mistake: it is recorded by the cells in which it occurs.
    return next(
        (f.reason for f in findings if f.outcome == "failed" and f.check in _GRAVE and not f.reason.startswith(RAISES)),
        "",
    )
