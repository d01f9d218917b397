"""The timing pass: how fast a cell steps on a machine that does nothing else meanwhile.

All times of a comparison come from here. Cells that train beside others on the same machine say
nothing about speed.
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
from optbench.training.construct import run_facts
from optbench.training.device_data import load
from optbench.training.stepper import Stepper

WARMUP_STEPS = 3
#: Repetitions of at least this many seconds each; their median and spread are reported.
REPETITIONS = 5
REPETITION_SECONDS = 0.03


def measure(job: Job) -> str:
    """Times a cell's steps at its default learning rate and writes `timing.json`.

    Seconds are given a unit of cost (one example gradient), median over repetitions with their
    lowest and highest; warm-up apart. Returns why a cell could not be timed; what fails in its training too is left
    to the cell itself to record.
    """
    try:
        timing = _timed(job.cell, job.source)
    except Exception as error:  # whatever a user's code raises
        return one_line(error)
    job.directory.cell(job.cell.id).write_timing({**timing, "environment": job.environment})
    return ""


def budget_from_seconds(cell: Cell, timing: dict[str, Any] | None) -> int:
    """A run budget in seconds as example gradients, by the cell's own speed in isolation."""
    if timing is None:
        raise RuntimeError("a budget in seconds needs the cell's timing, which could not be measured")
    return max(cell.batch_size, round(cell.run_budget.amount / timing["seconds_per_cost"]))


def _timed(cell: Cell, source: DataSource) -> dict[str, Any]:
    problem, data = load(cell.problem, source, cell.device)

    def fresh() -> Stepper:
        return Stepper(cell, problem, data, cell.optimizer.defaults, 0, Ledger(UNLIMITED))

    peak_memory = _peak_memory(cell, fresh())
    stepper = fresh()
    warmup = _time_steps(cell, stepper, WARMUP_STEPS)
    count = max(1, round(REPETITION_SECONDS / max(_time_steps(cell, stepper, 1), 1e-6)))
    # An optimizer that was told the number of steps may fail after the last one: a fresh one goes on.
    most = run_facts(cell, UNLIMITED)["steps"] if cell.optimizer.from_run else UNLIMITED
    count = min(count, max(1, most - WARMUP_STEPS))
    per_cost, per_step = [], []
    for _ in range(REPETITIONS):
        if stepper.steps + count > most:
            stepper = fresh()
            _time_steps(cell, stepper, min(WARMUP_STEPS, max(0, most - count)))
        before = stepper.ledger.cost
        seconds = _time_steps(cell, stepper, count)
        per_cost.append(seconds / (stepper.ledger.cost - before))
        per_step.append(seconds / count)
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
    """Highest memory that one step allocates on the device above what lay there before it.

    Always of the same step, the one after the optimizer has allocated its state.
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
