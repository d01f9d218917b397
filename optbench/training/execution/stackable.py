"""Whether models of different seeds differ in what stacking carries, and in nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

#: These are stacked, or are modules that are looked at themselves.
_REGISTERED = {"_parameters", "_buffers", "_modules"}


def difference(models: Sequence[nn.Module]) -> str:
    """What of the models can't be stacked, as a text; empty where parameters and buffers are all that differs.

    A tensor, array, number or text that hangs on a module without being registered would be the first
    replica's in all of them, and so would a layer that depends on the seed. Functions, and objects of other
    kinds, are not compared.
    """
    first = dict(models[0].named_modules())
    for model in models[1:]:
        other = dict(model.named_modules())
        if first.keys() != other.keys():
            return "the model has other layers for another seed"
        for name, module in first.items():
            if type(module) is not type(other[name]):
                return f"{name or 'the model'} is of another class for another seed, or of one defined in model()"
            ours, theirs = vars(module), vars(other[name])
            for attribute in (ours.keys() | theirs.keys()) - _REGISTERED:
                if not _equal(ours.get(attribute), theirs.get(attribute)):
                    where = f"{name}.{attribute}" if name else attribute
                    return f"{where} depends on the seed, and is neither a parameter nor a buffer"
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
