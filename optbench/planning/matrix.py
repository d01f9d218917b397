"""From a configuration to the cells of the matrix: a pure function, and it needs no torch.

A cell says completely what is computed, and its id is the hash of that. How it is computed (workers,
engine, paths) is not in it, nor is the number of seeds: more seeds extend a cell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optbench import selection
from optbench.budget import Budget, parse_budget
from optbench.config.optimizer_table import described_optimizer
from optbench.config.schema import Config, ProblemEntry
from optbench.errors import UserError, out_of_range, unknown
from optbench.importing import source_digest
from optbench.machine.device import resolve
from optbench.optimizers.registry import code_version, optimizer_names, optimizer_spec
from optbench.optimizers.schedule import schedule
from optbench.optimizers.spec import ConfiguredOptimizer, OptimizerSpec
from optbench.planning.batch_sizes import batch_sizes
from optbench.planning.execution import Execution, choose
from optbench.planning.optimizer_choice import OptimizerChoice, choose_optimizer, plain_json
from optbench.planning.problem_choice import ProblemChoice
from optbench.problem.base import Problem
from optbench.problem.registry import BUILT_IN_PROBLEMS, make_problem, problem_class
from optbench.problem.validation import training_examples
from optbench.selection import Selection

#: Beyond this, an amount is a slip of the keyboard: more examples than any machine will see.
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
    #: Trials that are proposed together, from the results of the rounds before.
    round: int
    evaluations: int
    #: How steps are executed (see `execution`); decides no figure, and so is no part of the identity.
    execution: Execution

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What is computed, as plain JSON values; the id is its hash."""
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
            # Stored cells without this word bought trials with what a batch left of each run.
            **({"priced": "whole runs"} if self._leaves_trials else {}),
        }

    @property
    def _leaves_trials(self) -> bool:
        if not self.tuned or self.run_budget.unit == "seconds" or self.run_cost < self.batch_size:
            return False
        whole = self.run_cost - self.run_cost % self.batch_size
        return self.worth * self.run_cost // whole > self.worth // 1

    @cached_property
    def id(self) -> str:
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def run_cost(self) -> int:
        """The run budget in example gradients."""
        return self.run_budget.examples(self.training_examples)

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        """The labels under which the cell appears in tables."""
        return (self.problem.label, self.optimizer.label, self.batch_size, self.device, self.schedule)

    @property
    def tuned(self) -> bool:
        """Whether there is anything to tune, and a budget for it."""
        return bool(self.optimizer.search) and self.worth > 0

    def record(self) -> dict[str, Any]:
        """What tables need of the cell, as plain JSON values: reading results runs none of its code."""
        rate = self.optimizer.search.get("lr")
        return {
            "cell_id": self.id,
            **dict(zip(("problem", "optimizer", "batch_size", "device", "schedule"), self.key, strict=True)),
            "tuned": self.tuned,
            "execution": self.execution.name,
            "arguments": self.optimizer.arguments,
            "defaults": self.optimizer.defaults,
            "lr_range": rate.bounds if rate else None,
            "sampler": self.sampler if self.tuned else "",
            "problem_version": self.problem.version,
            "threads": self.threads,
            "evaluations": self.evaluations,
            **self.problem.measured,
        }

    def trainings(self, seeds: int, studies: int = 1) -> float:
        """Trainings of a full run budget that the cell takes, tuning included."""
        return (studies * self.worth + 2 * seeds) if self.tuned else seeds


@dataclass(frozen=True)
class Plan:
    """The cells of a configuration, in the order of the matrix; the seeds of their runs; how often each is tuned."""

    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    studies: int = 1
    #: What of the configuration is not in it, and why: lines for the user.
    notes: tuple[str, ...] = ()

    def trainings(self, cell: Cell) -> float:
        """Trainings of a full run budget that a cell of this plan takes."""
        return cell.trainings(len(self.seeds), self.studies)

    def seconds(self, cell: Cell) -> float:
        """A rough estimate from reference figures of the problem (one thread of a server CPU)."""
        problem = cell.problem.make()
        if cell.run_budget.unit == "seconds":
            return cell.run_budget.amount * self.trainings(cell)
        steps = cell.run_cost / cell.batch_size
        one = cell.run_cost * problem.microseconds_per_example + steps * problem.microseconds_per_step
        return one * 1e-6 * self.trainings(cell)


