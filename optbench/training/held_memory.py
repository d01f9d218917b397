"""Measures the memory that an optimizer holds, wherever it keeps it.

`optimizer.state` is not all of it: wrappers keep slow weights in lists, others keep momenta in dictionaries of NumPy
arrays, in closures, or in the optimizer that they wrap. So all that can be reached from the optimizer is visited.
"""

from __future__ import annotations

import array
import functools
import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

#: Fewest numbers in a list that count as held memory: shorter ones are settings such as betas.
_FEWEST_NUMBERS = 16
#: The trainings to which an optimizer may keep a reference, such as the closure of its last step, and libraries whose
#: objects hold no memory of an optimizer, except for the classes below.
_FOREIGN = ("optbench.training", "torch", "numpy")
_CONTAINERS = (torch.optim.Optimizer, nn.Module, torch.optim.lr_scheduler.LRScheduler)


def state_bytes(optimizer: torch.optim.Optimizer, replicas: int = 1) -> int | None:
    """Returns the size in bytes of what an optimizer holds in addition to the parameters and their gradients.

    Counted are tensors, NumPy arrays, buffers of bytes and long lists of numbers, each storage once, that can be
    reached from the optimizer: through attributes, containers, wrapped optimizers, bound methods, closures, and the
    classes and global variables of its own code.

    Args:
        optimizer: The optimizer.
        replicas: Number of stacked replicas that it steps. The result is then the size for one replica: its share of
            stacked arrays, and all of common ones such as a step counter.

    Returns:
        The size; None if something that it holds can't be measured.
    """
    try:
        return _measure(optimizer, replicas)
    except Exception:  # an object of a user's code that does not let itself be visited
        return None


def _measure(optimizer: torch.optim.Optimizer, replicas: int) -> int:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    values = [value for group in (*optimizer.param_groups, optimizer.defaults) for value in group.values()]
    settings = [value for value in values if isinstance(value, Tensor) and not value.dim()]  # such as a rate
    known = [tensor for p in parameters for tensor in (p, p.grad) if tensor is not None] + settings
    ignored = {key for tensor in known for key, _, _ in _storages(tensor)}
    sizes: dict[int, int] = {}
    for held in _reach(optimizer):
        for key, size, length in _storages(held):
            if key not in ignored:
                sizes[key] = size // (replicas if length == replicas else 1)
    return sum(sizes.values())


def _storages(held: Any) -> Iterator[tuple[int, int, int]]:
    """Yields the address and the size in bytes of each storage, and the length of its first dimension."""
    if isinstance(held, Tensor):
        if is_traceable_wrapper_subclass(held):  # such as quantised states
            for name in held.__tensor_flatten__()[0]:
                yield from _storages(getattr(held, name))
        elif held.is_sparse:
            for part in (held._indices(), held._values()):
                yield from _storages(part)
        elif not held.is_meta:
            storage = held.untyped_storage()
            yield storage.data_ptr(), storage.nbytes(), len(held) if held.dim() else 0
    elif isinstance(held, np.ndarray):
        owner: Any = held
        while isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        if isinstance(owner, Tensor):
            yield from _storages(owner)
        else:
            whole = owner if isinstance(owner, np.ndarray) else held
            yield whole.__array_interface__["data"][0], whole.nbytes, len(held) if held.ndim else 0
    elif isinstance(held, list):
        yield id(held), sys.getsizeof(held) + sum(map(sys.getsizeof, held)), len(held)
    else:
        yield id(held), memoryview(held).nbytes, 0


def _reach(optimizer: torch.optim.Optimizer) -> Iterator[Any]:
    """Yields everything with a storage that can be reached from the optimizer, each object once."""
    waiting: deque[Any] = deque([optimizer, optimizer.state, optimizer.param_groups])
    seen: dict[int, Any] = {}  # with the objects, so that none is replaced by another one of the same id
    while waiting:
        found = waiting.popleft()
        if id(found) in seen:
            continue
        seen[id(found)] = found
        if isinstance(found, (Tensor, np.ndarray, bytes, bytearray, array.array)) or _is_long(found):
            yield found
        waiting.extend(_members(found))


def _is_long(found: Any) -> bool:
    """Whether it is a list of so many numbers that they count."""
    return isinstance(found, list) and len(found) >= _FEWEST_NUMBERS and all(isinstance(x, (int, float)) for x in found)


def _members(found: Any) -> Iterable[Any]:
    """Returns the objects that an object refers to."""
    if isinstance(found, (str, int, float, bytes, bytearray, array.array, ModuleType)):
        return []
    if isinstance(found, Tensor):
        return [*([found.grad] if found.is_leaf else []), *getattr(found, "__dict__", {}).values()]
    if isinstance(found, np.ndarray):
        return found.ravel().tolist() if found.dtype == object else []
    if isinstance(found, memoryview):
        return [found.obj]
    if isinstance(found, Mapping):
        return [*found.keys(), *found.values(), *getattr(found, "__dict__", {}).values()]
    if isinstance(found, (list, tuple, AbstractSet, deque)):
        return found
    if isinstance(found, functools.partial):
        return [found.func, *found.args, *found.keywords.values()]
    if isinstance(found, MethodType):
        return [found.__self__, found.__func__]
    if isinstance(found, GeneratorType):
        return [*inspect.getgeneratorlocals(found).values()]
    if isinstance(found, FunctionType):
        return [] if _is_foreign(found.__module__) else _function_members(found)
    if isinstance(found, type):
        return [] if _is_foreign(found.__module__) else [*vars(found).values()]
    if isinstance(found, (staticmethod, classmethod)):
        return [found.__func__]
    if isinstance(found, property):
        return [found.fget, found.fset]
    if _is_in(type(found).__module__, _FOREIGN) and not isinstance(found, _CONTAINERS):
        return []
    slots = [name for own in type(found).__mro__ for name in _slots(own) if hasattr(found, name)]
    return [*getattr(found, "__dict__", {}).values(), *(getattr(found, name) for name in slots), *_own_classes(found)]


def _own_classes(found: Any) -> list[type]:
    return [own for own in type(found).__mro__ if not _is_foreign(own.__module__)]


def _slots(own: type) -> Iterable[str]:
    slots = own.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else slots


def _function_members(function: Callable[..., Any]) -> list[Any]:
    """Returns what a function keeps: defaults, variables of its closure, and global variables that it reads."""
    assert isinstance(function, FunctionType)
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    names = [name for name in function.__code__.co_names if name in function.__globals__]
    own = [function.__globals__[name] for name in names]
    data = [value for value in own if isinstance(value, (Tensor, np.ndarray, Mapping, list, deque, bytearray))]
    others = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *vars(function).values()]
    return [*cells, *data, *others]


def _is_foreign(module: str | None) -> bool:
    """Whether functions and classes of a module are not an optimizer's own code."""
    return (module or "").partition(".")[0] in sys.stdlib_module_names or _is_in(module, _FOREIGN)


def _is_in(module: str | None, packages: Iterable[str]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)
