"""Finds hyperparameters without effect: a few steps with random gradients, before anything is computed.

An optimizer may drop a hyperparameter silently: one that uses only the signs of gradients isn't changed by clipping,
one that updates a group of parameters may have no weight decay, and dampening without momentum does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from copy import deepcopy
from io import StringIO
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from optbench.optimizers.additions import AVERAGING, CLIPPING
from optbench.optimizers.decay import DECAY_PER_STEP, WEIGHT_DECAY
from optbench.optimizers.parameter_groups import split_parameters
from optbench.optimizers.search_space import Choices, Range
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS
from optbench.planning.optimizer_choice import OptimizerChoice
from optbench.selection import format_value
from optbench.training.clipping import Clipping
from optbench.training.construct import make_optimizer

#: Steps that are compared. The first gradients are the largest, by about this factor from one step to the next.
STEPS, FALL = 8, 0.5
#: Models with more parameters are left out.
MOST = 1_000_000
#: Points of the search space at which a hyperparameter is tried, in addition to the defaults of the others.
POINTS = 3
#: Values between which these differ visibly, whatever the values of the search.
_OFF_AND_ON = {WEIGHT_DECAY: (0.0, 0.1), DECAY_PER_STEP: (0.0, 0.1)} | dict.fromkeys(CLIPPING, (0.0, 1.0))


def describe_idle(choice: OptimizerChoice, model: nn.Module) -> list[str]:
    """Returns a note for each searched hyperparameter, or weight decay or clipping that is set, with no effect.

    A note names the group if the hyperparameter has no effect on one group of parameters alone, which another class
    updates. Hyperparameters with a condition are left out, and so are optimizers with code of the user, with a closure
    or with a second backward pass.

    Args:
        choice: The optimizer.
        model: A model that its groups fit; it is not changed.
    """
    size = sum(parameter.numel() for parameter in model.parameters())
    if choice.has_own_code or choice.needs_closure or choice.second_backward or size > MOST:
        return []
    groups = _groups(choice, model)
    notes = []
    for name, values in _tried_values(choice).items():
        moved = _moved_groups(choice, model, groups, name, values)
        if moved is None:
            continue
        tested = f"the first {STEPS} steps with random gradients are the same with {_either(values)}"
        if not moved:
            notes.append(f"{name} of optimizer {choice.label} has no effect ({tested})")
        elif name in _OFF_AND_ON:
            notes += [
                f"{name} of optimizer {choice.label} has no effect on {where} ({tested})"
                for group in groups.keys() - moved
                if (where := _place(choice, group, name))
            ]
    return sorted(notes)


def _groups(choice: OptimizerChoice, model: nn.Module) -> dict[str, list[str]]:
    """The names of the parameters of each group that has some; "" is the group of all others."""
    if not choice.groups:
        return {"": [name for name, _ in model.named_parameters()]}
    members = split_parameters(choice.label, choice.groups, model)
    return {group: [*parameters] for group, parameters in members.items() if parameters}


def _tried_values(choice: OptimizerChoice) -> dict[str, Sequence[Any]]:
    """The searched hyperparameters, and weight decay and clipping that are set, with values that should differ."""
    values: dict[str, Sequence[Any]] = {}
    for name in {**choice.arguments, **choice.search}:
        tried, own = choice.search.get(name), name.rpartition(".")[2]
        if own in _OFF_AND_ON and (own not in CLIPPING or name in choice.added):
            if tried is not None or choice.arguments[name]:
                values[name] = _OFF_AND_ON[own]
        elif tried is not None and not tried.when and own not in ("lr", *SCHEDULE_HYPERPARAMETERS, *AVERAGING):
            values[name] = tried.bounds
    return values


def _moved_groups(
    choice: OptimizerChoice, model: nn.Module, groups: Mapping[str, Sequence[str]], name: str, values: Sequence[Any]
) -> set[str] | None:
    """The groups whose parameters depend on a hyperparameter at one point at least; None if no training succeeds."""
    moved: set[str] | None = None
    for point in _points(choice.search, choice.defaults):
        # Some values may not fit together; those of a cell fail there. Some constructors print what they do.
        with suppress(Exception), redirect_stdout(StringIO()):
            first, *others = [_train(choice, model, {**point, name: value}) for value in values]
            moved = (moved or set()) | {
                group
                for group, members in groups.items()
                for other in others
                if any(not torch.equal(first[member], other[member]) for member in members)
            }
    return moved


def _points(space: Mapping[str, Range | Choices], defaults: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The defaults, and random points: one value may have an effect only with others, as dampening with momentum."""
    yield dict(defaults)
    random = Random(0)
    for _ in range(POINTS if len(space) > 1 else 0):
        yield {**defaults, **{name: tried.at(random.random()) for name, tried in space.items() if not tried.when}}


def _train(choice: OptimizerChoice, model: nn.Module, hyperparameters: Mapping[str, Any]) -> dict[str, Tensor]:
    """The parameters after a few steps with random gradients, which are the same for all hyperparameters."""
    model = deepcopy(model).double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        optimizer = make_optimizer(choice, model, hyperparameters)
        if callable(train := getattr(optimizer, "train", None)):
            train()
        added = choice.additions(hyperparameters)
        clipping = Clipping(added["clip_norm"], added["clip_value"])
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for step in range(STEPS):
            torch.manual_seed(step)
            for parameter in trained:
                parameter.grad = 10 * FALL**step * torch.randn_like(parameter)
            clipping.clip(trained)
            optimizer.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def _place(choice: OptimizerChoice, group: str, name: str) -> str:
    """A group in words; empty if it has a value of its own, or belongs to the class of the optimizer itself."""
    if f"{group}.{name}" in {**choice.arguments, **choice.search} or "." in name:
        return ""
    if not group:
        return f"the parameters that {choice.constructor} updates"
    return f"group {group}, which {choice.partners[group]} updates" if group in choice.partners else ""


def _either(values: Sequence[Any]) -> str:
    return " and ".join(map(format_value, values))
