"""Computes the missing cells of a plan in a results directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from optbench.baselines.located import encode_location
from optbench.config.schema import Config
from optbench.conformance.doubts import find_doubts
from optbench.errors import UserError, one_line
from optbench.machine.environment import describe_environment
from optbench.machine.main_guard import require_main_guard
from optbench.machine.signals import endings_as_interrupts
from optbench.planning.matrix import Cell, Plan
from optbench.problem.data import Data
from optbench.results.atomic import ResultsWriteError
from optbench.results.cell_status import describe_lack
from optbench.results.directory import ResultsDirectory
from optbench.results.store import FAILED
from optbench.runner.engines import begin_imports, default_workers, make_engine
from optbench.runner.job import Job
from optbench.runner.last_words import LostWorker, describe_loss
from optbench.runner.options import RunOptions
from optbench.runner.outdated import describe_outdated
from optbench.runner.preflight import check_data, check_optimizers, check_second_budgets, find_changed_settings
from optbench.runner.progress import SilentProgress
from optbench.runner.seeds_needed import describe_undecided
from optbench.runner.window import Engine, TimeLimit, run_jobs
from optbench.training.shared_data import SharedMemory

if TYPE_CHECKING:
    from distributed import Client


@contextmanager
def run(
    plan: Plan,
    config: Config,
    directory: ResultsDirectory,
    options: RunOptions,
    progress: SilentProgress | None = None,
) -> Iterator[bool]:
    """Computes the cells of a plan that are missing in a results directory.

    A context in which the directory stays locked, so that what is written from the results fits them.

    After an interruption (KeyboardInterrupt, a kill, a full disk), the same call resumes the run. SIGTERM and SIGHUP
    are such interruptions in the whole context.

    Args:
        plan: The plan.
        config: The configuration from which the plan was made.
        directory: The results directory.
        options: How the plan is computed.
        progress: Receives messages and the completed amount of work (default: nothing is shown).

    Yields:
        Whether nothing was computed, and the stored records were known to be undamaged.

    Raises:
        UserError: A setting, the data or an optimizer is invalid (raised before anything is computed), or the results
            can't be written, in the context neither.
    """
    progress = progress or SilentProgress()
    for note in plan.notes:
        progress.message(note)
    existed, folder_existed = directory.folder.exists(), directory.folder.parent.exists()
    start_over = options.fresh and (directory.folder / "format.json").exists()
    if not start_over:
        directory.create()
    with endings_as_interrupts(), directory.lock(), ExitStack() as stack:
        try:
            to_compute = ("missing", "failed") if options.retry_failed else ("missing",)
            repeats = plan.seeds, plan.studies
            damaged: dict[str, str] = {}
            states = {c.id: "missing" if start_over else directory.cell(c.id).state(*repeats) for c in plan.cells}
            record = _record(plan)
            incomplete = any(state in to_compute for state in states.values())
            file = "" if start_over else directory.find_damage()
            if file:
                progress.message(f"{file} is damaged; it is written again")
            unchanged = not file and options.intact and not (start_over or incomplete) and directory.has_plan(record)
            if not start_over and not unchanged:
                damaged = {c.id: file for c in plan.cells if (file := directory.cell(c.id).find_damage())}
                states |= dict.fromkeys(damaged, "missing")
            missing = [cell for cell in plan.cells if states[cell.id] in to_compute]
            if missing and options.engine == "processes":
                begin_imports()  # meanwhile, the checks before the start import torch here
            outdated = [] if start_over else describe_outdated(directory, missing)
            # Every check that needs no training runs before the first write.
            no_sharing = options.engine == "serial" or options.elsewhere
            memory = None if no_sharing else stack.enter_context(SharedMemory())
            client = None
            # The workers of a scheduler may have other devices; they describe them themselves.
            environment = describe_environment(() if options.elsewhere else (cell.device for cell in plan.cells))
            if missing and not (start_over or options.elsewhere):
                check_second_budgets(plan.cells, directory, environment)
            if missing and options.engine != "serial" and not options.elsewhere:
                require_main_guard()
            if missing and options.scheduler is not None:
                from optbench.runner.dask.cluster import connect

                client = stack.enter_context(connect(options.scheduler))
            known = {} if start_over else directory.planes()
            doubts: list[str] = []

            def examine(cell: Cell, data: Data) -> None:
                from optbench.conformance.problem_doubts import doubt_problem

                doubts.extend(doubt_problem(cell, data, options.source))

            to_draw = plan.cells if file == "planes.json" else missing
            planes = check_data(to_draw, options.source, memory, known, examine if progress.visible else None)
            notes = [*check_optimizers(missing), *find_changed_settings(missing)] if missing else []
        except BaseException:
            if not existed:
                directory.remove_if_empty()
            if not folder_existed:
                with suppress(OSError):  # it holds something else by now
                    directory.folder.parent.rmdir()
            raise
        try:
            _prepare(directory, config, plan, record, planes, environment, start_over)
            directory.write_against(None if options.against is None else encode_location(options.against))
            for cell_id, file in damaged.items():
                progress.message(f"cell {cell_id}: {file} is damaged; the cell is computed again")
                directory.cell(cell_id).discard()
            for text in outdated:
                progress.message(text)
            if others := _count_other_cells(directory, plan):
                progress.message(f"other cells in this directory (not part of the tables): {others}")
            if missing:
                for note in (*notes, *doubts, *(find_doubts(config) if progress.visible else ())):
                    progress.message(note)
                if few := describe_undecided(plan, stored=options.against is not None):
                    progress.message(few)
                progress.message(_describe_missing(plan, missing, directory))
                key = str(environment["key"])
                _Coordinator(plan, directory, options, key, memory, client, progress).run(missing)
            yield unchanged
        except OSError as error:
            raise UserError(
                f"results can't be written: {error.strerror or error} ({error.filename or directory.folder}); results "
                "so far are kept, and the same command resumes"
            ) from error


def _prepare(
    directory: ResultsDirectory,
    config: Config,
    plan: Plan,
    record: dict[str, Any],
    planes: dict[str, Any],
    environment: dict[str, Any],
    start_over: bool,
) -> None:
    """Writes the configuration, the plan and the environment."""
    if start_over:
        directory.clear()
        directory.create()
    directory.migrate()
    directory.write_environment(environment)
    directory.write_config(config)
    directory.write_plan(record)
    directory.add_planes(planes)


def _record(plan: Plan) -> dict[str, Any]:
    """Returns a plan as the record that is stored."""
    cells = [cell.record() for cell in plan.cells]
    return {"seeds": list(plan.seeds), "studies": plan.studies, "cells": cells}


def _count_other_cells(directory: ResultsDirectory, plan: Plan) -> int:
    """Counts the stored cells that are not part of this plan."""
    planned = {cell.id for cell in plan.cells}
    return sum(path.name not in planned for path in (directory.folder / "cells").glob("*"))


def _describe_missing(plan: Plan, missing: Sequence[Cell], directory: ResultsDirectory) -> str:
    lacks = Counter(filter(None, (describe_lack(directory.cell(cell.id).result(), plan.seeds) for cell in missing)))
    stored = len(plan.cells) - len(missing)
    devices = ", ".join(sorted({cell.device for cell in plan.cells}))
    return (
        f"{len(missing)} of {len(plan.cells)} cells to compute on {devices}"
        + (f", {stored} already stored" if stored else "")
        + "".join(f", {number} {lack}" for lack, number in lacks.items())
    )


class _Coordinator:
    """Distributes the missing cells of a plan to the workers of an engine, first for timing, then for training."""

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
        # One engine for both passes, so that each worker imports torch once.
        with self._engine(len(missing)) as engine:
            self._time(engine, missing)
            self._compute(engine, missing)

    def _time(self, engine: Engine, missing: Sequence[Cell]) -> None:
        """Runs the timing pass: one cell after another on an otherwise idle machine."""
        from optbench.runner.timing_pass import measure

        untimed = [self._job(cell) for cell in missing if self.directory.cell(cell.id).timing() is None]
        if not untimed:
            return
        with self.progress.phase("timing steps in isolation", len(untimed)) as phase:
            limit = self.options.cell_timeout
            for job, future in run_jobs(engine, measure, untimed, alone=True, report=phase.message, limit=limit):
                # Other errors occur again when the cell is computed, and are recorded then.
                if isinstance(error := future.exception(), ResultsWriteError):
                    raise error
                if error is None and (remark := future.result()):
                    phase.message(f"{job.name}: {remark}")
                phase.advance(1)

    def _compute(self, engine: Engine, missing: Sequence[Cell]) -> None:
        from optbench.runner.cell import execute, record_lost

        # Compute the most expensive cells first, so that all workers finish at about the same time.
        weights = {cell.id: max(self._estimate_seconds(cell), 1e-9) for cell in missing}
        jobs = [self._job(cell) for cell in sorted(missing, key=lambda cell: -weights[cell.id])]
        with self.progress.phase("training", sum(weights.values())) as phase:

            def show_partial(under_way: Collection[Job]) -> None:
                for job in under_way:
                    phase.partial(job.cell.id, weights[job.cell.id] * self._stored_fraction(job.cell))

            limit = self.options.cell_timeout
            for job, future in run_jobs(engine, execute, jobs, report=phase.message, watch=show_partial, limit=limit):
                try:
                    status = future.result()
                except BrokenExecutor as error:
                    status = "error"
                    words = error.words if isinstance(error, LostWorker) else ""
                    record_lost(job, describe_loss(error, job.attempt + 1), words=words)
                except ResultsWriteError:
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

    def _estimate_seconds(self, cell: Cell) -> float:
        """Returns the estimated seconds of a cell, by the speed that the timing pass measured if there is one."""
        timing = self.directory.cell(cell.id).timing()
        if timing is None or cell.run_budget.unit == "seconds":
            return self.plan.seconds(cell)
        return float(cell.run_cost * timing["seconds_per_cost"] * self.plan.trainings(cell))

    def _stored_fraction(self, cell: Cell) -> float:
        """Returns the fraction of a cell's trainings that are stored, between 0 and 0.99."""
        planned = self.plan.trainings(cell)
        return min(0.99, self.directory.cell(cell.id).count_trainings() / max(planned, 1))

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
        from optbench.runner.dask.cluster import start_workers, visible_gpus
        from optbench.runner.dask.engine import DaskEngine

        environment = self.directory.environments()[self.environment]
        if self.client is not None:
            return DaskEngine(self.client, self.directory, environment, limit=self.options.workers)
        gpus = visible_gpus() if any(device.startswith("cuda") for device in self.devices) else []
        workers = self.options.workers or len(gpus) or default_workers(self.threads, self.devices)
        client = stack.enter_context(start_workers(min(workers, cells), self.threads, gpus))
        return DaskEngine(client, self.directory, environment, ours=True, prepare=prepare)
