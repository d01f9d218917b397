"""Expands a configuration into the cells of the matrix: a pure function that needs no torch.

A cell describes completely what is computed, and its id is the hash of that description. It does not include how it is
computed (workers, engine, paths), nor the number of seeds, because more seeds extend a cell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

from optbench import selection
from optbench.budget import UNTUNED_SEEDS, Budget
from optbench.config.optimizer_table import build_spec
from optbench.config.schema import Config, ProblemEntry
from optbench.errors import UserError, out_of_range, unknown
from optbench.importing import source_digest
from optbench.machine.device import resolve_device
from optbench.optimizers.registry import code_version, optimizer_names, optimizer_spec
from optbench.optimizers.search_space import space_text
from optbench.optimizers.spec import ConfiguredOptimizer, OptimizerSpec
from optbench.planning.batch_sizes import choose_batch_sizes
from optbench.planning.execution import Execution, choose_execution
from optbench.planning.optimizer_choice import (
    OptimizerChoice,
    choose_optimizer,
    describe_conditions,
    describe_outside,
    describe_two_schedules,
    plain_json,
)
from optbench.planning.problem_choice import ProblemChoice
from optbench.planning.revisions import revisions
from optbench.planning.rungs import check_size, label_budgets, ladder_label, size_of, split_run_budget
from optbench.planning.schedules import canonical_schedule, check_schedules
from optbench.planning.speed import Speed, Speeds
from optbench.problem.base import Problem
from optbench.problem.data import DataSource, reading_from
from optbench.problem.datasets.images import Images
from optbench.problem.registry import BUILT_IN_PROBLEMS, make_problem, problem_class
from optbench.problem.validation import count_training_examples
from optbench.selection import Selection

#: A larger amount is taken for a typing error; no machine processes that many examples.
_LARGEST_BUDGET = 1e15


@dataclass(frozen=True)
class Cell:
    """One entry of the matrix. Costs are in example gradients."""

    problem: ProblemChoice
    optimizer: OptimizerChoice
    batch_size: int
    device: str
    schedule: str
    threads: int
    run_budget: Budget
    training_examples: int
    worth: float
    sampler: str
    pruner: str
    #: Trials per round: they are proposed together, from the results of the previous rounds.
    round: int
    evaluations: int
    #: The execution of the cell; it does not change results and is therefore not part of the identity.
    execution: Execution

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Description of what is computed, as plain JSON values; the id is its hash."""
        seconds = self.run_budget.unit == "seconds"
        return {
            "problem": self.problem.identity,
            "optimizer": self.optimizer.identity,
            "batch_size": self.batch_size,
            "device": self.device,
            "schedule": self.schedule,
            "threads": self.threads,
            "run_budget": {"seconds": self.run_budget.amount} if seconds else self.run_cost,
            "tuning": {
                "worth": self.worth,
                "sampler": self.sampler,
                "pruner": self.pruner,
                "round": self.round,
                "judged": "mean of the last quarter",
            },
            "evaluations": self.evaluations,
            **revisions(self),
        }

    @cached_property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 hash of the identity."""
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def run_cost(self) -> int:
        """The run budget in example gradients."""
        return self.run_budget.examples(self.training_examples)

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        """The labels that identify the cell in tables: problem, optimizer, batch size, device, schedule."""
        return (self.problem.label, self.optimizer.label, self.batch_size, self.device, self.schedule)

    @property
    def tuned(self) -> bool:
        """Whether the optimizer has hyperparameters to tune and the tuning budget is above 0."""
        return bool(self.optimizer.search) and self.worth > 0

    def record(self) -> dict[str, Any]:
        """Return what tables need to know of the cell, as plain JSON values.

        The record is stored with the results, so that reading them does not run the cell's code.
        """
        rate = self.optimizer.search.get("lr")
        return {
            "cell_id": self.id,
            **dict(zip(("problem", "optimizer", "batch_size", "device", "schedule"), self.key, strict=True)),
            "base": self.optimizer.base,
            "tuned": self.tuned,
            "execution": self.execution.name,
            "arguments": self.optimizer.fixed,
            "defaults": self.optimizer.defaults,
            "constructor": self.optimizer.method,
            "length_arguments": self.optimizer.length_arguments,
            "lr_range": rate.bounds if rate else None,
            "search": space_text(self.optimizer.search) if self.tuned else "",
            "sampler": self.sampler if self.tuned else "",
            "problem_version": self.problem.version,
            "ladder": self.problem.ladder,
            "size": self.problem.size,
            "threads": self.threads,
            "evaluations": self.evaluations,
            **self.problem.measured,
        }

    def trainings(self, seeds: int, studies: int = 1) -> float:
        """Return the cost of the cell in trainings of a full run budget, including tuning.

        Args:
            seeds: Number of final runs; the first ones are also done untuned.
            studies: Number of independent tunings.
        """
        return (studies * self.worth + seeds + min(seeds, UNTUNED_SEEDS)) if self.tuned else seeds


@dataclass(frozen=True)
class Plan:
    """The cells of a configuration, in the order of the matrix."""

    cells: tuple[Cell, ...]
    #: Seeds of the final runs.
    seeds: tuple[int, ...]
    #: Independent tunings per cell.
    studies: int = 1
    #: Notes for the user on parts of the configuration that are not in the plan, and why.
    notes: tuple[str, ...] = ()
    #: Measured speeds of problems, for estimates (see `runner.speed`).
    speeds: Speeds = field(default_factory=dict)

    def trainings(self, cell: Cell) -> float:
        """Return the cost of a cell of this plan in trainings of a full run budget."""
        return cell.trainings(len(self.seeds), self.studies)

    def speed(self, cell: Cell) -> Speed | None:
        """Return the measured speed of a cell's problem, or None."""
        return self.speeds.get((cell.problem.label, cell.batch_size, cell.device))

    def seconds(self, cell: Cell) -> float:
        """Estimate the seconds that a cell takes.

        The estimate rests on the measured speed of the problem, or roughly on its reference times on one CPU thread.
        """
        speed, evaluations = self.speed(cell), 0.0
        if speed is not None:
            finals = self.trainings(cell) - (self.studies * cell.worth if cell.tuned else 0)
            evaluations = self.trainings(cell) * speed.evaluations + finals * speed.test
        if cell.run_budget.unit == "seconds":
            one = cell.run_budget.amount
        elif speed is not None:
            one = cell.run_cost * speed.seconds_per_cost
        else:
            problem, steps = cell.problem.make(), cell.run_cost / cell.batch_size
            one = 1e-6 * (cell.run_cost * problem.microseconds_per_example + steps * problem.microseconds_per_step)
        return one * self.trainings(cell) + evaluations


