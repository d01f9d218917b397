"""Constructs the model and the optimizer of a training from a cell and its hyperparameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions, version
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from optbench.budget import THIRDS, UNLIMITED
from optbench.errors import Inapplicable, UserError
from optbench.importing import load_attribute
from optbench.machine.device import seed_torch
from optbench.optimizers.combined import CombinedOptimizer, combine
from optbench.optimizers.parameter_groups import split_parameters
from optbench.planning.matrix import Cell
from optbench.planning.optimizer_choice import OptimizerChoice
from optbench.problem.base import Problem, display_name
from optbench.training.convolution import replace_convolutions
from optbench.training.seeds import derive

#: Hyperparameters that a group stepped by another class takes from the main optimizer, unless it has its own values.
SHARED_WITH_PARTNERS = ("lr", "weight_decay")


def make_model(problem: Problem, cell: Cell, seed: int) -> nn.Module:
    """Makes the model with the initial weights of a seed, on the cell's device and in the problem's memory format.

    Args:
        problem: The problem.
        cell: The cell, which gives device and optimizer.
        seed: The training's seed.

    Raises:
        UserError: The model has lazy layers.
    """
    seed_torch(derive(seed, "initial weights"), cell.device)
    model = problem.model()
    refuse_lazy_layers(problem, model)
    model = model.to(cell.device)
    if cell.device == "cpu":
        replace_convolutions(model)
    if problem.channels_last and not cell.optimizer.contiguous_parameters:
        model = model.to(memory_format=torch.channels_last)
    return model


def refuse_lazy_layers(problem: Problem, model: nn.Module) -> None:
    """Raises UserError if weights of a model are made in its first forward pass: an optimizer needs them before."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            raise UserError(
                f"problem {display_name(problem)} has a lazy layer, whose {name} does not exist before the first "
                "batch; run one batch in model(), or give the layer its size"
            )


def run_facts(cell: Cell, budget: int | None = None, step_cost: int = 0) -> dict[str, int]:
    """Returns the facts about a training that constructors can receive (`spec.RUN_FACTS`).

    Args:
        cell: The cell.
        budget: The training's budget in example gradients, which is used only if the run budget is in seconds.
        step_cost: Cost of a step in thirds of an example gradient. If it is 0, one gradient per step is assumed, and
            the number of steps is an upper bound.
    """
    if cell.run_budget.unit != "seconds":
        budget = cell.run_cost  # the planned budget, also for trial steps with an unlimited budget
    elif budget and budget >= UNLIMITED:
        budget = cell.training_examples  # one epoch, as long as the speed is not measured
    gradients, examples = budget or cell.batch_size, cell.training_examples
    steps = max(1, THIRDS * gradients // (step_cost or THIRDS * cell.batch_size))
    seen = steps * cell.batch_size if step_cost else gradients
    return {
        "steps": steps,
        "epochs": math.ceil(seen / examples),
        "steps_per_epoch": math.ceil(examples / cell.batch_size),
        "batch_size": cell.batch_size,
        "training_examples": examples,
    }


def make_optimizer(
    choice: OptimizerChoice,
    model: nn.Module,
    hyperparameters: Mapping[str, Any],
    facts: Mapping[str, int] | None = None,
) -> torch.optim.Optimizer:
    """Makes an optimizer for all trained parameters of a model, in parameter groups if the optimizer declares some.

    Args:
        choice: The optimizer.
        model: The model.
        hyperparameters: Values that replace the fixed arguments. `NAME.KEY` is the argument KEY of group NAME.
        facts: The result of `run_facts` (default: 1 for each fact).

    Raises:
        UserError: A group contains no parameter of the model, or a parameter of another group.
        Inapplicable: Other classes would step all parameters, so none is left for the optimizer itself.
    """
    if choice.reset:
        load_attribute(choice.reset)()
    constructor = load_attribute(choice.constructor)
    from_run = {key: (facts or {}).get(fact, 1) for key, fact in choice.from_run.items()}
    arguments = {**from_run, **choice.constructor_arguments(hyperparameters)}
    if not choice.groups:
        return constructor([p for p in model.parameters() if p.requires_grad], **arguments)
    common = {key: value for key, value in arguments.items() if "." not in key}
    members = split_parameters(choice.label, choice.groups, model)
    parts = {name: list(parameters.values()) for name, parameters in members.items()}
    own = {
        name: {key.partition(".")[2]: value for key, value in arguments.items() if key.partition(".")[0] == name}
        for name in choice.groups
    }
    groups = [{"params": parts.pop("")}, *({"params": parts[name], **own[name]} for name in _plain_groups(choice))]
    groups = [group for group in groups if group["params"]]
    if not groups:
        rules = {name: rule if isinstance(rule, str) else ", ".join(rule) for name, rule in choice.groups.items()}
        where = ", ".join(f"{name} ({rules[name]})" for name in parts)
        raise Inapplicable(f"{choice.label} has no parameters to step: all are in {where}")
    shared = {key: common[key] for key in SHARED_WITH_PARTNERS if key in common}
    partners = [
        load_attribute(target)(parts[name], **{**_filter_arguments(target, shared), **own[name]})
        for name, target in choice.partners.items()
        if parts[name]
    ]
    optimizer = constructor(groups, **common)
    return combine([optimizer, *partners]) if partners else optimizer


def _plain_groups(choice: OptimizerChoice) -> list[str]:
    """Returns the names of the groups that the optimizer's own class steps."""
    return [name for name in choice.groups if name not in choice.partners]


def _filter_arguments(target: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments that a constructor accepts."""
    known = inspect.signature(load_attribute(target)).parameters
    return {key: value for key, value in arguments.items() if key in known}


def describe_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Describes an optimizer for the record: its class, package version and hyperparameters, as plain JSON values."""
    plain = _plain(optimizer.defaults)
    if isinstance(optimizer, CombinedOptimizer):
        plain["members"] = [_class(member) for member in optimizer.members]
    if len(optimizer.param_groups) > 1:
        plain["groups"] = [
            {"parameters": sum(p.numel() for p in group["params"])} | _plain(group) for group in optimizer.param_groups
        ]
    first = optimizer.members[0] if isinstance(optimizer, CombinedOptimizer) else optimizer
    package = type(first).__module__.partition(".")[0]
    return {"class": _class(first), "version": _version(package), **plain}


def _class(optimizer: torch.optim.Optimizer) -> str:
    return f"{type(optimizer).__module__}:{type(optimizer).__qualname__}"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values that can be represented in JSON."""
    known = (bool, int, float, str, type(None))
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if isinstance(value, known) or (isinstance(value, tuple) and all(isinstance(v, known) for v in value))
    }


@cache
def _version(package: str) -> str | None:
    """Returns the version of the distribution that contains a package; None for a user's file."""
    owners = packages_distributions().get(package, [])
    return version(owners[0]) if owners else None
