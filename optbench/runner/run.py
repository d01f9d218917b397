"""Computes the missing cells of a plan in a results directory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.baselines.located import stored_as
from optbench.config.schema import Config
from optbench.conformance.doubts import doubts
from optbench.errors import UserError, one_line
from optbench.machine.environment import describe
from optbench.machine.signals import terminated_as_interrupt
from optbench.planning.matrix import Cell, Plan
from optbench.results.atomic import ResultsUnwritable
from optbench.results.directory import ResultsDirectory
from optbench.results.store import FAILED
from optbench.runner.engines import default_workers, make_engine
from optbench.runner.job import Job
from optbench.runner.options import RunOptions
from optbench.runner.preflight import check_data, check_optimizers
from optbench.runner.progress import SilentProgress
from optbench.runner.window import Engine, TimeLimit, completed
from optbench.training.shared_data import SharedMemory

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class RunOutcome:
    """What a run came to: by cell id its state, `done`, `failed` or `missing`.

    `unchanged` says that nothing was computed and the options vouched for the records.
    """

    states: dict[str, str]
    unchanged: bool


def run(
    plan: Plan,
    config: Config,
    directory: ResultsDirectory,
    options: RunOptions,
    progress: SilentProgress | None = None,
) -> RunOutcome:
    """Computes the cells of a plan that a results directory lacks; run again, it goes on where it stopped.

    `config` is what the plan was made of. Raises UserError for what can't work, before anything is computed.
    KeyboardInterrupt leaves a state from which the same call resumes.
    """
    progress = progress or SilentProgress()
    for note in plan.notes:
        progress.message(note)
    existed = directory.folder.exists()
    start_over = options.fresh and (directory.folder / "format.json").exists()
    if not start_over:
        directory.create()
    with directory.lock(), ExitStack() as stack:
        wanted = ("missing", "failed") if options.retry_failed else ("missing",)
        repeats = plan.seeds, plan.studies
        damaged: dict[str, str] = {}
        states = {c.id: "missing" if start_over else directory.cell(c.id).state(*repeats) for c in plan.cells}
        record = _record(plan)
        incomplete = any(state in wanted for state in states.values())
        unchanged = options.intact and not (start_over or incomplete) and directory.has_plan(record)
        if not start_over and not unchanged:
            damaged = {c.id: file for c in plan.cells if (file := directory.cell(c.id).damage())}
            states |= dict.fromkeys(damaged, "missing")
        missing = [cell for cell in plan.cells if states[cell.id] in wanted]
        # Every check that needs no training runs before the first write.
        alone = options.engine == "serial" or options.elsewhere
        memory = None if alone else stack.enter_context(SharedMemory())
        client = None
        try:
            if missing and options.scheduler is not None:
                from optbench.runner.dask.cluster import connected

                client = stack.enter_context(connected(options.scheduler))
            known = {} if start_over else directory.planes()
            planes = check_data(missing, options.source, memory, known)
            notes = check_optimizers(missing) if missing else []
        except BaseException:
            if not existed:
                directory.withdraw()
            raise
        try:
            environment = _prepare(directory, config, plan, record, planes, start_over, options.elsewhere)
            directory.write_against(None if options.against is None else stored_as(options.against))
            for cell_id, file in damaged.items():
                progress.message(f"cell {cell_id}: {file} is damaged; the cell is computed again")
                directory.cell(cell_id).discard()
            if kept := _kept(directory, plan):
                progress.message(f"{kept} cells of other configurations are kept, and left out of the tables")
            if missing:
                for note in (*notes, *(doubts(config) if progress.read else ())):
                    progress.message(note)
                progress.message(_what_is_missing(plan, missing))
                _Execution(plan, directory, options, environment, memory, client, progress).run(missing)
        except OSError as error:
            raise unwritable(error, directory.folder) from error
        states |= {cell.id: directory.cell(cell.id).state(*repeats) for cell in missing}
    return RunOutcome(states, unchanged)


def unwritable(error: OSError, folder: Path) -> UserError:
    """What to tell a user whose disk refuses what a run writes."""
    return UserError(
        f"results can't be written: {error.strerror or error} ({error.filename or folder}); what was computed is kept, "
        "and the same command resumes"
    )


def _prepare(
    directory: ResultsDirectory,
    config: Config,
    plan: Plan,
    record: dict[str, Any],
    planes: dict[str, Any],
    start_over: bool,
    elsewhere: bool,
) -> str:
    """Writes down what is going to be computed; returns the key of the environment."""
    if start_over:
        directory.clear()
        directory.create()
    directory.migrate()
    # Devices of a scheduler's workers need not be here: these describe themselves.
    environment = describe(() if elsewhere else (cell.device for cell in plan.cells))
    directory.write_environment(environment)
    directory.write_config(config)
    directory.write_plan(record)
    directory.add_planes(planes)
    return str(environment["key"])


def _record(plan: Plan) -> dict[str, Any]:
    """A plan as it is written down."""
    cells = [cell.record() for cell in plan.cells]
    return {"seeds": list(plan.seeds), "studies": plan.studies, "cells": cells}


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
        client: Client | None,
        progress: SilentProgress,
    ) -> None:
        self.plan, self.directory, self.options = plan, directory, options
        self.environment = environment
        self.memory, self.client = memory, client
        self.progress = progress
        self.threads = max(cell.threads for cell in plan.cells)
        self.devices = {cell.device for cell in plan.cells}

    def run(self, missing: Sequence[Cell]) -> None:
        for cell in missing:
            if self.directory.cell(cell.id).state(self.plan.seeds) == "failed":
                self.directory.cell(cell.id).forget_failures()
        # One engine for both passes: each worker imports torch once, and the first one stays warm.
        with terminated_as_interrupt(), self._engine(len(missing)) as engine:
            self._time(engine, missing)
            self._compute(engine, missing)

    def _time(self, engine: Engine, missing: Sequence[Cell]) -> None:
        """The timing pass: one cell after another on a machine that does nothing else meanwhile."""
        from optbench.runner.timing_pass import measure

        untimed = [self._job(cell) for cell in missing if self.directory.cell(cell.id).timing() is None]
        if not untimed:
            return
        with self.progress.phase("timing steps in isolation", len(untimed)) as phase:
            limit = self.options.cell_timeout
            for job, future in completed(engine, measure, untimed, alone=True, tell=phase.message, limit=limit):
                # Whatever fails here, a dying worker included, will fail in the cell itself, which records it.
                if isinstance(error := future.exception(), ResultsUnwritable):
                    raise error
                if error is None and (reason := future.result()):
                    phase.message(f"{job.name}: steps can't be timed: {reason}")
                phase.advance(1)

    def _compute(self, engine: Engine, missing: Sequence[Cell]) -> None:
        from optbench.runner.cell import execute, record_lost

        # The most expensive first, so that no worker is left alone with a long one at the end.
        weights = {cell.id: max(self.plan.seconds(cell), 1e-9) for cell in missing}
        jobs = [self._job(cell) for cell in sorted(missing, key=lambda cell: -weights[cell.id])]
        with self.progress.phase("training", sum(weights.values())) as phase:

            def look(under_way: Collection[Job]) -> None:
                for job in under_way:
                    phase.partial(job.cell.id, weights[job.cell.id] * self._share(job.cell))

            limit = self.options.cell_timeout
            for job, future in completed(engine, execute, jobs, tell=phase.message, look=look, limit=limit):
                try:
                    status = future.result()
                except BrokenExecutor:
                    status = "error"
                    often = f", {job.attempt + 1} times" if job.attempt else ""
                    record_lost(job, f"the worker process died (killed, or out of memory{often})")
                except ResultsUnwritable:
                    raise
                except TimeLimit:
                    status = "timeout"
                    record_lost(job, f"not done within {limit:g} s", status)
                except Exception as error:
                    status = "error"
                    record_lost(job, one_line(error))
                phase.finish(job.cell.id, weights[job.cell.id])
                result = self.directory.cell(job.cell.id).result() or {}
                if status in FAILED:
                    phase.message(f"{job.name}: {result.get('error') or status}")
                for remark in result.get("remarks") or ():
                    phase.message(f"{job.name}: {remark}")

    def _job(self, cell: Cell) -> Job:
        shared = self.plan.seeds, self.directory, self.options.source, self.environment
        return Job(cell, *shared, studies=self.plan.studies)

    def _share(self, cell: Cell) -> float:
        """How much of a cell that is under way is on the disk, between 0 and 1."""
        planned = self.plan.trainings(cell)
        return min(0.99, self.directory.cell(cell.id).finished_trainings() / max(planned, 1))

    @contextmanager
    def _engine(self, cells: int) -> Iterator[Engine]:
        prepare = self.memory.for_workers() if self.memory else None
        with ExitStack() as stack:
            if self.options.engine == "dask":
                engine: Engine = self._dask(stack, cells, prepare)
            else:
                workers = self.options.workers or default_workers(self.threads, self.devices)
                engine = make_engine(self.options.engine, min(workers, cells), self.threads, prepare)
            try:
                yield engine
            except BaseException:
                engine.kill()
                raise
            engine.shutdown()

    def _dask(self, stack: ExitStack, cells: int, prepare: Callable[[], None] | None) -> Engine:
        from optbench.runner.dask.cluster import gpus_here, local
        from optbench.runner.dask.engine import DaskEngine

        environment = self.directory.environments()[self.environment]
        if self.client is not None:
            return DaskEngine(self.client, self.directory, environment, limit=self.options.workers)
        gpus = gpus_here() if any(device.startswith("cuda") for device in self.devices) else []
        workers = self.options.workers or len(gpus) or default_workers(self.threads, self.devices)
        client = stack.enter_context(local(min(workers, cells), self.threads, gpus))
        return DaskEngine(client, self.directory, environment, ours=True, prepare=prepare)
