"""What is checked, with everything to try it out: steps as in a benchmark, on data that takes milliseconds."""

from __future__ import annotations

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
from optbench.problem.validation import training_examples
from optbench.training.device_data import ResidentData, load
from optbench.training.stepper import Stepper

_TOYS = "optbench.conformance.toy"
UNLIMITED = 2**62
NOWHERE = DataSource(Path("unused"), download=False)


@dataclass(frozen=True)
class Trainable:
    """A cell with its problem and data, of which a few steps are taken."""

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
    ) -> Stepper:
        """Model, optimizer and batches of a training that is about to begin, untuned unless said otherwise."""
        cell = replace(self.cell, optimizer=choice) if choice else self.cell
        values = {**cell.optimizer.defaults, **(hyperparameters or {})}
        return Stepper(cell, self.problem, self.data, values, seed, Ledger(budget))


class OptimizerSubject:
    """An optimizer that is checked on a device, by its selection; tables of TOML in `optimizer`."""

    def __init__(self, text: str, device: str = "cpu", optimizer: Mapping[str, Any] | None = None) -> None:
        self.text, self.device, self.tables = text, device, dict(optimizer or {})
        first = self.on("ToyNet").cell.optimizer
        #: Whether a group wants what makes sparse gradients.
        self.sparse = any(isinstance(members, str) and "sparse" in members for members in first.groups.values())

    def on(self, toy: str, **parameters: Any) -> Trainable:
        """The optimizer on one of the toys, at a constant rate: schedules are the harness's own."""
        given = {**({"sparse": True} if getattr(self, "sparse", False) else {}), **parameters}
        inside = ",".join(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in given.items())
        found = trainable(f"{_TOYS}:{toy}[{inside}]", self.text, self.device, self.tables)
        return replace(found, cell=replace(found.cell, optimizer=_unscheduled(found.cell.optimizer)))

    @cached_property
    def net(self) -> Trainable:
        return self.on("ToyNet")

    @cached_property
    def quadratic(self) -> Trainable:
        return self.on("ToyQuadratic")

    @property
    def choice(self) -> OptimizerChoice:
        return self.net.cell.optimizer

    @cached_property
    def search(self) -> dict[str, Range | Choices]:
        """What is tuned of it on a network, its schedule included."""
        return trainable(f"{_TOYS}:ToyNet", self.text, self.device, self.tables).cell.optimizer.search


def _unscheduled(choice: OptimizerChoice) -> OptimizerChoice:
    arguments, defaults, search = (
        {key: value for key, value in part.items() if key not in SCHEDULE_HYPERPARAMETERS}
        for part in (choice.arguments, choice.defaults, choice.search)
    )
    return replace(choice, arguments=arguments, defaults=defaults, search=search)


def trainable(
    problem: str,
    optimizer: str,
    device: str = "cpu",
    tables: Mapping[str, Any] | None = None,
    source: DataSource = NOWHERE,
    examples: int | None = None,
    batch_size: int | None = None,
) -> Trainable:
    """The cell of one problem and optimizer, at the problem's smallest batch or this one, with at most so many
    examples. Raises UserError for names and values that make no sense.
    """
    given: dict[str, Any] = {"problems": [problem], "optimizers": [optimizer], "devices": [device]}
    given["batch_sizes"] = [batch_size or _smallest(problem)]
    cells = make_plan(Config.model_validate({**given, "optimizer": dict(tables or {})})).cells
    cell = cells[0]
    made, data = load(cell.problem, source, device)
    if examples is not None:
        size = min(cell.batch_size, examples)
        cell, data = replace(cell, batch_size=size), _first(made, data, max(examples, size), device)
    return Trainable(cell, made, data)


def _smallest(text: str) -> int:
    """The smallest batch size of a problem, or all its examples where there are fewer: a finding, but no obstacle."""
    problems = [make_problem(chosen.name, dict(chosen.parameters)) for chosen in selection.parse(text)]
    return max(1, min(size for problem in problems for size in (*problem.batch_sizes, training_examples(problem))))


def _first(problem: Problem, data: ResidentData, examples: int, device: str) -> ResidentData:
    index = torch.arange(examples, device=device)
    splits = (data.train, data.valid, data.test)
    return ResidentData(problem, Data(*(split.batch(index[: len(split)]) for split in splits)), device)


def positions(stepper: Stepper) -> list[Tensor]:
    """The parameters of a model as they are now, each cloned."""
    return [parameter.detach().clone() for parameter in stepper.model.parameters()]


def taken(stepper: Stepper, steps: int) -> list[Tensor]:
    """The parameters after so many steps."""
    for _ in range(steps):
        stepper.step()
    return positions(stepper)


def equal(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether all tensors are the same, bit by bit."""
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> bool:
    """Sets the learning rate of all groups as a schedule does; False where there is none."""
    groups = [group for group in optimizer.param_groups if "lr" in group]
    for group in groups:
        group["lr"] = torch.full_like(group["lr"], rate) if isinstance(group["lr"], Tensor) else rate
    return bool(groups)


class Counting:
    """A problem that counts how often its loss is computed."""

    def __init__(self, problem: Problem) -> None:
        self._problem, self.losses = problem, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._problem, name)

    def loss(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """The problem's loss, counted."""
        self.losses += 1
        return self._problem.loss(model, batch)


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps warnings of what is tried out, and its random numbers, from the caller."""
    import warnings

    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        yield
