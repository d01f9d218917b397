"""The decorator `@optbench.optimizer(…)`, which declares what the signature of an optimizer class does not show."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from optbench.errors import UserError
from optbench.optimizers.search_space import Choices, Range

_Factory = TypeVar("_Factory", bound=Callable[..., Any])

#: A search space of one hyperparameter, or its short form: (low, high) on a logarithmic scale, or [value, value, …].
SearchDeclaration = Range | Choices | tuple[float, float] | list[Any]

#: The attribute in which the decorator stores its settings.
ATTRIBUTE = "__optbench__"


def optimizer(
    *,
    name: str | None = None,
    lr: Range | tuple[float, float] | Literal[False] | None = None,
    search: Mapping[str, SearchDeclaration] | None = None,
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
    """Declare properties of an optimizer class, or of a function that constructs one, for optbench.

    The class itself is not changed. Everything that is not declared is detected from the class, as without a decorator:
    hyperparameters and their defaults, a `step` that requires a closure, arguments such as `total_steps`.

    `lr` is the search range of the learning rate, or False if the learning rate is never tuned; without `search`
    there is then no tuning, and no tuning cost is charged. `search` maps further hyperparameters to their search
    spaces: a `Range`, `Choices`, or the short forms (low, high) on a logarithmic scale and [value, …]. The other
    arguments are the fields of `OptimizerSpec`. Mistakes raise a UserError when the optimizer is selected.

        @optbench.optimizer(lr=(1e-6, 1e-2), search={"weight_decay": (1e-4, 1.0)}, source="Chen et al. (2023)")
        class Lion(torch.optim.Optimizer): ...
    """
    declared = {
        "name": name, "arguments": arguments, "partners": partners, "from_run": from_run,
        "needs_closure": needs_closure, "second_backward": second_backward, "reset": reset, "family": family,
        "follows_curvature": follows_curvature, "linear_in_rate": linear_in_rate,
        "contiguous_parameters": contiguous_parameters, "waived": waived, "rule": rule, "source": source,
    }  # fmt: skip
    settings: dict[str, Any] = {key: value for key, value in declared.items() if value is not None}
    if lr is not None:
        settings["learning_rate"] = None if lr is False else _search_space(lr)
    if search:
        settings["search"] = {key: _search_space(value) for key, value in search.items()}
    if groups:
        settings["groups"] = {key: of if isinstance(of, str) else tuple(of) for key, of in groups.items()}

    def decorate(factory: _Factory) -> _Factory:
        setattr(factory, ATTRIBUTE, settings)
        return factory

    return decorate


def decorator_settings(factory: Any) -> Mapping[str, Any]:
    """Return the settings from the decorator of a class or function; empty if it has none. They are not inherited."""
    settings: Mapping[str, Any] = vars(factory).get(ATTRIBUTE, {}) if hasattr(factory, "__dict__") else {}
    return settings


def target_name(thing: Any) -> str:
    """Return the name `module:Name` or `file.py:Name` by which worker processes can import a class or function.

    Raises:
        UserError: If it is not defined at the top level of a file.
    """
    name: str = getattr(thing, "__qualname__", "")
    module = sys.modules.get(getattr(thing, "__module__", ""))
    if module is None or not name or "." in name or getattr(module, name, None) is not thing:
        raise UserError(f"{name or thing!r} can't be imported by name (accepted: a class at the top level of a file)")
    if module.__name__ not in ("__main__", "__mp_main__") and not module.__name__.startswith("optbench_file_"):
        return f"{module.__name__}:{name}"
    try:
        file = Path(inspect.getfile(cast(type, thing))).resolve()
    except (TypeError, OSError):
        file = Path()
    if file.suffix != ".py":
        raise UserError(f"{name} is not defined in a file, so workers can't import it (accepted: FILE.py:{name})")
    return f"{file}:{name}"


def _search_space(value: SearchDeclaration) -> Range | Choices:
    """Expand the short forms of a search space."""
    match value:
        case tuple():
            return Range(*value)
        case list():
            return Choices(tuple(value))
        case _:
            return value