def make_plan(
    config: Config,
    execution: str = "auto",
    elsewhere: bool = False,
    source: DataSource | None = None,
    schedules_fit: bool = True,
) -> Plan:
    """Make the plan of a configuration.

    Args:
        config: The configuration.
        execution: `auto`, or one of `EXECUTIONS`, which is used for all cells that it supports.
        elsewhere: Whether the devices belong to workers on other machines (see `resolve_device`).
        source: Where data are read from (default: the default directory). Nothing is downloaded.
        schedules_fit: Whether the schedules have to fit into the runs; not if only a few steps are taken without them.

    Raises:
        UserError: If the configuration names something that does not exist, or values that do not fit together.
    """
    with reading_from(source) if source else nullcontext():
        return _make_plan(config, execution, elsewhere, schedules_fit)


def _make_plan(config: Config, execution: str, elsewhere: bool, schedules_fit: bool) -> Plan:
    devices = list(dict.fromkeys(resolve_device(name, elsewhere) for name in config.devices))
    schedules = list(dict.fromkeys(map(canonical_schedule, config.schedules)))
    optimizers = list(_optimizers(config))
    cells: dict[str, Cell] = {}
    notes = [
        f"{name} of optimizer {label} looks like its learning rate and is not tuned (call it lr, or give it a range "
        "in a TOML table)"
        for label, optimizer, _ in optimizers
        for name in optimizer.spec.other_rates
        if name not in optimizer.arguments
    ]
    for entry, problem, rungs in _problems(config):
        examples = count_training_examples(problem)
        chosen = [choose_optimizer(label, optimizer, source, problem) for label, optimizer, source in optimizers]
        if config.tuning.worth > 0:
            notes += [
                note
                for one, (_, optimizer, _) in zip(chosen, optimizers, strict=True)
                for note in (
                    *describe_outside(one, optimizer.spec),
                    *describe_conditions(one, config.tuning.sampler),
                )
            ]
        if isinstance(problem, Images):
            notes += problem.notes()
        for choice, budget in rungs:
            requested = entry.batch_sizes or config.batch_sizes
            sizes, omissions = choose_batch_sizes(choice.label, examples, budget, requested, problem.batch_sizes)
            notes += omissions
            for device, batch_size, text, optimizer in product(devices, sizes, schedules, chosen):
                notes += describe_two_schedules(optimizer, text)
                cell = Cell(
                    problem=choice,
                    optimizer=optimizer,
                    batch_size=batch_size,
                    device=device,
                    schedule=text,
                    threads=config.threads,
                    run_budget=budget,
                    training_examples=examples,
                    worth=config.tuning.worth,
                    sampler=config.tuning.sampler,
                    pruner=config.tuning.pruner,
                    round=config.tuning.trials_a_round,
                    evaluations=config.evaluations,
                    execution=choose_execution(problem, optimizer.step, device, batch_size, execution),
                )
                _check_amount(cell)
                if schedules_fit:
                    notes += check_schedules(cell)
                _check_same(cells.setdefault(cell.id, cell), cell)
    _check_labels(cells.values())
    return Plan(tuple(cells.values()), tuple(range(config.seeds)), config.tuning.studies, tuple(dict.fromkeys(notes)))


