"""Makes the model and the optimizer of a training from a cell and its hyperparameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions, version
from typing import Any

import torch
from torch import Tensor, nn

from optbench.budget import UNLIMITED
from optbench.errors import Inapplicable
from optbench.importing import load_attribute
from optbench.machine.device import seed_torch
from optbench.optimizers.combined import Combined, combined
from optbench.optimizers.parameter_groups import members
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS
from optbench.planning.matrix import Cell
from optbench.planning.optimizer_choice import OptimizerChoice
from optbench.problem.base import Problem
from optbench.training.convolution import mend_convolutions
from optbench.training.seeds import derive

#: What a group of another class takes over from the rest, unless it has its own.
SHARED_WITH_PARTNERS = ("lr", "weight_decay")


def make_model(problem: Problem, cell: Cell, seed: int) -> nn.Module:
    """The model with the initial weights of this seed, on the cell's device in its memory format."""
    seed_torch(derive(seed, "initial weights"), cell.device)
    model = problem.model().to(cell.device)
    if cell.device == "cpu":
        mend_convolutions(model)
    if problem.channels_last and not cell.optimizer.contiguous_parameters:
        model = model.to(memory_format=torch.channels_last)
    return model


def run_facts(cell: Cell, budget: int | None = None) -> dict[str, int]:
    """What constructors may ask of a training (`spec.RUN_FACTS`); `budget` is its own in example gradients.

    Steps are those that the budget pays for at one gradient each: the most that there can be.
    """
    if cell.run_budget.unit != "seconds":
        budget = cell.run_cost  # also where something is only tried, on a budget without end
    elif budget and budget >= UNLIMITED:
        budget = cell.training_examples  # how far the seconds reach isn't known yet: an epoch
    spent, examples = budget or cell.batch_size, cell.training_examples
    return {
        "steps": max(1, spent // cell.batch_size),
        "epochs": math.ceil(spent / examples),
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
    """The optimizer over all parameters of a model that are trained, in its parameter groups where it has some.

    `facts` are what `run_facts` says of the training. Raises UserError where a group has no parameter of the model,
    or one that another group has, and Inapplicable where its partners would step everything.
    """
    if choice.reset:
        load_attribute(choice.reset)()
    constructor = load_attribute(choice.constructor)
    asked = {key: (facts or {}).get(fact, 1) for key, fact in choice.from_run.items()}
    given = {**asked, **choice.arguments, **hyperparameters}
    given = {key: value for key, value in given.items() if key not in SCHEDULE_HYPERPARAMETERS}
    if not choice.groups:
        return constructor([p for p in model.parameters() if p.requires_grad], **given)
    common = {key: value for key, value in given.items() if "." not in key}
    found = members(choice.label, choice.groups, model)
    parts = {name: list(parameters.values()) for name, parameters in found.items()}
    own = {
        name: {key.partition(".")[2]: value for key, value in given.items() if key.partition(".")[0] == name}
        for name in choice.groups
    }
    groups = [{"params": parts.pop("")}, *({"params": parts[name], **own[name]} for name in _plain_groups(choice))]
    groups = [group for group in groups if group["params"]]
    if not groups:
        said = {name: text if isinstance(text, str) else ", ".join(text) for name, text in choice.groups.items()}
        where = ", ".join(f"{name} ({said[name]})" for name in parts)
        raise Inapplicable(f"{choice.label} has nothing to step here: all parameters are in {where}")
    shared = {key: common[key] for key in SHARED_WITH_PARTNERS if key in common}
    partners = [
        load_attribute(target)(parts[name], **{**_accepted(target, shared), **own[name]})
        for name, target in choice.partners.items()
        if parts[name]
    ]
    optimizer = constructor(groups, **common)
    return combined([optimizer, *partners]) if partners else optimizer


def _plain_groups(choice: OptimizerChoice) -> list[str]:
    """The groups that the optimizer's own class steps."""
    return [name for name in choice.groups if name not in choice.partners]


def _accepted(target: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that a constructor has."""
    known = inspect.signature(load_attribute(target)).parameters
    return {key: value for key, value in arguments.items() if key in known}


def constructed_hyperparameters(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What the optimizer was constructed with, its class and module, as plain JSON values."""
    plain = _plain(optimizer.defaults)
    if isinstance(optimizer, Combined):
        plain["members"] = [_class(member) for member in optimizer.members]
    if len(optimizer.param_groups) > 1:
        plain["groups"] = [
            {"parameters": sum(p.numel() for p in group["params"])} | _plain(group) for group in optimizer.param_groups
        ]
    first = optimizer.members[0] if isinstance(optimizer, Combined) else optimizer
    package = type(first).__module__.partition(".")[0]
    return {"class": _class(first), "version": _version(package), **plain}


def _class(optimizer: torch.optim.Optimizer) -> str:
    return f"{type(optimizer).__module__}:{type(optimizer).__qualname__}"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that JSON knows."""
    known = (bool, int, float, str, type(None))
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if isinstance(value, known) or (isinstance(value, tuple) and all(isinstance(v, known) for v in value))
    }


@cache
def _version(package: str) -> str | None:
    """The version of the distribution that an imported package belongs to; None for a user's own file."""
    owners = packages_distributions().get(package, [])
    return version(owners[0]) if owners else None


def state_bytes(optimizer: torch.optim.Optimizer, replicas: int = 1) -> int:
    """Bytes of all tensors in the optimizer's state, each storage counted once.

    Of an optimizer that steps several stacked replicas, what one of them takes: its share of what is
    stacked, and all of what is common, such as a count of steps.
    """
    storages = {tensor.untyped_storage().data_ptr(): tensor for tensor in _tensors(optimizer.state)}
    return sum(
        tensor.untyped_storage().nbytes() // (replicas if tensor.dim() and len(tensor) == replicas else 1)
        for tensor in storages.values()
    )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
