"""The timing pass: measures the speed of a cell's steps on an otherwise idle machine.

All times in a comparison are from this pass. The durations of trainings are not used, because several cells train on
the same machine at the same time.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from optbench.budget import UNLIMITED, Ledger
from optbench.errors import one_line
from optbench.machine.allocations import memory_changes
from optbench.machine.device import synchronize
from optbench.planning.matrix import Cell
from optbench.problem.data import DataSource
from optbench.runner.job import Job
from optbench.training.device_data import load
from optbench.training.isolation import depends_on_past
from optbench.training.stepper import Stepper

WARMUP_STEPS = 3
#: Number of repetitions, whose median and range are reported, and the minimum duration of each in seconds.
REPETITIONS = 5
REPETITION_SECONDS = 0.03


def measure(job: Job) -> str:
    """Times a cell's steps at the default hyperparameters and writes `timing.json`.

    Records the seconds per unit of cost (one example gradient) and per step: the median over repetitions, with the
    lowest and the highest. The warm-up is recorded separately. If a step fails, nothing is written.

    Returns:
        The reason why the cell could not be timed, or "".
    """
    try:
        timing = _time_cell(job.cell, job.source)
    except Exception as error:  # any error of a user's code
        return one_line(error)
    job.directory.cell(job.cell.id).write_timing({**timing, "environment": job.environment})
    return ""


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


def _time_cell(cell: Cell, source: DataSource) -> dict[str, Any]:
    problem, data = load(cell.problem, source, cell.device)

    def make_stepper() -> Stepper:
        return Stepper(cell, problem, data, cell.optimizer.defaults, 0, Ledger(UNLIMITED))

    depends_on_past(cell, problem, data)  # the many steps of this pass would hide the state of a new process
    peak_memory = _peak_memory(cell, make_stepper())
    stepper = make_stepper()
    warmup = _time_steps(cell, stepper, WARMUP_STEPS)
    count = max(1, round(REPETITION_SECONDS / max(_time_steps(cell, stepper, 1), 1e-6)))
    # An optimizer that receives the number of steps may fail after the last one, so a new one continues.
    most = stepper.facts["steps"] if cell.optimizer.from_run else UNLIMITED
    count = min(count, max(1, most - WARMUP_STEPS))
    per_cost, per_step = [], []
    for _ in range(REPETITIONS):
        if stepper.steps + count > most:
            stepper = make_stepper()
            _time_steps(cell, stepper, min(WARMUP_STEPS, max(0, most - count)))
        before = stepper.ledger.cost
        seconds = _time_steps(cell, stepper, count)
        per_cost.append(seconds / (stepper.ledger.cost - before))
        per_step.append(seconds / count)
    depends_on_past(cell, problem, data)
    return {
        "seconds_per_cost": float(np.median(per_cost)),
        "seconds_per_cost_low": min(per_cost),
        "seconds_per_cost_high": max(per_cost),
        "seconds_per_step": float(np.median(per_step)),
        "seconds_per_step_low": min(per_step),
        "seconds_per_step_high": max(per_step),
        "warmup_seconds": warmup,
        "repetitions": REPETITIONS,
        "steps": count,
        "peak_memory_bytes": peak_memory,
    }


def _time_steps(cell: Cell, stepper: Stepper, count: int) -> float:
    synchronize(cell.device)
    started = time.perf_counter()
    for _ in range(count):
        stepper.step()
    synchronize(cell.device)
    return time.perf_counter() - started


def _peak_memory(cell: Cell, stepper: Stepper) -> int | None:
    """Returns the peak memory in bytes that one step allocates on the device; None if it can't be measured.

    Measures the first step after the warm-up, when the optimizer has allocated its state.
    """
    for _ in range(WARMUP_STEPS):
        stepper.step()
    if cell.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(cell.device)
        before = torch.cuda.memory_allocated(cell.device)
        stepper.step()
        return torch.cuda.max_memory_allocated(cell.device) - before
    if cell.device != "cpu":
        return None
    return int(max(np.cumsum(memory_changes(stepper.step)), default=0))
