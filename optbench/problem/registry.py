"""Looks up problems by name: built in, from a file, from a package or from an entry point.

Names map to `module:Attribute`, so that nothing is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from optbench.errors import UserError, one_line, unknown
from optbench.importing import find_target, load_attribute, plugin_targets
from optbench.problem.base import Problem
from optbench.problem.validation import check_declaration
from optbench.selection import AcceptedValues, convert, format_value

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
    """Return the names of all problems, built in and from entry points, with their targets `module:Class`."""
    return {**BUILT_IN_PROBLEMS, **plugin_targets("optbench.problems")}


#: Endings of files that hold data, which users try to name as a problem.
_DATA_FILES = {".csv", ".tsv", ".parquet", ".xlsx", ".json", ".jsonl", ".npy", ".npz", ".pt", ".h5", ".arff"}


def refuse_data_file(name: str) -> None:
    """Raise UserError if the name of a problem is that of a data file."""
    if Path(name).suffix.lower() in _DATA_FILES:
        raise UserError(
            f"{name} is a data file, not a problem (accepted: FILE.py:CLASS, a class that reads it; see "
            "docs/your-problem.md and examples/own_table.py)"
        )


def problem_class(name: str) -> type[Problem]:
    """Look up the class of a problem.

    Args:
        name: A registered name, `module:Class` or `file.py:Class`.

    Raises:
        UserError: If there is no such problem or it can't be imported.
    """
    refuse_data_file(name)
    target = name if ":" in name else find_target("problem", "optbench.problems", BUILT_IN_PROBLEMS, name)
    cls = load_attribute(target)
    if not (isinstance(cls, type) and issubclass(cls, Problem) and is_dataclass(cls)):
        raise UserError(f"{target} is not a problem (accepted: a dataclass derived from optbench.Problem)")
    return cls


def make_problem(name: str, parameters: Mapping[str, Any]) -> Problem:
    """Construct a problem and check its parameters and its declaration.

    Args:
        name: A registered name, `module:Class` or `file.py:Class`.
        parameters: Parameter values by name; the others have their defaults.

    Raises:
        UserError: If the problem or a parameter is unknown, or if a value or the problem's declaration is invalid.
    """
    cls = problem_class(name)
    defaults = {f.name: f.default for f in fields(cls) if f.init}
    converted: dict[str, Any] = {}
    for key, value in parameters.items():
        if key not in defaults:
            raise unknown(f"parameter of {name}", key, defaults)
        default = defaults[key]
        if isinstance(default, str) and not isinstance(value, str):
            value = format_value(value)  # here a word such as none is a string
        if isinstance(default, (bool, int, float)):
            value = convert(f"{name}[{key}]", value, default, AcceptedValues(whole=isinstance(default, int)))
        converted[key] = value
    try:
        problem = cls(**converted)
        problem.check()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"problem {name} can't be constructed: {one_line(error)}") from error
    check_declaration(problem)
    return problem
