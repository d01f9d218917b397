"""An optimizer as the call that constructs it in a user's own script."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from optbench import selection
from optbench.optimizers.additions import ADDITIONS
from optbench.optimizers.decay import set_weight_decay
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS, OptimizerSpec
from optbench.selection import format_value

#: What optbench applies itself, so that no class takes it.
_APPLIED = {*ADDITIONS, *SCHEDULE_HYPERPARAMETERS}


def write_constructor(
    label: str,
    lr: float,
    others: str = "",
    schedule: str = "constant",
    target: str = "",
    arguments: Mapping[str, Any] | None = None,
    grouped: bool = False,
) -> str:
    """Returns the call that constructs an optimizer, with a comment on what its class does not do itself.

    >>> write_constructor("momentum", 0.01778)
    'torch.optim.SGD(params, lr=0.0178, momentum=0.9)'

    Args:
        label: The optimizer's label, such as `adam[eps=1e-6]`.
        lr: Its learning rate; NaN if it has none.
        others: Further hyperparameters, such as `eps=1e-08, momentum=0.95`.
        schedule: The schedule of its learning rate.
        target: `module:Class` or `file.py:Class` of an optimizer that is not registered, if it is known.
        arguments: The fixed arguments of such an optimizer.
        grouped: Whether such an optimizer has parameter groups.
    """
    [chosen] = selection.parse(label)
    spec = REGISTERED_OPTIMIZERS.get(chosen.name)
    values = dict(spec.arguments if spec else arguments or {})
    values |= dict(chosen.parameters)
    if others:
        values |= dict(selection.parse(f"tuned[{others}]")[0].parameters)
    if not math.isnan(lr):
        values["lr"] = lr
        if spec is None or spec.has_decay_per_step:
            values = set_weight_decay(values, lr)
    place, _, name = (spec.constructor if spec else target).rpartition(":")
    called = name or chosen.name
    if place and not place.endswith(".py"):
        called = f"{place}.{called}"
    own = {key: value for key, value in values.items() if key not in _APPLIED and "." not in key}
    # A table's class is that of a registered optimizer, or its signature is not known here.
    known = spec or next((one for one in REGISTERED_OPTIMIZERS.values() if one.constructor == target), None)
    joined = _join_entries(own, known) if known else set()
    own = {key: value for key, value in own.items() if known or not re.fullmatch(r"beta\d", key)}
    ordered = ["lr"] * ("lr" in own) + [key for key in own if key != "lr"]
    written = "".join(f", {key}={_write(own[key])}" for key in ordered)
    left = [f"{key}={format_value(value)}" for key, value in values.items() if key not in own and key not in joined]
    comments = [f"from {place}"] if place.endswith(".py") else []
    comments += [f"with the schedule {schedule}"] if schedule != "constant" else []
    comments += [f"to add yourself: {', '.join(left)}"] if left else []
    comments += ["with its parameter groups"] if (spec.groups if spec else grouped) else []
    return f"{called}(params{written})" + (f"  # {'; '.join(comments)}" if comments else "")


def _join_entries(values: dict[str, Any], spec: OptimizerSpec) -> set[str]:
    """Replaces entries of a tuple, such as `beta1`, by the tuple that the class receives; returns their names."""
    entries = {key: place for key, place in spec.entries.items() if key in values}
    for key, (whole, index) in entries.items():
        joined = list(values.get(whole, spec.hyperparameters[whole]))
        joined[index] = values.pop(key)
        values[whole] = tuple(joined)
    return {*entries}


def _write(value: object) -> str:
    """Writes a value as Python code, numbers with three digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_write, value))})"
    return repr(value)
