"""What would make the results of an optimizer of one's own mean nothing, found before a run spends hours on them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from optbench import selection
from optbench.config.schema import Config
from optbench.conformance.suite import check
from optbench.errors import UserError
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS, code_version, optimizer_spec

#: On what is tuned rests that the rate matters, and on what is repeated that trainings don't depend on each other.
_GRAVE = ("zero_rate", "rate_matters", "isolated")


def doubts(config: Config) -> list[str]:
    """A line for each optimizer that ignores its rate, or whose trainings depend on what other instances did.

    Only of optimizers that a configuration brings: registered ones are tested. One that can't be tried out on the
    toys of the conformance suite, because it is made for other parameters, is not doubted.
    """
    found = []
    for name in dict.fromkeys(chosen.name for text in config.optimizers for chosen in selection.parse(text)):
        if name in config.optimizer:
            table = config.optimizer[name].model_dump(exclude_none=True, by_alias=True)
            reason, how = _worst(name, {name: table}), f"{name} --config FILE"
        elif name not in REGISTERED_OPTIMIZERS:
            reason, how = _remembered(name, code_version(optimizer_spec(name))), name
        else:
            continue
        if reason:
            found.append(f"warning: {name}: {reason} (`optbench check {how}` says more)")
    return found


@lru_cache(maxsize=256)
def _remembered(name: str, version: str) -> str:
    """The same for the same code."""
    return _worst(name, None)


def _worst(name: str, tables: Mapping[str, Any] | None) -> str:
    try:
        findings = list(check(name, tables=tables, only=("constructs", "steps", *_GRAVE)))
    except UserError:
        return ""
    return next((one.reason for one in findings if one.outcome == "failed" and one.check in _GRAVE), "")
