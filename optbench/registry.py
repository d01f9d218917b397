"""Finds problems and optimizers by name: built in, in a file, in a package, by entry point, or in TOML.

Names map to `module:Attribute`, so that nothing is imported before it is used.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from types import ModuleType
from typing import Any

from optbench.declared import check_declared
from optbench.errors import UserError, one_line, out_of_range, unknown
from optbench.optimizers import BUILT_IN
from optbench.problem import Problem
from optbench.selection import format_value
from optbench.signature import spec_of
from optbench.spec import OptimizerSpec
from optbench.zoo import ZOO

BUILT_IN_PROBLEMS = {
    "quadratic_valley": "optbench.problems.quadratic_valley:QuadraticValley",
    "quadratic_deep": "optbench.problems.quadratic_deep:QuadraticDeep",
    "rosenbrock": "optbench.problems.plane_functions:Rosenbrock",
    "rastrigin": "optbench.problems.plane_functions:Rastrigin",
    "beale": "optbench.problems.plane_functions:Beale",
    "branin": "optbench.problems.plane_functions:Branin",
    "styblinski_tang": "optbench.problems.plane_functions:StyblinskiTang",
    "logistic_regression": "optbench.problems.logistic_regression:LogisticRegression",
    "mlp": "optbench.problems.mlp:Mlp",
    "autoencoder": "optbench.problems.autoencoder:Autoencoder",
    "matrix_factorisation": "optbench.problems.matrix_factorisation:MatrixFactorisation",
    "mnist_cnn": "optbench.problems.mnist_cnn:MnistCnn",
    "cifar_resnet": "optbench.problems.cifar_resnet:CifarResnet",
    "frozen_features": "optbench.problems.frozen_features:FrozenFeatures",
    "char_rnn": "optbench.problems.char_rnn:CharRnn",
    "transformer": "optbench.problems.transformer:Transformer",
    "pinn": "optbench.problems.pinn:Pinn",
}


REGISTERED_OPTIMIZERS = {**BUILT_IN, **ZOO}


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
    check_declared(problem)
    return problem


def optimizer_spec(name: str, lr: float | None = None, given: Iterable[str] = ()) -> OptimizerSpec:
    """The spec of an optimizer; one that is only a class gets a spec from its signature.

    `lr` stands for a default learning rate, and `given` names arguments, that the class need not have
    defaults for. Raises UserError where there is no such optimizer or it can't be used.
    """
    if ":" not in name:
        if name in REGISTERED_OPTIMIZERS:
            return REGISTERED_OPTIMIZERS[name]
        name = _named("optimizer", "optbench.optimizers", dict.fromkeys(REGISTERED_OPTIMIZERS, ""), name)
    found = load_attribute(name)
    if isinstance(found, OptimizerSpec):
        return found
    if not callable(found):
        raise UserError(f"{name} is no optimizer (accepted: a class or function called as f(params, lr=…))")
    return spec_of(name, found, lr, set(given))


def counts(default: Any) -> bool:
    """Whether a hyperparameter counts something: its default is a whole number, and not 0 or 1, by which
    torch also writes 0.0 and 1.0.
    """
    return isinstance(default, int) and not isinstance(default, bool) and default > 1


def names(group: str) -> dict[str, str]:
    """All names of a group (`problems` or `optimizers`) with where they are implemented."""
    specs = REGISTERED_OPTIMIZERS.items()
    built_in = BUILT_IN_PROBLEMS if group == "problems" else {name: spec.constructor for name, spec in specs}
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


def load_attribute(target: str) -> Any:
    """Imports `module:Attribute` or `file.py:Attribute`; raises UserError where that fails."""
    location, _, attribute = target.rpartition(":")
    try:
        module = load_module(location) if location.endswith(".py") else importlib.import_module(location)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{location} can't be imported: {one_line(error)}") from error
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise unknown(f"name in {location}", attribute, public)
    return getattr(module, attribute)


def load_module(location: str) -> ModuleType:
    """The module that a file is, imported once for each content; raises UserError where that fails."""
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
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, UserError) or not isinstance(error, (Exception, SystemExit)):
            raise
        raise UserError(f"{location} can't be imported: {one_line(error)}") from error
    return module


def _named(what: str, group: str, built_in: Mapping[str, str], name: str) -> str:
    if name in built_in:
        return built_in[name]
    plugins = {entry.name: entry.value for entry in entry_points(group=group)}
    if name not in plugins:
        raise unknown(what, name, [*built_in, *plugins])
    return plugins[name]


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
