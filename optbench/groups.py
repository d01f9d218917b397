"""Which parameters of a model are in which parameter group, by patterns of their names or by rules."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from torch import nn

from optbench.errors import UserError, unknown
from optbench.rules import facts, rule


def members(
    label: str, groups: Mapping[str, tuple[str, ...] | str], model: nn.Module
) -> dict[str, dict[str, nn.Parameter]]:
    """The trained parameters by group and name; those of no group first, under an empty name.

    Patterns have to fit some parameter; a rule may find none. Raises UserError where patterns don't, and for a
    parameter that two groups have. `label` is the optimizer, for the message.
    """
    rest = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    known, found = facts(model), {}
    for group, members_are in groups.items():
        if isinstance(members_are, str):
            own = [name for name in known if rule(members_are)(known[name])]
        else:
            own = [name for name in known if any(fnmatchcase(name, pattern) for pattern in members_are)]
            if not own:
                raise unknown(f"parameters of group {group} of {label}", ", ".join(members_are), known)
        shared = [name for name in own if name not in rest]
        if shared:
            raise UserError(f"parameter {shared[0]} is in group {group} of {label} and in another one")
        found[group] = {name: rest.pop(name) for name in own}
    return {"": rest, **found}
