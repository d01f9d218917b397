"""`optbench run`: plans, computes what is missing, and writes what can be read."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.config import Config
from optbench.engine import ENGINES, ProcessEngine, default_workers, make_engine
from optbench.environment import describe
from optbench.errors import UserError, one_line, out_of_range, unknown
from optbench.matrix import Cell, Plan, make_plan
from optbench.metrics import METRICS
from optbench.outputs import Outputs, places, write_outputs
from optbench.preflight import check_data, check_optimizers
from optbench.problem import DataSource
from optbench.progress import SilentProgress
from optbench.results.atomic import ResultsUnwritable
from optbench.results.directory import ResultsDirectory
from optbench.results.store import FAILED
from optbench.shared import SharedMemory

#: How often a running cell is asked how far it is, in seconds.
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class RunOptions:
    """How a plan is computed; nothing here changes a figure."""

    source: DataSource
    engine: str = "processes"
    workers: int | None = None
    retry_failed: bool = False
    fresh: bool = False
    report: Path | None = None
    rank_by: str = "test_metric"
    execution: str = "auto"
    #: Whether tables, plots and the page are written.
    outputs: bool = True

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.rank_by not in METRICS:
            raise unknown("metric", self.rank_by, METRICS)
        if self.workers is not None and self.workers < 1:
            raise out_of_range("workers", self.workers, "at least 1")


@dataclass(frozen=True)
class RunOutcome:
    """Where everything is, and how much of it there is."""

    directory: Path
    outputs: Outputs
    cells: int
    failed: int


def run(config: Config, folder: Path, options: RunOptions, progress: SilentProgress | None = None) -> RunOutcome:
    """Runs a configuration in a results directory; run again, it computes only what is missing.

    Raises UserError for what can't work, before anything is computed. KeyboardInterrupt leaves a state
    from which the same call resumes.
    """
    progress = progress or SilentProgress()
    plan = make_plan(config, options.execution)
    directory = ResultsDirectory(folder)
    found = folder.exists()
    start_over = options.fresh and (folder / "format.json").exists()
    if not start_over:
        directory.create()
    with directory.lock(), ExitStack() as stack:
        wanted = ("missing", "failed") if options.retry_failed else ("missing",)
        states = {c.id: "missing" if start_over else directory.cell(c.id).state(plan.seeds) for c in plan.cells}
        damaged = {} if start_over else {c.id: file for c in plan.cells if (file := directory.cell(c.id).damage())}
        states |= dict.fromkeys(damaged, "missing")
        missing = [cell for cell in plan.cells if states[cell.id] in wanted]
        # Whatever can be known to fail does so here, before anything on the disk is touched.
        memory = None if options.engine == "serial" else stack.enter_context(SharedMemory())
        try:
            known = {} if start_over else directory.planes()
            planes = check_data(missing, options.source, memory, known)
            if missing:
                check_optimizers(missing)
        except BaseException:
            if not found:
                directory.withdraw()
            raise
        try:
            environment = _prepare(directory, config, plan, planes, start_over)
            for cell_id, file in damaged.items():
                progress.message(f"cell {cell_id}: {file} is damaged; the cell is computed again")
                directory.cell(cell_id).discard()
            if kept := _kept(directory, plan):
                progress.message(f"{kept} cells of other configurations are kept, and left out of the tables")
            if missing:
                progress.message(_what_is_missing(plan, missing))
                _Execution(plan, directory, options, environment, memory, progress).run(missing)
            write = write_outputs if options.outputs else places
            outputs = write(directory, options.report, options.rank_by)
        except OSError as error:
            raise UserError(
                f"results can't be written: {error.strerror or error} ({error.filename or folder}); what was "
                "computed is kept, and the same command resumes"
            ) from error
        states |= {cell.id: directory.cell(cell.id).state(plan.seeds) for cell in missing}
    return RunOutcome(folder, outputs, len(states), list(states.values()).count("failed"))


def _prepare(directory: ResultsDirectory, config: Config, plan: Plan, planes: dict[str, Any], start_over: bool) -> str:
    """Writes down what is going to be computed; returns the key of the environment."""
    if start_over:
        directory.clear()
        directory.create()
    environment = describe(cell.device for cell in plan.cells)
    directory.write_environment(environment)
    directory.write_config(config)
    directory.write_plan({"seeds": list(plan.seeds), "cells": [cell.record() for cell in plan.cells]})
    directory.add_planes(planes)
    return str(environment["key"])


def _kept(directory: ResultsDirectory, plan: Plan) -> int:
    """How many cells lie here that are not of this plan."""
    planned = {cell.id for cell in plan.cells}
    return sum(path.name not in planned for path in (directory.folder / "cells").glob("*"))


def _what_is_missing(plan: Plan, missing: Sequence[Cell]) -> str:
    there = len(plan.cells) - len(missing)
    devices = ", ".join(sorted({cell.device for cell in plan.cells}))
    return f"{len(missing)} of {len(plan.cells)} cells to compute on {devices}" + (
        f", {there} are there already" if there else ""
    )


class _Execution:
    """Computes the missing cells of a plan in a sliding window as wide as there are workers."""

    def __init__(
        self,
        plan: Plan,
        directory: ResultsDirectory,
        options: RunOptions,
        environment: str,
        memory: SharedMemory | None,
        progress: SilentProgress,
    ) -> None:
        self.plan, self.directory, self.options = plan, directory, options
        self.environment = environment
        self.memory = memory
        self.progress = progress
        self.threads = max(cell.threads for cell in plan.cells)
        devices = {cell.device for cell in plan.cells}
        self.workers = 1 if options.engine == "serial" else options.workers or default_workers(self.threads, devices)

    def run(self, missing: Sequence[Cell]) -> None:
        for cell in missing:
            if self.directory.cell(cell.id).state(self.plan.seeds) == "failed":
                self.directory.cell(cell.id).forget_failures()
        # One engine for both passes: each worker imports torch once, and the first one stays warm.
        with _terminated_as_interrupt(), self._engine(min(self.workers, len(missing))) as engine:
            self._time(engine, missing)
            self._compute(engine, missing)

    def _time(self, engine: Executor, missing: Sequence[Cell]) -> None:
        """The timing pass: one cell after another on the first worker, before any other is started."""
        from optbench.timing import measure

        untimed = [cell for cell in missing if self.directory.cell(cell.id).timing() is None]
        if not untimed:
            return
        with self.progress.phase("timing steps in isolation", len(untimed)) as phase:
            for cell in untimed:
                future = engine.submit(measure, cell, self.options.source, self.directory, self.environment)
                # A worker that dies here will die on the cell itself, which records it.
                with suppress(BrokenProcessPool):
                    future.result()
                phase.advance(1)

    def _compute(self, engine: Executor, missing: Sequence[Cell]) -> None:
        from optbench.cell import Job, execute, record_lost

        # The most expensive first, so that no worker is left alone with a long one at the end.
        weights = {cell.id: max(self.plan.seconds(cell), 1e-9) for cell in missing}
        waiting = sorted(missing, key=lambda cell: -weights[cell.id])
        with self.progress.phase("training", sum(weights.values())) as phase:
            under_way: dict[Future[str], Job] = {}
            while waiting or under_way:
                while waiting and len(under_way) < self.workers:
                    job = Job(waiting.pop(0), self.plan.seeds, self.directory, self.options.source, self.environment)
                    under_way[engine.submit(execute, job)] = job
                done, _ = wait(under_way, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    job = under_way.pop(future)
                    try:
                        status = future.result()
                    except BrokenProcessPool:
                        status = "error"
                        record_lost(job, "the worker process died (killed, or out of memory)")
                    except ResultsUnwritable:
                        raise
                    except Exception as error:
                        status = "error"
                        record_lost(job, one_line(error))
                    phase.finish(job.cell.id, weights[job.cell.id])
                    if status in FAILED:
                        phase.message(f"{' × '.join(map(str, job.cell.key[:3]))}: {status}")
                for job in under_way.values():
                    phase.partial(job.cell.id, weights[job.cell.id] * self._share(job.cell))

    def _share(self, cell: Cell) -> float:
        """How much of a cell that is under way is on the disk, between 0 and 1."""
        planned = cell.trainings(len(self.plan.seeds))
        return min(0.99, self.directory.cell(cell.id).finished_trainings() / max(planned, 1))

    @contextmanager
    def _engine(self, workers: int) -> Iterator[Executor]:
        engine = make_engine(
            self.options.engine, workers, self.threads, self.memory.for_workers() if self.memory else None
        )
        try:
            yield engine
        except BaseException:
            if isinstance(engine, ProcessEngine):
                engine.kill()
            raise
        engine.shutdown()


@contextmanager
def _terminated_as_interrupt() -> Iterator[None]:
    """Treats SIGTERM like Ctrl-C: stop at once, leave a state that can be resumed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
