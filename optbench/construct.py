"""Makes the model and the optimizer of a training from a cell and its hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import packages_distributions, version
from typing import Any

import torch
from torch import Tensor, nn

from optbench.errors import UserError, unknown
from optbench.matrix import Cell, OptimizerChoice
from optbench.problem import Problem
from optbench.registry import load_attribute
from optbench.seeds import derive


def make_model(problem: Problem, cell: Cell, seed: int) -> nn.Module:
    """The model with the initial weights of this seed, on the cell's device in its memory format."""
    torch.manual_seed(derive(seed, "initial weights"))
    model = problem.model().to(cell.device)
    if problem.channels_last and not cell.optimizer.contiguous_parameters:
        model = model.to(memory_format=torch.channels_last)
    return model


def make_optimizer(
    choice: OptimizerChoice, model: nn.Module, hyperparameters: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """The optimizer over all parameters of a model that are trained, in its parameter groups where it has some.

    Raises UserError where a group has no parameter of the model, or one that another group has.
    """
    constructor, given = load_attribute(choice.constructor), {**choice.arguments, **hyperparameters}
    if not choice.groups:
        return constructor([p for p in model.parameters() if p.requires_grad], **given)
    common = {key: value for key, value in given.items() if "." not in key}
    members = _members(choice, model)
    groups = [{"params": list(members.pop("").values())}]
    for name, parameters in members.items():
        own = {key.partition(".")[2]: value for key, value in given.items() if key.partition(".")[0] == name}
        groups.append({"params": list(parameters.values()), **own})
    return constructor([group for group in groups if group["params"]], **common)


def _members(choice: OptimizerChoice, model: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """The trained parameters by group and name; those of no group first, under an empty name."""
    rest = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    names, members = list(rest), {}
    for group, patterns in choice.groups.items():
        own = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
        shared = [name for name in own if name not in rest]
        if shared:
            raise UserError(f"parameter {shared[0]} is in group {group} of {choice.label} and in another one")
        if not own:
            raise unknown(f"parameters of group {group} of {choice.label}", ", ".join(patterns), names)
        members[group] = {name: rest.pop(name) for name in own}
    return {"": rest, **members}


def constructed_hyperparameters(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What the optimizer was constructed with, its class and module, as plain JSON values."""
    plain = _plain(optimizer.defaults)
    if len(optimizer.param_groups) > 1:
        plain["groups"] = [
            {"parameters": sum(p.numel() for p in group["params"])} | _plain(group) for group in optimizer.param_groups
        ]
    cls = type(optimizer)
    package = cls.__module__.partition(".")[0]
    return {"class": f"{cls.__module__}:{cls.__qualname__}", "version": _version(package), **plain}


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
