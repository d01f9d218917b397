"""The optimizer under test, with steppers as in a benchmark on data that takes milliseconds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optbench import selection
from optbench.budget import Ledger
from optbench.config.schema import Config
from optbench.optimizers.search_space import Choices, Range
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS
from optbench.planning.matrix import Cell, make_plan
from optbench.planning.optimizer_choice import OptimizerChoice
from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource
from optbench.problem.registry import make_problem
from optbench.problem.validation import count_training_examples
from optbench.training.device_data import ResidentData, load
from optbench.training.excerpt import most_steps
from optbench.training.stepper import Stepper

_TOYS = "optbench.conformance.toy"
UNLIMITED = 2**62
#: The most steps that checks take, except those that name another number.
STEPS = 8
NOWHERE = DataSource(Path("unused"), download=False)


@dataclass(frozen=True)
class Trainable:
    """A cell with its problem and data, from which trainings can be started.

    Attributes:
        cell: The cell.
        problem: The cell's problem.
        data: The problem's splits on the cell's device.
    """

    cell: Cell
    problem: Problem
    data: ResidentData

    def stepper(
        self,
        seed: int = 0,
        *,
        budget: int = UNLIMITED,
        hyperparameters: Mapping[str, Any] | None = None,
        choice: OptimizerChoice | None = None,
        steps: int = STEPS,
    ) -> Stepper:
        """Returns the stepper of a new training.

        An optimizer that receives the number of steps may fail after them. It receives that of a training of the cell,
        or of a longer one if this is less than the check takes.

        Args:
            seed: Seed of the initial weights and the order of the data.
            budget: Budget in example gradients.
            hyperparameters: Values that replace the optimizer's defaults.
            choice: The optimizer (default: that of the cell).
            steps: The most steps that will be taken.
        """
        cell = replace(self.cell, optimizer=choice) if choice else self.cell
        values = {**cell.optimizer.defaults, **(hyperparameters or {})}
        stepper = Stepper(cell, self.problem, self.data, values, seed, Ledger(budget))
        if steps <= most_steps(stepper, cell):
            return stepper
        times = math.ceil(steps / stepper.facts["steps"])
        cell = replace(cell, run_budget=replace(cell.run_budget, amount=times * cell.run_budget.amount))
        return Stepper(cell, self.problem, self.data, values, seed, Ledger(budget))


class OptimizerSubject:
    """An optimizer under test on one device.

    Args:
        text: Selection of the optimizer, such as `adam` or `FILE.py:NAME`.
        device: Where the checks run.
        optimizer: Optimizers defined by tables in TOML, by name.
    """

    def __init__(self, text: str, device: str = "cpu", optimizer: Mapping[str, Any] | None = None) -> None:
        self.text, self.device, self.tables = text, device, dict(optimizer or {})
        first = self.on("ToyNet").cell.optimizer
        #: Whether a parameter group selects parameters with sparse gradients.
        self.sparse = any(isinstance(members, str) and "sparse" in members for members in first.groups.values())

    def on(self, toy: str, **parameters: Any) -> Trainable:
        """The optimizer on a toy problem, without what optbench applies: its own schedule, clipping, averaging.

        Args:
            toy: Name of a class in `optbench.conformance.toy`.
            **parameters: Parameters of the toy problem.
        """
        parameters = {**({"sparse": True} if getattr(self, "sparse", False) else {}), **parameters}
        inside = ",".join(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in parameters.items())
        trainable = make_trainable(f"{_TOYS}:{toy}[{inside}]", self.text, self.device, self.tables)
        return replace(trainable, cell=replace(trainable.cell, optimizer=_drop_additions(trainable.cell.optimizer)))

    @cached_property
    def net(self) -> Trainable:
        """The optimizer on the toy network."""
        return self.on("ToyNet")

    @cached_property
    def quadratic(self) -> Trainable:
        """The optimizer on the toy quadratic."""
        return self.on("ToyQuadratic")

    @property
    def choice(self) -> OptimizerChoice:
        """The optimizer as it is declared for a network."""
        return self.net.cell.optimizer

    @cached_property
    def search(self) -> dict[str, Range | Choices]:
        """The search space on a network, including hyperparameters of the schedule."""
        return make_trainable(f"{_TOYS}:ToyNet", self.text, self.device, self.tables).cell.optimizer.search


def _drop_additions(choice: OptimizerChoice) -> OptimizerChoice:
    applied = SCHEDULE_HYPERPARAMETERS.keys() | choice.added
    arguments, defaults, search = (
        {key: value for key, value in part.items() if key not in applied}
        for part in (choice.arguments, choice.defaults, choice.search)
    )
    return replace(choice, arguments=arguments, defaults=defaults, search=search, added=frozenset())


def make_trainable(
    problem: str,
    optimizer: str,
    device: str = "cpu",
    tables: Mapping[str, Any] | None = None,
    source: DataSource = NOWHERE,
    examples: int | None = None,
    batch_size: int | None = None,
) -> Trainable:
    """Makes the cell of one problem and one optimizer, with loaded data.

    Args:
        problem: Selection of a problem.
        optimizer: Selection of an optimizer.
        device: Device of the cell.
        tables: Optimizers defined by tables in TOML, by name.
        source: Where the problem's data are read from.
        examples: Maximum number of examples per split (default: all).
        batch_size: Batch size (default: the smallest one that the problem declares).

    Raises:
        UserError: A selection is not valid.
    """
    settings: dict[str, Any] = {"problems": [problem], "optimizers": [optimizer], "devices": [device]}
    settings["batch_sizes"] = [batch_size or _smallest_batch_size(problem)]
    config = Config.model_validate({**settings, "optimizer": dict(tables or {})})
    cell = make_plan(config, schedules_fit=False).cells[0]
    instance, data = load(cell.problem, source, device)
    if examples is not None:
        size = min(cell.batch_size, examples)
        cell, data = replace(cell, batch_size=size), _first_examples(instance, data, max(examples, size), device)
    return Trainable(cell, instance, data)


def _smallest_batch_size(text: str) -> int:
    """Returns a problem's smallest batch size, or its number of examples if that is smaller.

    Batch sizes above the number of examples are reported by the check `settings`; other checks still run.
    """
    problems = [make_problem(chosen.name, dict(chosen.parameters)) for chosen in selection.parse(text)]
    return max(
        1, min(size for problem in problems for size in (*problem.batch_sizes, count_training_examples(problem)))
    )


def _first_examples(problem: Problem, data: ResidentData, examples: int, device: str) -> ResidentData:
    index = torch.arange(examples, device=device)
    splits = (data.train, data.valid, data.test)
    return ResidentData(problem, Data(*(split.batch(index[: len(split)]) for split in splits)), device)


def clone_parameters(stepper: Stepper) -> list[Tensor]:
    """Returns copies of the model's current parameters."""
    return [parameter.detach().clone() for parameter in stepper.model.parameters()]


