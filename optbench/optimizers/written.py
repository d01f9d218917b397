"""An optimizer as the call that constructs it in a user's own script."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optbench import selection
from optbench.optimizers.additions import ADDITIONS
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS
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
    """
    [chosen] = selection.parse(label)
    spec = REGISTERED_OPTIMIZERS.get(chosen.name)
    values = dict(spec.arguments if spec else arguments or {})
    values |= dict(chosen.parameters)
    if others:
        values |= dict(selection.parse(f"tuned[{others}]")[0].parameters)
    if not math.isnan(lr):
        values["lr"] = lr
    place, _, name = (spec.constructor if spec else target).rpartition(":")
    called = name or chosen.name
    if place and not place.endswith(".py"):
        called = f"{place}.{called}"
    own = {key: value for key, value in values.items() if key not in _APPLIED and "." not in key}
    betas = {key: own.pop(key) for key in ("beta1", "beta2") if key in own}
    if betas and spec:
        first, second = spec.hyperparameters["betas"]
        own["betas"] = (betas.get("beta1", first), betas.get("beta2", second))
    ordered = ["lr"] * ("lr" in own) + [key for key in own if key != "lr"]
    written = "".join(f", {key}={_write(own[key])}" for key in ordered)
    left = [f"{key}={format_value(value)}" for key, value in values.items() if key not in own and key not in betas]
    comments = [f"from {place}"] if place.endswith(".py") else []
    comments += [f"with the schedule {schedule}"] if schedule != "constant" else []
    comments += [f"to add yourself: {', '.join(left)}"] if left else []
    comments += ["with its parameter groups"] if spec and spec.groups else []
    return f"{called}(params{written})" + (f"  # {'; '.join(comments)}" if comments else "")


def _write(value: object) -> str:
    """Writes a value as Python code, numbers with three digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_write, value))})"
    return repr(value)
