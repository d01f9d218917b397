"""The timing pass: measures the speed of a cell's steps on an otherwise idle machine.

All times in a comparison are from this pass. The durations of trainings are not used, because several cells train on
the same machine at the same time.

What is timed is an excerpt of a training: steps that are spread evenly over it, so that parts that thaw weigh what they
weigh in a run. Every repetition computes the same steps again. So its steps may differ from each other as they like,
and repetitions differ only because of the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from optbench.errors import one_line
from optbench.formatting import format_number
from optbench.machine.allocations import memory_changes
from optbench.machine.device import make_deterministic, synchronize
from optbench.planning.matrix import Cell
from optbench.planning.planned_code import check_unchanged
from optbench.problem.data import DataSource
from optbench.runner.job import Job
from optbench.statistics.periods import find_period, find_rare_steps, period_weights
from optbench.training.device_data import load
from optbench.training.excerpt import WARMUP_STEPS, begin_excerpt, most_steps
from optbench.training.isolation import depends_on_past
from optbench.training.stepper import Stepper

#: Number of repetitions, whose median and range are reported, and the minimum duration of each in seconds. The median
#: of passes with 0.15 s varied as much from pass to pass (docs/performance.md). One more repetition comes before them,
#: in which libraries set themselves up for what only happens later in a training.
REPETITIONS = 3
REPETITION_SECONDS = 0.05
#: The share of a training that all repetitions together take if it is long.
SHARE = 0.5
#: Steps of a repetition that make two periods of most methods with rare expensive steps, the seconds that these steps
#: may take in short trainings, and the steps that a short training is extended to for this purpose if they take less.
FEWEST_STEPS, LONGEST_SECONDS, EXTENDED_STEPS = 24, 0.5, 60
#: Fewest steps over which a mean is taken, also if a training has less.
FEWEST_AVERAGED = 10
#: The machine was not idle if the slowest repetition took this many times as long as the fastest one, and longer by
#: this many seconds, which exceed the pauses that an idle machine makes.
LOADED_FACTOR, LOADED_SECONDS = 1.5, 0.05


def measure(job: Job) -> str:
    """Times a cell's steps at the default hyperparameters and writes `timing.json`.

    Records the seconds per unit of cost (one example gradient) and per step: the median over repetitions, with the
    lowest and the highest. The warm-up is recorded separately. If a step fails, nothing is written.

    Returns:
        What the user has to know: why the cell could not be timed, or that the machine was not idle; otherwise "".
    """
    try:
        check_unchanged(job.cell)
        timing = _time_cell(job.cell, job.source)
        check_unchanged(job.cell)
    except Exception as error:  # any error of a user's code
        return f"steps can't be timed: {one_line(error)}"
    job.directory.cell(job.cell.id).write_timing({**timing, "environment": job.environment})
    return str(timing["remark"])


def budget_from_seconds(cell: Cell, timing: dict[str, Any] | None) -> int:
    """Converts a run budget in seconds into example gradients, by the cell's measured speed.

    Args:
        cell: A cell whose run budget is in seconds.
        timing: The cell's timing; None if it could not be measured.

    Raises:
        RuntimeError: There is no timing.
    """
    if timing is None:
        raise RuntimeError("a budget in seconds needs the cell's timing, which could not be measured")
    return max(cell.batch_size, round(cell.run_budget.amount / timing["seconds_per_cost"]))


@dataclass(frozen=True)
class _Extent:
    """The extent of a repetition.

    Attributes:
        warmup: Number of steps before it.
        averaged: Number of steps that stand for a training.
        steps: Number of steps that are taken; those after the averaged ones only help to find a period.
        length: Cost of the averaged steps in example gradients.
        rounds: How often the steps are taken, each time from the start.
    """

    warmup: int
    averaged: int
    steps: int
    length: float
    rounds: int


def _time_cell(cell: Cell, source: DataSource) -> dict[str, Any]:
    make_deterministic(cell.threads)
    problem, data = load(cell.problem, source, cell.device)

    def begin(warmup: int, length: float) -> Stepper:
        return begin_excerpt(cell, problem, data, warmup, length)

    depends_on_past(cell, problem, data)  # the many steps of this pass would hide the state of a new process
    first = begin(0, 1.0)
    most = most_steps(first, cell)
    trial = [_time_steps(cell, first, 1)[0].item() for _ in range(min(WARMUP_STEPS, most))]
    extent = _choose_extent(cell, min(trial), first.ledger.cost / first.steps, most)

    def repeat() -> tuple[np.ndarray, np.ndarray]:
        return _time_steps(cell, begin(extent.warmup, extent.length), extent.steps)

    _, costs = repeat()
    repetitions = [np.mean([repeat()[0] for _ in range(extent.rounds)], axis=0) for _ in range(REPETITIONS)]
    # Load on the machine delays other steps in each repetition, so the shortest times show the steps themselves.
    rare = find_rare_steps(np.min(repetitions, axis=0))
    weights = period_weights(rare, extent.averaged)
    per_step = [float(weights @ seconds) for seconds in repetitions]
    per_cost = [seconds / float(weights @ costs) for seconds in per_step]
    period = find_period(rare)
    # The places at which a step may need more memory than elsewhere.
    places = {0, *([int(rare.argmax())] if period else []), *([extent.averaged - 1] if problem.freezing else [])}
    depends_on_past(cell, problem, data)
    return {
        "seconds_per_cost": float(np.median(per_cost)),
        "seconds_per_cost_low": min(per_cost),
        "seconds_per_cost_high": max(per_cost),
        "seconds_per_step": float(np.median(per_step)),
        "seconds_per_step_low": min(per_step),
        "seconds_per_step_high": max(per_step),
        "warmup_seconds": sum(trial),
        "repetitions": REPETITIONS,
        "steps": extent.steps,
        "period": period,
        "remark": _remark_load(per_step, [extent.rounds * float(seconds.sum()) for seconds in repetitions]),
        "peak_memory_bytes": _peak_memory(cell, begin(extent.warmup, extent.length), places),
    }


def _choose_extent(cell: Cell, step_seconds: float, step_cost: float, most: int) -> _Extent:
    """Decides how many steps are timed.

    All repetitions together take about half as long as one training, or up to two seconds if that is longer.
    """
    if cell.run_budget.unit == "seconds":
        training = int(cell.run_budget.amount / max(step_seconds, 1e-9))
    else:
        training = int(cell.run_cost / step_cost)
    warmup = min(WARMUP_STEPS, most - 1)
    training = max(1, training - warmup)
    affordable = max(
        int(SHARE * training / (REPETITIONS + 1)),
        int(min(FEWEST_STEPS, LONGEST_SECONDS / step_seconds)),
        int(REPETITION_SECONDS / step_seconds),
        1,
    )
    steps = min(max(training, EXTENDED_STEPS), affordable, most - warmup)
    averaged = min(steps, max(training, FEWEST_AVERAGED))
    rounds = max(1, round(REPETITION_SECONDS / (steps * step_seconds)))
    return _Extent(warmup, averaged, steps, averaged * step_cost, rounds)


def _time_steps(cell: Cell, stepper: Stepper, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Takes steps and returns the seconds and the cost of each, shape (count,).

    An accelerator is synchronised before the first step and after the last one only, so that it is used as in a
    training. Times of single steps are then times of the host, and only their sum is exact.
    """
    clock, cost = np.empty(count + 1), np.empty(count + 1)
    synchronize(cell.device)
    clock[0], cost[0] = time.perf_counter(), stepper.ledger.cost
    for place in range(1, count + 1):
        stepper.step()
        clock[place], cost[place] = time.perf_counter(), stepper.ledger.cost
    synchronize(cell.device)
    clock[-1] = time.perf_counter()
    return np.diff(clock), np.diff(cost)


