"""Finds problems and optimizers by name: built in, in a file, in a package, by entry point, or in TOML.

Names map to `module:Attribute`, so that nothing is imported before it is used.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Iterable, Mapping, Set
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from optbench.errors import UserError, one_line, out_of_range, unknown
from optbench.optimizers import BUILT_IN as BUILT_IN_OPTIMIZERS
from optbench.problem import Problem
from optbench.selection import format_value
from optbench.spec import OptimizerSpec, Range

if TYPE_CHECKING:
    from optbench.config import OptimizerTable, SearchRange

BUILT_IN_PROBLEMS = {
    "quadratic_valley": "optbench.problems.quadratic_valley:QuadraticValley",
    "rosenbrock": "optbench.problems.plane_functions:Rosenbrock",
    "rastrigin": "optbench.problems.plane_functions:Rastrigin",
    "beale": "optbench.problems.plane_functions:Beale",
    "mlp": "optbench.problems.mlp:Mlp",
    "mnist_cnn": "optbench.problems.mnist_cnn:MnistCnn",
    "cifar_resnet": "optbench.problems.cifar_resnet:CifarResnet",
    "frozen_features": "optbench.problems.frozen_features:FrozenFeatures",
}


def problem_class(name: str) -> type[Problem]:
    """The class of a problem; raises UserError where there is none or it can't be imported."""
    target = name if ":" in name else _named("problem", "optbench.problems", BUILT_IN_PROBLEMS, name)
    found = load_attribute(target)
    if not (isinstance(found, type) and issubclass(found, Problem) and is_dataclass(found)):
        raise UserError(f"{target} is no problem (accepted: a dataclass derived from optbench.Problem)")
    return found


def make_problem(name: str, parameters: Mapping[str, Any]) -> Problem:
    """A problem with parameters; raises UserError for unknown ones and values out of range."""
    cls = problem_class(name)
    defaults = {f.name: f.default for f in fields(cls) if f.init}
    converted: dict[str, Any] = {}
    for key, value in parameters.items():
        if key not in defaults:
            raise unknown(f"parameter of {name}", key, defaults)
        converted[key] = _like(f"{name}[{key}]", value, defaults[key])
    try:
        problem = cls(**converted)
        problem.check()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"problem {name} can't be made: {one_line(error)}") from error
    return problem


def optimizer_spec(name: str, lr: float | None = None, given: Iterable[str] = ()) -> OptimizerSpec:
    """The spec of an optimizer; one that is only a class gets a spec from its signature.

    `lr` stands for a default learning rate, and `given` names arguments, that the class need not have
    defaults for. Raises UserError where there is no such optimizer or it can't be used.
    """
    if ":" not in name:
        if name in BUILT_IN_OPTIMIZERS:
            return BUILT_IN_OPTIMIZERS[name]
        name = _named("optimizer", "optbench.optimizers", dict.fromkeys(BUILT_IN_OPTIMIZERS, ""), name)
    found = load_attribute(name)
    if isinstance(found, OptimizerSpec):
        return found
    if not callable(found):
        raise UserError(f"{name} is no optimizer (accepted: a class or function called as f(params, lr=…))")
    return _spec_from_signature(name, found, lr, set(given))


def described_optimizer(name: str, table: OptimizerTable) -> OptimizerSpec:
    """The spec of an optimizer that a TOML table describes; raises UserError where the table makes no sense."""
    origin = table.base or table.constructor
    if origin is None or (table.base and table.constructor):
        raise UserError(f"optimizer.{name} needs either base = NAME or class = 'module:Class'")
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.arguments.items()}
    base = optimizer_spec(origin, table.default_lr or arguments.get("lr"), arguments)
    search = _ranges(name, table.search, base)
    fixed = base.configured(arguments)  # refuses arguments that the class doesn't take
    switches: dict[str, Any] = {
        "needs_closure": table.needs_closure,
        "contiguous_parameters": table.contiguous_parameters,
    }
    described = replace(
        base,
        name=name,
        arguments=fixed.arguments,
        default_lr=fixed.default_lr if fixed.lr_fixed else table.default_lr or base.default_lr,
        # A learning rate among the arguments is where tuning starts, or fixed where no range is given.
        learning_rate=search.get("lr", None if fixed.lr_fixed else base.learning_rate),
        follows_curvature=base.follows_curvature and "lr" not in search,
        search={**base.search, **{key: found for key, found in search.items() if key != "lr"}},
        **{key: value for key, value in switches.items() if value is not None},
    )
    return _grouped(described, table) if table.groups else described


def _ranges(name: str, tables: Mapping[str, SearchRange], base: OptimizerSpec) -> dict[str, Range]:
    """The ranges of a table; raises UserError for a hyperparameter that the base doesn't have."""
    known = {*base.hyperparameters, *([] if base.default_lr is None else ["lr"])}
    for key in tables:
        if key not in known:
            raise unknown(f"hyperparameter of {name} to search", key, known)
    return {
        key: Range(r.low, r.high, r.scale == "log", whole=_counts(base.hyperparameters.get(key)))
        for key, r in tables.items()
    }