def make_plan(config: Config, execution: str = "auto", elsewhere: bool = False) -> Plan:
    """The plan of a configuration. Raises UserError for whatever in it doesn't exist or fit.

    `execution` forces one of `execution.choice.EXECUTIONS` on the cells that it can serve. Devices are those of
    this machine, or of workers `elsewhere`.
    """
    devices = list(dict.fromkeys(resolve(name, elsewhere) for name in config.devices))
    schedules = list(dict.fromkeys(map(_canonical_schedule, config.schedules)))
    optimizers = list(_optimizers(config))
    cells: dict[str, Cell] = {}
    notes = [
        f"{name} of optimizer {label} looks like its learning rate and is not tuned (call it lr, or give it a range "
        "in a TOML table)"
        for label, optimizer, _ in optimizers
        for name in optimizer.spec.other_rates
        if name not in optimizer.arguments
    ]
    for entry, choice, problem in _problems(config):
        budget = parse_budget(entry.run_budget or config.run_budget or problem.run_budget)
        examples = training_examples(problem)
        chosen = [choose_optimizer(label, optimizer, source, problem) for label, optimizer, source in optimizers]
        asked = entry.batch_sizes or config.batch_sizes
        sizes, left_out = batch_sizes(choice.label, examples, budget, asked, problem.batch_sizes)
        notes += left_out
        for device in devices:
            for batch_size in sizes:
                for text in schedules:
                    for optimizer in chosen:
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
                            execution=choose(problem, optimizer.step, device, batch_size, execution),
                        )
                        _check_fits(cell)
                        _check_same(cells.setdefault(cell.id, cell), cell)
    _check_labels(cells.values())
    return Plan(tuple(cells.values()), tuple(range(config.seeds)), config.tuning.studies, tuple(dict.fromkeys(notes)))


def _problems(config: Config) -> Iterator[tuple[ProblemEntry, ProblemChoice, Problem]]:
    for item in config.problems:
        entry = ProblemEntry(select=item) if isinstance(item, str) else item
        for chosen in selection.parse(entry.select):
            problem = make_problem(chosen.name, dict(chosen.parameters))
            label = str(Selection(_short_name(chosen.name, problem), tuple(problem.display().items())))
            yield entry, ProblemChoice(label, chosen, problem_identity(chosen.name, problem)), problem


def problem_identity(name: str, problem: Problem) -> dict[str, Any]:
    """What decides the numbers of a problem that was selected by this name, as plain JSON values."""
    identity: dict[str, Any] = {
        "name": _short_name(name, problem),
        "version": problem.version,
        "parameters": plain_json(problem.identity()),
    }
    if name not in BUILT_IN_PROBLEMS:
        cls = problem_class(name)
        identity["source"] = source_digest(name if ":" in name else f"{cls.__module__}:{cls.__name__}")
    return identity


def _short_name(name: str, problem: Problem) -> str:
    return getattr(type(problem), "name", type(problem).__name__) if ":" in name else name


def _optimizers(config: Config) -> Iterator[tuple[str, ConfiguredOptimizer, str]]:
    # All of them, also those that nothing selects: a mistake in a table is one.
    described = {name: described_optimizer(name, table) for name, table in config.optimizer.items()}
    for text in config.optimizers:
        for chosen in selection.parse(text):
            if chosen.name in described:
                spec = described[chosen.name]
            elif ":" not in chosen.name and config.optimizer:
                spec = _registered(chosen.name, config)
            else:
                spec = optimizer_spec(chosen.name)
            configured = spec.configured(dict(chosen.parameters))
            yield str(Selection(spec.name, chosen.parameters)), configured, code_version(spec)


def _registered(name: str, config: Config) -> OptimizerSpec:
    known = optimizer_names()
    if name not in known:
        raise unknown("optimizer", name, {*known, *config.optimizer})
    return optimizer_spec(name)


def _check_fits(cell: Cell) -> None:
    if cell.optimizer.scheduled and cell.schedule != "constant":
        raise UserError(
            f"optimizer {cell.optimizer.label} brings its own lr_schedule or lr_warmup, beside schedule "
            f"{cell.schedule} (accepted with it: constant)"
        )
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
    """Refuses two names for one optimizer: its cells have one row each, which could bear only one of them.

    The same name with parameters that say nothing new (`adam`, `adam[eps=1e-8]`) is asked for twice.
    """
    first, second = cell.optimizer.label, other.optimizer.label
    if first.partition("[")[0] != second.partition("[")[0]:
        raise UserError(f"optimizers {first} and {second} are the same; leave one of them out")


def _canonical_schedule(text: str) -> str:
    schedule(text)
    return str(selection.parse(text)[0])