def take_steps(stepper: Stepper, steps: int) -> list[Tensor]:
    """Takes a number of steps and returns copies of the model's parameters."""
    for _ in range(steps):
        stepper.step()
    return clone_parameters(stepper)


def are_equal(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether the tensors of two sequences are equal; NaN equals itself."""
    return all(_is_equal(one, other) for one, other in zip(some, others, strict=True))


def _is_equal(one: Tensor, other: Tensor) -> bool:
    if torch.equal(one, other):
        return True
    if one.shape != other.shape or one.dtype != other.dtype or not one.is_floating_point():
        return False
    holes = one.isnan()
    return torch.equal(holes, other.isnan()) and torch.equal(one[~holes], other[~holes])


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> bool:
    """Sets the learning rate of all groups as a schedule does, and returns whether there is one."""
    groups = [group for group in optimizer.param_groups if "lr" in group]
    for group in groups:
        group["lr"] = torch.full_like(group["lr"], rate) if isinstance(group["lr"], Tensor) else rate
    return bool(groups)


class CountingProblem:
    """A problem that counts in `losses` how often its loss is computed."""

    def __init__(self, problem: Problem) -> None:
        self._problem, self.losses = problem, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._problem, name)

    def loss(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """Computes the problem's loss and counts the call."""
        self.losses += 1
        return self._problem.loss(model, batch)


@contextmanager
def suppress_side_effects() -> Iterator[None]:
    """A context that suppresses warnings and restores torch's random state at the end."""
    import warnings

    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        yield
