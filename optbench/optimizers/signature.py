"""Infers the spec of an optimizer from the signature of its class and the settings of its decorator."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Set
from dataclasses import replace
from numbers import Real
from typing import Any

from optbench.errors import UserError, unknown
from optbench.optimizers.builtin import SGD
from optbench.optimizers.decorator import decorator_settings
from optbench.optimizers.parameter_groups import compile_rule
from optbench.optimizers.search_space import Range, check_conditions
from optbench.optimizers.spec import RUN_FACTS, SCHEDULE_HYPERPARAMETERS, OptimizerSpec

#: Names of constructor arguments that stand for facts about the training. optbench sets those without a default.
_FACT_ARGUMENTS = {
    **dict.fromkeys(("total_steps", "num_steps", "n_steps", "num_training_steps", "training_steps", "max_steps",
                     "t_total", "num_iterations", "total_iterations", "max_iterations"), "steps"),
    **dict.fromkeys(("epochs", "num_epochs", "n_epochs", "total_epochs"), "epochs"),
    **dict.fromkeys(("steps_per_epoch", "num_batches_per_epoch", "batches_per_epoch"), "steps_per_epoch"),
    "batch_size": "batch_size",
}  # fmt: skip

#: Names of arguments by which a constructor learns how long a training is, as one does that has its own schedule.
LENGTH_ARGUMENTS = frozenset(name for name, fact in _FACT_ARGUMENTS.items() if fact != "batch_size")


def infer_spec(target: str, factory: Any, lr: float | None, given: Set[str]) -> OptimizerSpec:
    """Infer the spec of an optimizer from its signature and its decorator.

    Args:
        target: The name `module:Class` or `file.py:Class` of the class or function.
        factory: The class or function, which is called as `factory(params, lr=…)`.
        lr: The learning rate to use if the signature has no default.
        given: Arguments that will be set, so that they need no default.

    Raises:
        UserError: If `factory` is not an optimizer, or if an argument has no value.
    """
    try:
        parameters = _parameters(factory)
    except (ValueError, TypeError):
        raise UserError(
            f"{target} is not an optimizer (accepted: a class or function called as f(params, lr=…))"
        ) from None
    named = {p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if reserved := named.keys() & SCHEDULE_HYPERPARAMETERS.keys():
        raise UserError(f"{target} has an argument {min(reserved)}, a name that optbench reserves; rename it")
    declared = dict(decorator_settings(factory))
    set_by_decorator = {**declared.get("arguments", {}), **declared.get("from_run", {})}
    if "lr" in named:
        default = named.pop("lr")
        lr = _rate(lr) or _rate(set_by_decorator.get("lr")) or _rate(default)
        if lr is None:
            raise UserError(f"{target} has no default learning rate; add one, or set default_lr in a TOML table")
    else:
        lr = None
    empty = inspect.Parameter.empty
    from_run = {
        key: fact
        for key, fact in _FACT_ARGUMENTS.items()
        if key in named and named[key] in (empty, None) and key not in given and key not in set_by_decorator
    }
    known = {*given, *set_by_decorator, *from_run}
    required = [key for key, default in named.items() if default is empty and key not in known]
    if required:
        raise UserError(f"{target} needs a value for {', '.join(required)}; add defaults, or use a TOML table")
    step = inspect.signature(factory.step).parameters if hasattr(factory, "step") else {}
    closure = next((p for name, p in step.items() if name == "closure"), None)
    like_sgd = _derives_from_sgd(factory)
    detected = OptimizerSpec(
        name=target.rpartition(":")[2],
        constructor=target,
        default_lr=lr,
        learning_rate=None if lr is None else SGD.learning_rate if like_sgd else Range(lr / 100, lr * 100),
        follows_curvature=True,
        family="sgd" if like_sgd else "adaptive",
        heavy_ball=like_sgd,
        hyperparameters={key: None if default is empty else _plain_number(default) for key, default in named.items()},
        from_run=from_run,
        averages=_averages(factory),
        needs_closure=closure is not None and closure.default is inspect.Parameter.empty,
        # A custom optimizer may not support other memory layouts, such as channels-last.
        contiguous_parameters=True,
        rule=(inspect.getdoc(factory) or "").partition("\n")[0],
    )
    return _apply_declaration(detected, declared) if declared else detected


def _derives_from_sgd(factory: Any) -> bool:
    """Whether a class derives from torch.optim.SGD; its steps then are as long as those of SGD."""
    bases = inspect.getmro(factory) if inspect.isclass(factory) else ()
    return any((base.__module__, base.__name__) == ("torch.optim.sgd", "SGD") for base in bases)


def _averages(factory: Any) -> bool:
    """Whether a class evaluates other weights than it trains, or derives from torch.optim.ASGD, which averages them."""
    if not inspect.isclass(factory):
        return False  # what a function returns is checked when it is constructed
    names = {(base.__module__, base.__name__) for base in inspect.getmro(factory)}
    return ("torch.optim.asgd", "ASGD") in names or hasattr(factory, "train") or hasattr(factory, "eval")


def _parameters(factory: Any) -> list[inspect.Parameter]:
    """Return the parameters after the first; those passed on by `**kwargs` are the base class's."""
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


def _apply_declaration(spec: OptimizerSpec, declared: Mapping[str, Any]) -> OptimizerSpec:
    """Apply the settings of a decorator to a detected spec; raises UserError if they do not fit the class."""
    search, arguments = declared.get("search", {}), dict(declared.get("arguments", {}))
    groups, own = declared.get("groups", {}), {key: value for key, value in arguments.items() if "." in key}
    for key in search:
        group, _, name = key.rpartition(".")
        if group in groups and key not in own:
            own[key] = spec.default_lr if name == "lr" else spec.hyperparameters.get(name)
    hyperparameters = {**spec.hyperparameters, **own}
    whole = replace(spec, hyperparameters=hyperparameters, partners=declared.get("partners", {}))
    for key in {**search, **arguments}:
        if key not in whole.known:
            raise whole.unknown_hyperparameter(key)
    for fact in declared.get("from_run", {}).values():
        if fact not in RUN_FACTS:
            raise unknown(f"fact about a run for {spec.name}", fact, RUN_FACTS)
    for selector in groups.values():
        if isinstance(selector, str):
            compile_rule(selector)
    check_conditions(spec.name, search, whole.known)
    arguments.pop("lr", None)
    # What optbench adds is not an argument of the class, and keeps its start value here if it is searched.
    added = {key: value for key, value in arguments.items() if key in spec.added}
    arguments = {key: value for key, value in arguments.items() if key not in spec.added}
    detected = {key: fact for key, fact in spec.from_run.items() if key not in arguments}
    changes = {
        # A range that is declared holds everywhere.
        "follows_curvature": "learning_rate" not in declared,
        **declared,
        "arguments": {**added, **{key: value for key, value in arguments.items() if key not in search}},
        "hyperparameters": {**hyperparameters, **arguments},
        "from_run": {**detected, **declared.get("from_run", {})},
    }
    return replace(spec, **changes)


def _rate(value: Any) -> float | None:
    """Return a default learning rate as a float; None if the value is not a positive number."""
    value = _plain_number(value)
    return float(value) if isinstance(value, (int, float)) and 0 < value < math.inf else None


def _plain_number(value: Any) -> Any:
    """Convert a scalar tensor, a NumPy number or a fraction to a Python number; other values stay as they are."""
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Real):
        return float(value)
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", None) == 0:
        return value.item()
    return value
