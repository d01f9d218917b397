"""Measures the speed of own problems for the estimates of `plan`: a few steps and one evaluation of each."""

from __future__ import annotations

import time
from contextlib import redirect_stdout
from dataclasses import replace
from sys import stderr

import torch

from optbench.budget import UNLIMITED, Ledger
from optbench.errors import one_line
from optbench.machine.device import make_deterministic, synchronize
from optbench.machine.settings import keep_settings
from optbench.planning.matrix import Cell, Plan
from optbench.planning.speed import Speed
from optbench.problem.data import DataSource
from optbench.training.device_data import ResidentData, load
from optbench.training.evaluation import measure_batch
from optbench.training.stepper import Stepper

#: Seconds after which no further measurement begins; one step and a part of an evaluation may take longer.
LIMIT = 3.0
#: The most steps at one batch size. They come after one step in which libraries set themselves up.
STEPS = 8


def with_measured_speeds(plan: Plan, source: DataSource) -> Plan:
    """Returns a plan whose estimates for own problems rest on steps and evaluations that are timed now.

    Each problem is measured at each batch size, as long as `LIMIT` seconds have not passed. After that, a batch size
    has the speed of the nearest one that was measured, and a problem without any keeps its rough estimate. A problem
    that fails keeps it as well, and a note gives the reason.

    Args:
        plan: The plan.
        source: Where data are read from.
    """
    groups: dict[tuple[str, int, str], Cell] = {}
    for cell in sorted((cell for cell in plan.cells if cell.problem.own), key=_oddity):
        groups.setdefault((cell.problem.label, cell.batch_size, cell.device), cell)
    speeds: dict[tuple[str, int, str], Speed] = {}
    failed: dict[str, str] = {}
    started = time.perf_counter()
    for place, (key, cell) in enumerate(groups.items()):
        left = LIMIT - (time.perf_counter() - started)
        if left <= 0 or key[0] in failed:
            continue
        try:
            with keep_settings(), redirect_stdout(stderr):  # what a user's code prints is not part of the plan
                speeds[key] = _measure(cell, source, left / (len(groups) - place))
        except Exception as error:  # any error of a user's code; `run` reports it as well
            failed[key[0]] = f"the speed of problem {key[0]} can't be measured: {one_line(error)}"
    for key in groups.keys() - speeds.keys():
        alike = [known for known in speeds if (known[0], known[2]) == (key[0], key[2])]
        if alike:
            speeds[key] = speeds[min(alike, key=lambda known: abs(known[1] - key[1]))]
    return replace(plan, speeds=speeds, notes=(*plan.notes, *failed.values()))


def _oddity(cell: Cell) -> bool:
    """Orders cells for the choice of one per group: steps of own code or several passes show less of the problem."""
    choice = cell.optimizer
    return not choice.trusted or choice.needs_closure or choice.second_backward


def _measure(cell: Cell, source: DataSource, limit: float) -> Speed:
    """Times steps and an evaluation, each in at most half of `limit` seconds unless one of them takes longer."""
    begun = time.perf_counter()
    make_deterministic(cell.threads)
    problem, data = load(cell.problem, source, cell.device)
    stepper = Stepper(cell, problem, data, cell.optimizer.defaults, 0, Ledger(UNLIMITED))
    most = min(STEPS, stepper.facts["steps"] - 1)
    per_cost = _time_step(cell, stepper)
    times: list[float] = []
    while len(times) < most and time.perf_counter() - begun < limit / 2:
        times.append(_time_step(cell, stepper))
    per_cost = sorted(times)[len(times) // 2] if times else per_cost
    per_example = _time_evaluation(cell, stepper, data, limit / 2)
    examples = len(data.train_sample) + len(data.valid)
    return Speed(per_cost, (cell.evaluations + 1) * examples * per_example, len(data.test) * per_example)


def _time_step(cell: Cell, stepper: Stepper) -> float:
    """Takes a step, and returns its seconds per example gradient."""
    started, before = time.perf_counter(), stepper.ledger.cost
    stepper.step()
    synchronize(cell.device)
    return (time.perf_counter() - started) / (stepper.ledger.cost - before)


def _time_evaluation(cell: Cell, stepper: Stepper, data: ResidentData, limit: float) -> float:
    """Evaluates on the validation split, and returns the seconds per example.

    If the whole split would take longer than `limit` seconds, only a few examples are evaluated, as many as in a batch.
    """
    few = next(data.valid.chunks(min(cell.batch_size, stepper.problem.evaluation_batch)))
    with torch.no_grad(), stepper.evaluating():
        started = time.perf_counter()
        measure_batch(stepper.problem, stepper.model, few)
        synchronize(cell.device)
        per_example = (time.perf_counter() - started) / len(few[0])
    if per_example * len(data.valid) > limit:
        return per_example
    started = time.perf_counter()
    stepper.evaluate(data.valid)
    synchronize(cell.device)
    return (time.perf_counter() - started) / len(data.valid)
