"""Finds optimizers by name: built in, in a file, in a package, or by entry point.

Names map to `module:Attribute`, so that nothing is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from optbench.errors import UserError
from optbench.importing import load_attribute, plugin_targets, registered_target, source_digest
from optbench.optimizers.builtin import BUILT_IN
from optbench.optimizers.signature import spec_of
from optbench.optimizers.spec import OptimizerSpec
from optbench.optimizers.zoo import ZOO

REGISTERED_OPTIMIZERS = {**BUILT_IN, **ZOO}


def optimizer_names() -> dict[str, str]:
    """The names of all optimizers, built in and by entry point, with where they are implemented."""
    known = {name: spec.constructor for name, spec in REGISTERED_OPTIMIZERS.items()}
    return {**known, **plugin_targets("optbench.optimizers")}


def optimizer_spec(name: str, lr: float | None = None, given: Iterable[str] = ()) -> OptimizerSpec:
    """The spec of an optimizer; one that is only a class gets a spec from its signature.

    `lr` stands for a default learning rate, and `given` names arguments, that the class need not have
    defaults for. Raises UserError where there is no such optimizer or it can't be used.
    """
    if ":" not in name:
        if name in REGISTERED_OPTIMIZERS:
            return REGISTERED_OPTIMIZERS[name]
        name = registered_target("optimizer", "optbench.optimizers", dict.fromkeys(REGISTERED_OPTIMIZERS, ""), name)
    found = load_attribute(name)
    if isinstance(found, OptimizerSpec):
        return found
    if not callable(found):
        raise UserError(f"{name} is no optimizer (accepted: a class or function called as f(params, lr=…))")
    return spec_of(name, found, lr, set(given))


def counts(default: Any, low: float, high: float) -> bool:
    """Whether a hyperparameter that is searched from `low` to `high` counts something, and so takes whole numbers only.

    Its default is a whole number then. Torch also writes 0.0 and 1.0 as 0 and 1, so with such a default the bounds
    decide: whole numbers of which the larger one is above 1.
    """
    if not isinstance(default, int) or isinstance(default, bool):
        return False
    return default > 1 or (low >= 1 and high >= 2 and float(low).is_integer() and float(high).is_integer())


def code_version(spec: OptimizerSpec) -> str:
    """Of what version an optimizer's code is, for the identity of its cells: nothing for torch's own, whose version
    the environment records; that of its package; of a user's own the digest of the file.

    Raises UserError where its package isn't installed.
    """
    parts = []
    if spec.package:
        parts.append(f"{spec.package} {installed(spec)}")
    for target in dict.fromkeys(filter(None, (spec.constructor, *spec.partners.values(), spec.reset))):
        root = target.partition(":")[0].partition(".")[0]
        if not target.startswith("torch.optim:") and root != spec.package.replace("-", "_"):
            parts.append(source_digest(target))
    return " ".join(parts)


def installed(spec: OptimizerSpec) -> str:
    """The version of the package that an optimizer needs; raises UserError where it isn't there."""
    try:
        return version(spec.package)
    except PackageNotFoundError:
        wanted = f"optbench[{spec.extra}]" if spec.extra else spec.package
        raise UserError(
            f"optimizer {spec.name} needs the package {spec.package}, which is not installed: pip install '{wanted}'"
        ) from None
