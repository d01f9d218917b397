"""Checks that models of different seeds differ only in parameters and buffers, so that they can be stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

#: Attributes that are stacked, or contain modules that are compared separately.
_REGISTERED = {"_parameters", "_buffers", "_modules"}


def find_difference(models: Sequence[nn.Module]) -> str:
    """Describes why models can't be stacked; returns "" if only their parameters and buffers differ.

    After stacking, all replicas would use the first model's unregistered tensors, arrays, numbers and strings, and its
    layers. Functions and other objects are not compared.

    Args:
        models: Models of the same problem with different seeds.
    """
    first = dict(models[0].named_modules())
    for model in models[1:]:
        other = dict(model.named_modules())
        if first.keys() != other.keys():
            return "the layers of the model depend on the seed"
        for name, module in first.items():
            if type(module) is not type(other[name]):
                return f"the class of {name or 'the model'} depends on the seed, or is defined in model()"
            ours, theirs = vars(module), vars(other[name])
            for attribute in (ours.keys() | theirs.keys()) - _REGISTERED:
                if not _equal(ours.get(attribute), theirs.get(attribute)):
                    where = f"{name}.{attribute}" if name else attribute
                    return f"{where} depends on the seed but is neither a parameter nor a buffer"
    return ""


def _equal(ours: Any, theirs: Any) -> bool:
    if type(ours) is not type(theirs):
        return False
    match ours:
        case Tensor():
            return ours.shape == theirs.shape and ours.dtype == theirs.dtype and torch.equal(ours, theirs)
        case np.ndarray():
            return np.array_equal(ours, theirs)
        case Mapping():
            return ours.keys() == theirs.keys() and all(_equal(ours[key], theirs[key]) for key in ours)
        case list() | tuple():
            return len(ours) == len(theirs) and all(map(_equal, ours, theirs))
        case np.generic() | int() | float() | complex() | str() | bytes():
            return bool(ours == theirs)
        case _:
            return True