def _grouped(spec: OptimizerSpec, table: OptimizerTable) -> OptimizerSpec:
    """A described optimizer with the parameter groups of its table.

    What a group doesn't fix or search is as in the rest. Its searched hyperparameters start where the rest's do.
    """
    defaults = {**spec.hyperparameters, **spec.arguments, "lr": spec.default_lr}
    arguments, hyperparameters, search = dict(spec.arguments), dict(spec.hyperparameters), dict(spec.search)
    for group, entry in table.groups.items():
        if not group or "." in group:
            raise UserError(f"group {group!r} of {spec.name} has no proper name (accepted: a name without dots)")
        given = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.arguments.items()}
        fixed = spec.configured(given)
        own = {key: fixed.default_lr if key == "lr" else fixed.arguments[key] for key in given}
        ranges = _ranges(f"{spec.name}.{group}", entry.search, spec)
        arguments |= {f"{group}.{key}": value for key, value in own.items() if key not in ranges}
        hyperparameters |= {f"{group}.{key}": own.get(key, defaults.get(key)) for key in {**own, **ranges}}
        search |= {f"{group}.{key}": found for key, found in ranges.items()}
    groups = {group: entry.parameters for group, entry in table.groups.items()}
    return replace(spec, arguments=arguments, hyperparameters=hyperparameters, search=search, groups=groups)


def _counts(default: Any) -> bool:
    """Whether a hyperparameter counts something: its default is a whole number, and not 0 or 1, by which
    torch also writes 0.0 and 1.0.
    """
    return isinstance(default, int) and not isinstance(default, bool) and default > 1


def names(group: str) -> dict[str, str]:
    """All names of a group (`problems` or `optimizers`) with where they are implemented."""
    built_in = BUILT_IN_PROBLEMS if group == "problems" else {n: s.constructor for n, s in BUILT_IN_OPTIMIZERS.items()}
    return {**built_in, **{e.name: e.value for e in entry_points(group=f"optbench.{group}")}}


def source_digest(target: str) -> str:
    """A short hash of the file that implements `module:Attribute` or `file.py:Attribute`.

    Part of the identity of everything that optbench doesn't version itself, so that results of an
    edited file are not taken for those of the present one.
    """
    location = target.rpartition(":")[0]
    try:
        if not location.endswith(".py"):
            found = importlib.util.find_spec(location)
            if found is None or found.origin is None or not Path(found.origin).is_file():
                return ""
            location = found.origin
        return hashlib.sha256(Path(location).expanduser().read_bytes()).hexdigest()[:12]
    except (ImportError, ValueError, OSError) as error:
        raise UserError(f"{target} can't be found: {one_line(error)}") from None


def load_attribute(target: str) -> Any:
    """Imports `module:Attribute` or `file.py:Attribute`; raises UserError where that fails."""
    location, _, attribute = target.rpartition(":")
    try:
        module = _load_file(location) if location.endswith(".py") else importlib.import_module(location)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{location} can't be imported: {one_line(error)}") from error
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise unknown(f"name in {location}", attribute, public)
    return getattr(module, attribute)


def _load_file(location: str) -> ModuleType:
    path = Path(location).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{location} does not exist (accepted: file.py:Class or package.module:Class)")
    # One module a file and content, registered so that its classes can be pickled and inspected.
    name = f"optbench_file_{hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _named(what: str, group: str, built_in: Mapping[str, str], name: str) -> str:
    if name in built_in:
        return built_in[name]
    plugins = {entry.name: entry.value for entry in entry_points(group=group)}
    if name not in plugins:
        raise unknown(what, name, [*built_in, *plugins])
    return plugins[name]


def _spec_from_signature(target: str, factory: Any, lr: float | None, given: Set[str]) -> OptimizerSpec:
    try:
        parameters = list(inspect.signature(factory).parameters.values())[1:]
    except (ValueError, TypeError):
        raise UserError(f"{target} is no optimizer (accepted: a class or function called as f(params, lr=…))") from None
    named = {p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if "lr" in named:
        default = named.pop("lr")
        lr = _rate(lr) or _rate(default)
        if lr is None:
            raise UserError(f"{target} has no default learning rate; give it one, or default_lr in a TOML table")
    else:
        lr = None
    empty = inspect.Parameter.empty
    required = [key for key, default in named.items() if default is empty and key not in given]
    if required:
        raise UserError(f"{target} needs a value for {', '.join(required)}; give defaults, or a TOML table")
    step = inspect.signature(factory.step).parameters if hasattr(factory, "step") else {}
    closure = next((p for name, p in step.items() if name == "closure"), None)
    return OptimizerSpec(
        name=target.rpartition(":")[2],
        constructor=target,
        default_lr=lr,
        learning_rate=None if lr is None else Range(lr / 100, lr * 100),
        hyperparameters={key: None if default is empty else default for key, default in named.items()},
        needs_closure=closure is not None and closure.default is inspect.Parameter.empty,
        # Layouts that a custom optimizer's arithmetic may not expect are not tried on it.
        contiguous_parameters=True,
        rule=(inspect.getdoc(factory) or "").partition("\n")[0],
    )


def _rate(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 < value < math.inf else None


def _like(what: str, value: Any, default: Any) -> Any:
    """A parameter's value in the type of its default: 2 for 2.0 is meant as a float, and none may be a word."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise out_of_range(what, value, "true or false")
    elif isinstance(default, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise out_of_range(what, value, "a number")
        return float(value)
    elif isinstance(default, int):
        if isinstance(value, bool) or not isinstance(value, int):
            raise out_of_range(what, value, "a whole number")
    elif isinstance(default, str) and not isinstance(value, str):
        return format_value(value)
    return value