def _remark_load(per_step: list[float], totals: list[float]) -> str:
    low, high = min(totals), max(totals)
    if high <= LOADED_FACTOR * low or high - low <= LOADED_SECONDS:
        return ""
    fast, slow = (format_number(1e3 * seconds, 3) for seconds in (min(per_step), max(per_step)))
    return (
        f"the machine was not idle while steps were timed: {len(per_step)} repetitions of the same steps took from "
        f"{fast} to {slow} ms per step"
    )


def _peak_memory(cell: Cell, stepper: Stepper, places: Collection[int]) -> int | None:
    """Returns the peak memory in bytes that one step allocates on the device; None if it can't be measured.

    Args:
        cell: The cell.
        stepper: A stepper after the warm-up, in which the optimizer has allocated its state.
        places: The steps that are measured, counted from 0.
    """
    peaks: list[int] = []
    for place in range(max(places) + 1):
        if place not in places:
            stepper.step()
        elif (peak := _measure_peak(cell, stepper.step)) is None:
            return None
        else:
            peaks.append(peak)
    return max(peaks)


def _measure_peak(cell: Cell, step: Callable[[], Any]) -> int | None:
    if cell.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(cell.device)
        before = torch.cuda.memory_allocated(cell.device)
        step()
        return torch.cuda.max_memory_allocated(cell.device) - before
    if cell.device != "cpu":
        return None
    return int(max(np.cumsum(memory_changes(step)), default=0))