def _problems(config: Config) -> Iterator[tuple[ProblemEntry, Problem, list[tuple[ProblemChoice, Budget]]]]:
    """Yield each problem with its rungs."""
    size, problems = config.ladder.size if config.ladder else None, list[Problem]()
    for item in config.problems:
        entry = ProblemEntry(select=item) if isinstance(item, str) else item
        for chosen in selection.parse(entry.select):
            chosen, own = split_run_budget(chosen)
            problem = make_problem(chosen.name, dict(chosen.parameters))
            problems.append(problem)
            if chosen.name not in BUILT_IN_PROBLEMS:
                count_training_examples(problem)  # data that it reads to count them are part of the identity
            name, identity = _short_name(chosen.name, problem), problem_identity(chosen.name, problem)
            ladder = ladder_label(name, problem, size)
            budgets = entry.run_budget or config.run_budget or problem.run_budget
            yield (
                entry,
                problem,
                [
                    (ProblemChoice(label, chosen, identity, ladder, size_of(problem, size)), budget)
                    for label, budget in label_budgets(name, problem, own, budgets)
                ],
            )
    if size is not None:
        check_size(size, problems)


def problem_identity(name: str, problem: Problem) -> dict[str, Any]:
    """Return everything that determines a problem's results, as plain JSON values.

    Args:
        name: The name by which the problem was selected. If the problem is not built in, the identity includes a hash
            of its source file.
        problem: The problem with its parameters.
    """
    identity: dict[str, Any] = {
        "name": _short_name(name, problem),
        "version": problem.version,
        "parameters": plain_json(problem.identity()),
    }
    target = problem_target(name)
    if target or problem.couples_examples:
        # Stored cells without this word were evaluated with the running statistics that batch norm had in training.
        identity["statistics"] = "measured"
    if target:
        identity["source"] = source_digest(target)
        if problem.data_digest:
            identity["data"] = problem.data_digest
    return identity


def problem_target(name: str) -> str:
    """Return the target `module:Class` of a problem whose source is part of its identity; "" for a built-in one."""
    if ":" in name or name in BUILT_IN_PROBLEMS:
        return name if ":" in name else ""
    cls = problem_class(name)
    return f"{cls.__module__}:{cls.__name__}"


def _short_name(name: str, problem: Problem) -> str:
    return getattr(type(problem), "name", type(problem).__name__) if ":" in name else name


def _optimizers(config: Config) -> Iterator[tuple[str, ConfiguredOptimizer, str]]:
    # Tables that nothing selects are built too, so that mistakes in them are reported.
    tables = {name: build_spec(name, table) for name, table in config.optimizer.items()}
    for text in config.optimizers:
        for chosen in selection.parse(text):
            if chosen.name in tables:
                spec = tables[chosen.name]
            elif ":" not in chosen.name and config.optimizer:
                spec = _look_up_spec(chosen.name, config)
            else:
                spec = optimizer_spec(chosen.name)
            configured = spec.configured(dict(chosen.parameters))
            yield str(Selection(spec.name, chosen.parameters)), configured, code_version(spec)


def _look_up_spec(name: str, config: Config) -> OptimizerSpec:
    """Look up a registered optimizer; for an unknown name, the error also lists the tables of the configuration."""
    known = optimizer_names()
    if name not in known:
        raise unknown("optimizer", name, {*known, *config.optimizer})
    return optimizer_spec(name)


def _check_amount(cell: Cell) -> None:
    if cell.run_budget.amount > _LARGEST_BUDGET:
        raise out_of_range(f"run budget of {cell.problem.label}", str(cell.run_budget), f"at most {_LARGEST_BUDGET:g}")


def _check_labels(cells: Any) -> None:
    seen: dict[tuple[Any, ...], str] = {}
    for cell in cells:
        other = seen.setdefault(cell.key, cell.id)
        if other != cell.id:
            name = " × ".join(str(part) for part in cell.key[:3])
            raise UserError(f"two different cells would both be called {name}; rename one of them")


def _check_same(cell: Cell, other: Cell) -> None:
    """Reject two names of the same optimizer or rung, because each cell has one row with one name in the tables.

    The same name with redundant parameters (`adam` and `adam[eps=1e-8]`) is accepted as a duplicate.
    """
    first, second = cell.optimizer.label, other.optimizer.label
    if first.partition("[")[0] != second.partition("[")[0]:
        raise UserError(f"optimizers {first} and {second} are identical; remove one of them")
    if cell.run_budget != other.run_budget:
        budgets = f"{cell.run_budget} and {other.run_budget}"
        raise UserError(f"the run budgets {budgets} of {other.problem.label} are identical; remove one of them")
