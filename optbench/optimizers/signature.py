"""From the signature of a class, and what its decorator says, to the spec of an optimizer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Set
from dataclasses import replace
from numbers import Real
from typing import Any

from optbench.errors import UserError, unknown
from optbench.optimizers.decorator import settings_of
from optbench.optimizers.parameter_groups import rule
from optbench.optimizers.search_space import Range, check_conditions
from optbench.optimizers.spec import RUN_FACTS, SCHEDULE_HYPERPARAMETERS, OptimizerSpec

#: Names under which constructors ask for facts about the training; filled in where they have no value of their own.
_ASKS_FOR = {
    **dict.fromkeys(("total_steps", "num_steps", "n_steps", "num_training_steps", "training_steps", "max_steps",
                     "t_total", "num_iterations", "total_iterations", "max_iterations"), "steps"),
    **dict.fromkeys(("epochs", "num_epochs", "n_epochs", "total_epochs"), "epochs"),
    **dict.fromkeys(("steps_per_epoch", "num_batches_per_epoch", "batches_per_epoch"), "steps_per_epoch"),
    "batch_size": "batch_size",
}  # fmt: skip


def spec_of(target: str, factory: Any, lr: float | None, given: Set[str]) -> OptimizerSpec:
    """The spec of a class or function `target`, with what its decorator says of it.

    `lr` stands for a default learning rate, and `given` names arguments, that it need not have defaults for. Raises
    UserError for what is no optimizer, and for arguments without a value.
    """
    try:
        parameters = _parameters(factory)
    except (ValueError, TypeError):
        raise UserError(f"{target} is no optimizer (accepted: a class or function called as f(params, lr=…))") from None
    named = {p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if reserved := named.keys() & SCHEDULE_HYPERPARAMETERS.keys():
        raise UserError(f"{target} has an argument {min(reserved)}, which is optbench's own name; give it another one")
    said = dict(settings_of(factory))
    told = {**said.get("arguments", {}), **said.get("from_run", {})}
    if "lr" in named:
        default = named.pop("lr")
        lr = _rate(lr) or _rate(told.get("lr")) or _rate(default)
        if lr is None:
            raise UserError(f"{target} has no default learning rate; give it one, or default_lr in a TOML table")
    else:
        lr = None
    empty = inspect.Parameter.empty
    asked = {
        key: fact
        for key, fact in _ASKS_FOR.items()
        if key in named and named[key] in (empty, None) and key not in given and key not in told
    }
    required = [key for key, default in named.items() if default is empty and key not in {*given, *told, *asked}]
    if required:
        raise UserError(f"{target} needs a value for {', '.join(required)}; give defaults, or a TOML table")
    step = inspect.signature(factory.step).parameters if hasattr(factory, "step") else {}
    closure = next((p for name, p in step.items() if name == "closure"), None)
    detected = OptimizerSpec(
        name=target.rpartition(":")[2],
        constructor=target,
        default_lr=lr,
        learning_rate=None if lr is None else Range(lr / 100, lr * 100),
        hyperparameters={key: None if default is empty else _plain_number(default) for key, default in named.items()},
        from_run=asked,
        needs_closure=closure is not None and closure.default is inspect.Parameter.empty,
        # Layouts that a custom optimizer's arithmetic may not expect are not tried on it.
        contiguous_parameters=True,
        rule=(inspect.getdoc(factory) or "").partition("\n")[0],
    )
    return _declared(detected, said) if said else detected


def _parameters(factory: Any) -> list[inspect.Parameter]:
    """The parameters after the first; a class that passes on `**kwargs` has those of the class that takes them."""
    parameters = list(inspect.signature(factory).parameters.values())
    own = [p for p in parameters[1:] if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    passes_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    bases = factory.__mro__ if inspect.isclass(factory) and passes_on else ()
    initializers = [vars(base)["__init__"] for base in bases if "__init__" in vars(base)]
    if len(initializers) < 2 or initializers[1] is object.__init__:
        return own
    named = {parameter.name for parameter in parameters}
    inherited = list(inspect.signature(initializers[1]).parameters.values())[2:]
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [*own, *(p for p in inherited if p.name not in named and p.kind in kinds)]


def _declared(spec: OptimizerSpec, said: Mapping[str, Any]) -> OptimizerSpec:
    """A detected spec with what the decorator says; raises UserError where that doesn't fit the class."""
    search, arguments = said.get("search", {}), dict(said.get("arguments", {}))
    groups, own = said.get("groups", {}), {key: value for key, value in arguments.items() if "." in key}
    for key in search:
        group, _, name = key.rpartition(".")
        if group in groups and key not in own:
            own[key] = spec.default_lr if name == "lr" else spec.hyperparameters.get(name)
    known = {**spec.known, **own}
    for key in {**search, **arguments}:
        if key not in known:
            raise unknown(f"hyperparameter of {spec.name}", key, known)
    for fact in said.get("from_run", {}).values():
        if fact not in RUN_FACTS:
            raise unknown(f"fact about a run for {spec.name}", fact, RUN_FACTS)
    for members in groups.values():
        if isinstance(members, str):
            rule(members)
    check_conditions(spec.name, search, known)
    arguments.pop("lr", None)
    asked = {key: fact for key, fact in spec.from_run.items() if key not in arguments}
    changed = {
        **said,
        "arguments": {key: value for key, value in arguments.items() if key not in search},
        "hyperparameters": {**spec.hyperparameters, **own, **arguments},
        "from_run": {**asked, **said.get("from_run", {})},
    }
    return replace(spec, **changed)


def _rate(value: Any) -> float | None:
    """A default learning rate, which may be a tensor, a NumPy number or a fraction too."""
    value = _plain_number(value)
    return float(value) if isinstance(value, (int, float)) and 0 < value < math.inf else None


def _plain_number(value: Any) -> Any:
    """Python's number for a tensor of one, NumPy's or a fraction; anything else as it is."""
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Real):
        return float(value)
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", None) == 0:
        return value.item()
    return value
