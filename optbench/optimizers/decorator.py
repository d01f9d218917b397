"""The decorator `@optbench.optimizer(…)`, by which a class says what its signature can't."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from optbench.errors import UserError
from optbench.optimizers.search_space import Choices, Range

_Factory = TypeVar("_Factory", bound=Callable[..., Any])

#: A range or list, or in short: (low, high) on a logarithmic scale, [value, value, …].
Searched = Range | Choices | tuple[float, float] | list[Any]

#: Where a class carries what its decorator says.
ATTRIBUTE = "__optbench__"


def optimizer(
    *,
    name: str | None = None,
    lr: Range | tuple[float, float] | Literal[False] | None = None,
    search: Mapping[str, Searched] | None = None,
    arguments: Mapping[str, Any] | None = None,
    groups: Mapping[str, str | Sequence[str]] | None = None,
    partners: Mapping[str, str] | None = None,
    from_run: Mapping[str, str] | None = None,
    needs_closure: bool | None = None,
    second_backward: bool | None = None,
    reset: str | None = None,
    family: Literal["sgd", "adaptive", "quasi-newton"] | None = None,
    follows_curvature: bool | None = None,
    linear_in_rate: bool | None = None,
    contiguous_parameters: bool | None = None,
    waived: Mapping[str, str] | None = None,
    rule: str | None = None,
    source: str | None = None,
) -> Callable[[_Factory], _Factory]:
    """Says of an optimizer's class, or of a function that makes one, what optbench can't see in its signature.

    The class stays as it is. What isn't said is detected, as without a decorator: hyperparameters and their
    defaults, a `step` that requires a closure, arguments such as `total_steps`.

    `lr` is the range of the learning rate, or False for one that is never tuned: without `search` the optimizer is
    then tuned for nothing and charged nothing. `search` are further ranges by hyperparameter: a `Range`, `Choices`,
    or in short (low, high) on a logarithmic scale and [value, …]. All else is as in `OptimizerSpec`. Mistakes are
    found where the optimizer is chosen, as UserError.

        @optbench.optimizer(lr=(1e-6, 1e-2), search={"weight_decay": (1e-4, 1.0)}, source="Chen et al. (2023)")
        class Lion(torch.optim.Optimizer): ...
    """
    said = {
        "name": name, "arguments": arguments, "partners": partners, "from_run": from_run,
        "needs_closure": needs_closure, "second_backward": second_backward, "reset": reset, "family": family,
        "follows_curvature": follows_curvature, "linear_in_rate": linear_in_rate,
        "contiguous_parameters": contiguous_parameters, "waived": waived, "rule": rule, "source": source,
    }  # fmt: skip
    settings: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
    if lr is not None:
        settings["learning_rate"] = None if lr is False else _searched(lr)
    if search:
        settings["search"] = {key: _searched(value) for key, value in search.items()}
    if groups:
        settings["groups"] = {key: of if isinstance(of, str) else tuple(of) for key, of in groups.items()}

    def decorated(factory: _Factory) -> _Factory:
        setattr(factory, ATTRIBUTE, settings)
        return factory

    return decorated


def settings_of(factory: Any) -> Mapping[str, Any]:
    """What the decorator of a class or function says; nothing for one without, and for a subclass of one with."""
    found: Mapping[str, Any] = vars(factory).get(ATTRIBUTE, {}) if hasattr(factory, "__dict__") else {}
    return found


def target(thing: Any) -> str:
    """`module:Name` or `file.py:Name` of a class or function, by which worker processes find it too.

    Raises UserError for one that is in no file, or not at the top level of it.
    """
    name: str = getattr(thing, "__qualname__", "")
    module = sys.modules.get(getattr(thing, "__module__", ""))
    if module is None or not name or "." in name or getattr(module, name, None) is not thing:
        raise UserError(f"{name or thing!r} can't be found by its name (accepted: a class at the top level of a file)")
    if module.__name__ not in ("__main__", "__mp_main__") and not module.__name__.startswith("optbench_file_"):
        return f"{module.__name__}:{name}"
    try:
        file = Path(inspect.getfile(cast(type, thing))).resolve()
    except (TypeError, OSError):
        file = Path()
    if file.suffix != ".py":
        raise UserError(f"{name} is in no file, so that workers can't import it; put it into one, FILE.py:{name}")
    return f"{file}:{name}"


def _searched(value: Searched) -> Range | Choices:
    match value:
        case tuple():
            return Range(*value)
        case list():
            return Choices(tuple(value))
        case _:
            return value
