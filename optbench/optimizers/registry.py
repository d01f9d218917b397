"""Looks up optimizers by name: built in, from a file, from a package, or from an entry point.

Names map to `module:Attribute`, so that nothing is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from optbench.errors import UserError
from optbench.importing import find_target, load_attribute, plugin_targets, source_digest
from optbench.optimizers.additions import ADDITIONS
from optbench.optimizers.builtin import BUILT_IN
from optbench.optimizers.signature import infer_spec
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS, OptimizerSpec
from optbench.optimizers.zoo import ZOO

REGISTERED_OPTIMIZERS = {**BUILT_IN, **ZOO}


def optimizer_names() -> dict[str, str]:
    """Return the names of all optimizers, built in and from entry points, with their targets `module:Attribute`."""
    built_in = {name: spec.constructor for name, spec in REGISTERED_OPTIMIZERS.items()}
    return {**built_in, **plugin_targets("optbench.optimizers")}


def optimizer_spec(name: str, lr: float | None = None, given: Iterable[str] = ()) -> OptimizerSpec:
    """Look up the spec of an optimizer; the spec of a plain class is inferred from its signature.

    Args:
        name: A registered name, `module:Attribute` or `file.py:Attribute`.
        lr: The learning rate to use if the class has no default.
        given: Arguments that will be set, so that they need no default.

    Raises:
        UserError: If there is no such optimizer or it can't be used.
    """
    if ":" not in name:
        if name in REGISTERED_OPTIMIZERS:
            return REGISTERED_OPTIMIZERS[name]
        name = find_target("optimizer", "optbench.optimizers", dict.fromkeys(REGISTERED_OPTIMIZERS, ""), name)
    optimizer = load_attribute(name)
    if isinstance(optimizer, OptimizerSpec):
        return optimizer
    if not callable(optimizer):
        raise UserError(f"{name} is not an optimizer (accepted: a class or function called as f(params, lr=…))")
    return infer_spec(name, optimizer, lr, set(given))


def underlying(spec: OptimizerSpec) -> str:
    """Return the name of the optimizer that a spec is a variant of, by which tables put variants side by side.

    That is what a TOML table declares, otherwise the registered optimizer of the same class. Of those that share a
    class, as `sgd`, `momentum` and `nesterov` do, it is the one with the most arguments in common. What optbench itself
    applies does not count: AdamW with a schedule is AdamW. Optimizers without a registered one are their own.

    Args:
        spec: A spec.

    >>> underlying(REGISTERED_OPTIMIZERS["adamw_scheduled"])
    'adamw'
    """
    if spec.base:
        return spec.base
    alike = {
        name: own
        for name, one in REGISTERED_OPTIMIZERS.items()
        if (one.constructor, one.partners) == (spec.constructor, spec.partners)
        for own in [one.arguments.keys() - SCHEDULE_HYPERPARAMETERS.keys() - ADDITIONS.keys()]
    }
    shared = {
        name: len(own)
        for name, own in alike.items()
        if len(alike) == 1
        or all(key in spec.search or bool(spec.arguments.get(key)) == bool(_registered(name, key)) for key in own)
    }
    return max(shared, key=shared.__getitem__, default=spec.name)


def _registered(name: str, argument: str) -> Any:
    return REGISTERED_OPTIMIZERS[name].arguments[argument]


def is_count(default: Any, low: float, high: float) -> bool:
    """Whether a hyperparameter that is searched from `low` to `high` is a count, so that only integers are tried.

    The default of a count is an integer. Torch also writes the floats 0.0 and 1.0 as 0 and 1, so for these defaults
    the bounds decide: both have to be integers, and the upper one above 1.
    """
    if not isinstance(default, int) or isinstance(default, bool):
        return False
    return default > 1 or (low >= 1 and high >= 2 and float(low).is_integer() and float(high).is_integer())


class Code(Protocol):
    """What names the code of an optimizer: an `OptimizerSpec`, or the optimizer of a cell."""

    @property
    def name(self) -> str: ...
    @property
    def constructor(self) -> str: ...
    @property
    def partners(self) -> Mapping[str, str]: ...
    @property
    def reset(self) -> str: ...
    @property
    def package(self) -> str: ...


def code_targets(code: Code) -> list[str]:
    """Return the targets `module:Attribute` of an optimizer's code whose source determines its results.

    Torch's own optimizers are left out (the environment records torch's version), and so is the code of its package.
    """
    targets = dict.fromkeys(filter(None, (code.constructor, *code.partners.values(), code.reset)))
    package = code.package.replace("-", "_")
    return [t for t in targets if not t.startswith("torch.optim:") and t.partition(":")[0].partition(".")[0] != package]


def code_version(code: Code) -> str:
    """Return the version of an optimizer's code, for the identity of its cells.

    It consists of the version of its package, and of the digests of its `code_targets`.

    Raises:
        UserError: If the optimizer's package is not installed, or if its code can't be imported.
    """
    package = [f"{code.package} {package_version(code)}"] if code.package else []
    return " ".join([*package, *map(source_digest, code_targets(code))])


def package_version(code: Code) -> str:
    """Return the installed version of the package that an optimizer needs.

    Raises:
        UserError: If the package is not installed.
    """
    try:
        return version(code.package)
    except PackageNotFoundError:
        extras = (spec.extra for spec in REGISTERED_OPTIMIZERS.values() if spec.package == code.package and spec.extra)
        extra = next(extras, "")
        wanted = f"optbench[{extra}]" if extra else code.package
        raise UserError(
            f"optimizer {code.name} needs the package {code.package}, which is not installed: pip install '{wanted}'"
        ) from None
