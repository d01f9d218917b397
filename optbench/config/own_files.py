"""Selections that name a file alone: `FILE.py` stands for the one optimizer or problem that the file defines."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from typing import Literal

from optbench import selection
from optbench.config.schema import Config, ProblemEntry
from optbench.errors import UserError
from optbench.importing import load_module
from optbench.optimizers.decorator import decorator_settings
from optbench.optimizers.spec import OptimizerSpec
from optbench.problem.base import Problem
from optbench.selection import Selection

Kind = Literal["problem", "optimizer"]


def list_definitions(file: str) -> dict[str, Kind]:
    """Return the problems and optimizers that a file defines, as selections `FILE.py:NAME`.

    Raises:
        UserError: If the file can't be imported, or defines neither.
    """
    import torch

    module = load_module(file)
    found: dict[str, Kind] = {}
    imported: dict[str, Kind] = {}
    for name, value in vars(module).items():
        origin = str(getattr(value, "__module__", None))
        own = origin == module.__name__
        optimizer = isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
        problem = isinstance(value, type) and issubclass(value, Problem) and is_dataclass(value)
        kind: Kind = "problem" if problem else "optimizer"
        if isinstance(value, OptimizerSpec) or (
            own and (optimizer or problem or decorator_settings(value) or _is_factory(name, value))
        ):
            found[f"{file}:{name}"] = kind
        elif (optimizer or problem) and origin.partition(".")[0] not in ("torch", "optbench"):
            imported[f"{file}:{name}"] = kind
    # A file that only imports its classes stands for them.
    if not (found := found or imported):
        raise UserError(
            f"{file} defines neither a problem nor an optimizer (accepted: a class derived from "
            "torch.optim.Optimizer or optbench.Problem)"
        )
    return found


def _is_factory(name: str, value: object) -> bool:
    """Whether a public function constructs an optimizer, as its first argument suggests."""
    if name.startswith("_") or not inspect.isfunction(value):
        return False
    return next(iter(inspect.signature(value).parameters), "") in ("params", "parameters")


def complete_files(config: Config) -> Config:
    """Replace `FILE.py` by `FILE.py:NAME` in the problems and optimizers of a configuration.

    Raises:
        UserError: If a file does not define exactly one problem or optimizer.
    """
    problems: list[str | ProblemEntry] = []
    for item in config.problems:
        if isinstance(item, str):
            problems += _complete(item, "problem")
        else:
            problems += [item.model_copy(update={"select": text}) for text in _complete(item.select, "problem")]
    optimizers = [text for item in config.optimizers for text in _complete(item, "optimizer")]
    return config.model_copy(update={"problems": tuple(problems), "optimizers": tuple(optimizers)})


def _complete(text: str, kind: Kind) -> list[str]:
    chosen = selection.parse(text)
    if not any(one.name.endswith(".py") for one in chosen):
        return [text]
    return [str(Selection(_only_one(one.name, kind), one.parameters)) for one in chosen]


def _only_one(name: str, kind: Kind) -> str:
    if not name.endswith(".py"):
        return name
    found = list_definitions(name)
    names = [target for target, of in found.items() if of == kind]
    if len(names) != 1:
        listed = ", ".join(names)
        what = f"several {kind}s (accepted: {listed})" if names else f"no {kind} (it defines {', '.join(found)})"
        raise UserError(f"{name} defines {what}")
    return names[0]
