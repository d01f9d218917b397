"""Finds problems by name: built in, in a file, in a package or by entry point.

Names map to `module:Attribute`, so that nothing is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from optbench.errors import UserError, one_line, unknown
from optbench.importing import load_attribute, plugin_targets, registered_target
from optbench.problem.base import Problem
from optbench.problem.validation import check_declared
from optbench.selection import Accepted, convert, format_value

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


def problem_names() -> dict[str, str]:
    """The names of all problems, built in and by entry point, with where they are implemented."""
    return {**BUILT_IN_PROBLEMS, **plugin_targets("optbench.problems")}


def problem_class(name: str) -> type[Problem]:
    """The class of a problem; raises UserError where there is none or it can't be imported."""
    target = name if ":" in name else registered_target("problem", "optbench.problems", BUILT_IN_PROBLEMS, name)
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
        default = defaults[key]
        if isinstance(default, str) and not isinstance(value, str):
            value = format_value(value)  # a word such as none is meant as a text
        if isinstance(default, (bool, int, float)):
            value = convert(f"{name}[{key}]", value, default, Accepted(whole=isinstance(default, int)))
        converted[key] = value
    try:
        problem = cls(**converted)
        problem.check()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"problem {name} can't be made: {one_line(error)}") from error
    check_declared(problem)
    return problem
