"""Computes one cell in a worker: tuning, final runs and the result file that marks the cell as done."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from optbench.budget import THIRDS, UNTUNED_SEEDS
from optbench.errors import one_line
from optbench.machine.device import make_deterministic
from optbench.optimizers.search_space import Space
from optbench.planning.planned_code import check_unchanged
from optbench.problem.base import Problem
from optbench.results.atomic import ResultsWriteError, replace_nonfinite
from optbench.results.store import FAILED, PAUSED, CellStore
from optbench.runner.job import Job
from optbench.runner.timing_pass import budget_from_seconds
from optbench.training.device_data import ResidentData, load
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from optbench.training.isolation import code_of, depends_on_past, describe_dependence, note_dependence
from optbench.training.record import Training
from optbench.tuning.race import RACE, Race
from optbench.tuning.rounds import describe_exhaustion, extend_space, next_round
from optbench.tuning.searched import find_edge, searched_space
from optbench.tuning.trial import Trial, best_trial, edge_of

#: Maximum number of points of a trajectory that are stored for plots, evenly spread over the steps.
TRAJECTORY_POINTS = 400

#: Code of own optimizers whose first training in this process was repeated (see `code_of`).
_REPEATED: set[tuple[str, str]] = set()


class _CellFailed(Exception):
    """Raised with the record of the training that ends the cell."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        super().__init__(record["error"])
        self.failure = {key: record[key] for key in ("status", "error", "traceback")}


def execute(job: Job) -> str:
    """Computes the trainings of a cell that are not stored yet.

    An exception in the problem or the optimizer is not raised: it is stored as the cell's result, with the status
    `error` or `oom`.

    Returns:
        The cell's status.

    Raises:
        ResultsWriteError: The results can't be written.
    """
    store = job.directory.cell(job.cell.id)
    with store.lock():
        if store.state(job.seeds, job.studies) != "missing":
            return str((store.result() or {}).get("status"))
        store.write_cell(job.cell.identity)
        started = time.perf_counter()
        failure: dict[str, Any] = {"status": "ok", "error": "", "traceback": ""}
        summary: dict[str, Any] = {}
        try:
            runner = _CellRunner(job, store)
            try:
                runner.tune()
                runner.repeat()
                for study in range(1, job.studies):
                    runner.tune(study)
                runner.check_isolation()
            except _CellFailed as error:
                failure = error.failure
            summary = runner.summary()
        except ResultsWriteError:
            raise
        except Exception as error:
            failure = {
                "status": "oom" if isinstance(error, MemoryError) else "error",
                "error": one_line(error),
                "traceback": traceback.format_exc(),
            }
        seconds = time.perf_counter() - started
        result = {
            **summary,
            **failure,
            "seeds": list(job.seeds),
            "studies": job.studies,
            "seconds": seconds,
            "environment": job.environment,
        }
        store.write_result(result)
        return str(result["status"])


def record_lost(job: Job, reason: str, status: str = "error", words: str = "") -> None:
    """Records a cell as failed if its worker could not: it died, or it took too long.

    Args:
        job: The job of the cell.
        reason: The error to record.
        status: The status to record, `error` or `timeout`.
        words: What the worker wrote to stderr at last, recorded in the place of a traceback.
    """
    store = job.directory.cell(job.cell.id)
    store.write_cell(job.cell.identity)
    failure = {"status": status, "error": reason, "traceback": words, "seeds": list(job.seeds), "seconds": None}
    store.write_result({**failure, "environment": job.environment})


class _CellRunner:
    """Tunes and repeats a cell, and stores each training as soon as it is done."""

    def __init__(self, job: Job, store: CellStore) -> None:
        check_unchanged(job.cell)
        make_deterministic(job.cell.threads)
        self.job, self.cell, self.store = job, job.cell, store
        #: Written with each training: another one of the cell may be computed elsewhere.
        self.origin = {"environment": job.environment}
        self.problem: Problem
        self.data: ResidentData
        self.problem, self.data = load(job.cell.problem, job.source, job.cell.device)
        if self.cell.run_budget.unit == "seconds":
            self.run_cost = budget_from_seconds(self.cell, store.timing())
        else:
            self.run_cost = self.cell.run_cost
        self.parts = [_from_record(record, self.cell.evaluations) for record in store.parts()]
        depends_on_past(self.cell, self.problem, self.data)  # before the first training
        self.trainer = Trainer(self.cell, self.problem, self.data, store.fallback(), store.write_fallback)

    def tune(self, study: int = 0) -> None:
        """Runs the missing trials of one tuning of the cell.

        Args:
            study: Number of the tuning. Study 0 chooses the hyperparameters; the others repeat the tuning with other
                seeds.
        """
        evaluations, race = self.cell.evaluations, Race(self.cell, self.run_cost, study)
        parts = self.parts if study == 0 else [_from_record(part, evaluations) for part in self.store.parts(study)]
        while self.cell.tuned:
            if self.cell.pruner == RACE:
                proposals = race.propose(parts)
            else:
                proposals = next_round(self.cell, parts, self.run_cost, study)
            if not proposals:
                break
            replicas = [Replica(p.hyperparameters, p.seed, p.observer, p.until, p.limit) for p in proposals]
            trainings = self._train(replicas)
            for proposal, training in zip(proposals, trainings, strict=True):
                # Use the record as it will be read back, so that the next proposals do not depend on an interruption.
                values = _trial_record(training, proposal.until or evaluations, evaluations)
                place = {"trial": proposal.number, "part": len(parts)}
                record = replace_nonfinite({**place, **values, **self.origin})
                self.store.append_trial(record, _curve(training), study)
                parts.append(_from_record(record, evaluations))
            # If several trials all raised an error, further ones would too.
            if len(parts) > 1 and all(part.status in FAILED for part in parts):
                break
        failures = [record for record in self.store.trials(study) if record["status"] in FAILED]
        if failures and best_trial(_latest(parts)) is None:
            raise _CellFailed(failures[0])

    def repeat(self) -> None:
        """Computes the missing final runs on fresh seeds, with tuned and with default hyperparameters."""
        default = self.cell.optimizer.defaults
        best = best_trial(self.trials)
        # If tuning selected the default, tuned and default runs are identical: train once, store twice.
        twins = self.cell.tuned and best is not None and best.hyperparameters == default
        missing: list[tuple[bool, Replica]] = []
        untuned = self.job.seeds[:UNTUNED_SEEDS] if self.cell.tuned else self.job.seeds
        for seed in self.job.seeds:
            if self.cell.tuned and self.store.run(seed, True) is None:
                if best is None:
                    self._skip(seed)
                else:
                    missing.append((True, Replica(best.hyperparameters, seed)))
            if not twins and seed in untuned and self.store.run(seed, False) is None:
                missing.append((False, Replica(default, seed)))
        remark = describe_exhaustion(self.cell, self.trials, self.run_cost)
        if missing:
            trainings = self._train([replica for _, replica in missing], test=True)
            for (tuned, _), training in zip(missing, trainings, strict=True):
                if tuned and training.status == "ok":
                    training.error = training.error or remark
                self.store.write_run({"tuned": tuned, **_record(training), **self.origin}, _curve(training))
                if training.status in FAILED and (tuned or not self.cell.tuned):
                    raise _CellFailed(_record(training))
        for seed in untuned if twins else ():
            twin = self.store.run(seed, True)
            if twin is not None and self.store.run(seed, False) is None:
                self.store.write_run({**twin, "tuned": False}, self.store.run_curve(seed, True) or {})

    @property
    def trials(self) -> list[Trial]:
        """The trials of the tuning that decides, each as its latest part left it."""
        return _latest(self.parts)

    def check_isolation(self) -> None:
        """Notes in the runs if the optimizer's trainings depend on what was trained before in this process.

        In addition to a few steps, the first training of an own optimizer in a process is repeated in full, since state
        may show late. Neither is charged.
        """
        if not self.cell.optimizer.has_own_code:
            return
        if not depends_on_past(self.cell, self.problem, self.data):
            # On other devices, equal trainings need not have equal bits.
            if code_of(self.cell) in _REPEATED or self.cell.device != "cpu":
                return
            _REPEATED.add(code_of(self.cell))
            if self.trainer.repeats_first():
                return
            note_dependence(self.cell)
        for seed, tuned in product(self.job.seeds, (True, False)):
            record = self.store.run(seed, tuned)
            if record is not None and record["status"] == "ok" and not record["error"]:
                remark = {"error": describe_dependence(self.cell)}
                self.store.write_run({**record, **remark}, self.store.run_curve(seed, tuned) or {})

    def _train(self, replicas: Sequence[Replica], *, test: bool = False) -> Iterator[Training]:
        """Trains replicas; a training during which a file of its code was edited is not returned."""
        for training in self.trainer.train(replicas, self.run_cost, test=test):
            check_unchanged(self.cell)
            yield training

    def summary(self) -> dict[str, Any]:
        """Returns the fields of `result.json` that describe the tuning and the problem."""
        best = best_trial(self.trials)
        race = self.cell.pruner == RACE
        if race:
            edge, searched = find_edge(self.cell, self.trials), searched_space(self.cell, self.trials)
        else:
            edge = edge_of(self.cell.optimizer.search, best)
            searched = extend_space(self.cell, self.trials, self.run_cost)
        return {
            "best": best.hyperparameters if best else None,
            "edge": edge,
            "space": _ranges(self.cell.optimizer.search),
            "space_searched": _ranges(searched),
            "run_budget": self.run_cost,
            "tuning_budget": self.cell.worth * self.run_cost if self.cell.tuned else 0,
            "trials": len(self.trials),
            "tuning_cost": sum(trial.thirds for trial in self.trials) / THIRDS,
            "metric_name": self.problem.metric_name,
            "metric_higher_is_better": self.problem.metric_higher_is_better,
            "target": self.problem.target,
            "execution": self.trainer.execution,
            "execution_note": self.trainer.note,
            "remarks": self._remarks(),
        }

    def _remarks(self) -> list[str]:
        """What is to be known of the final runs, each once."""
        records = [self.store.run(seed, tuned) for seed in self.job.seeds for tuned in (True, False)]
        texts = []
        for record in filter(None, records):
            if record["status"] == "ok" and record["error"]:
                texts.append(str(record["error"]))
            elif record["status"] in FAILED and self.cell.tuned and not record["tuned"]:
                texts.append(f"runs with the default hyperparameters failed: {record['error']}")
        return list(dict.fromkeys(texts))

    def _skip(self, seed: int) -> None:
        training = Training({}, seed, status="skipped", error="no trial of the tuning ended with a finite loss")
        self.store.write_run({"tuned": True, **_record(training), **self.origin}, _curve(training))


def _record(training: Training) -> dict[str, Any]:
    last = training.points[-1] if training.points else None
    return {
        "seed": training.seed,
        "hyperparameters": training.hyperparameters,
        "status": training.status,
        "error": training.error,
        "traceback": training.traceback,
        "constructed": training.constructed,
        "steps": training.steps,
        "thirds": round(training.cost * THIRDS),
        "forwards": training.forwards,
        "backwards": training.backwards,
        "initial_loss": training.points[0].valid_loss if training.points else None,
        "train_loss": last.train_loss if last else None,
        "valid_loss": last.valid_loss if last else None,
        "valid_metric": last.valid_metric if last else None,
        "test_loss": training.test_loss,
        "test_metric": training.test_metric,
        "train_seconds": training.train_seconds,
        "eval_seconds": training.eval_seconds,
        "optimizer_state_bytes": training.optimizer_state_bytes,
        "reports": {point.index: point.valid_loss for point in training.points},
    }


def _trial_record(training: Training, until: int, evaluations: int) -> dict[str, Any]:
    loss, metric = training.late_means(until)
    record = {**_record(training), "valid_loss": loss, "valid_metric": metric}
    if until < evaluations and training.status == "ok":
        record |= {"status": PAUSED, "until": until}
    return record


def _latest(parts: Sequence[Trial]) -> list[Trial]:
    """Returns the trials, each as its latest part left it."""
    latest = {part.number: part for part in parts}
    return [latest[number] for number in sorted(latest)]


def _curve(training: Training) -> dict[str, Any]:
    points = training.points
    columns = ("step", "cost", "train_loss", "valid_loss", "valid_metric", "trainable_parameters")
    curve: dict[str, Any] = {name: [getattr(point, name) for point in points] for name in columns}
    if training.trajectory:
        last = len(training.trajectory) - 1
        intervals = min(last, TRAJECTORY_POINTS - 1)
        steps = sorted({round(i * last / max(intervals, 1)) for i in range(intervals + 1)})
        curve["trajectory"] = {"step": steps, "position": [training.trajectory[step] for step in steps]}
    return curve


def _from_record(record: dict[str, Any], evaluations: int) -> Trial:
    def number(value: Any) -> float:
        return math.nan if value is None else float(value)

    return Trial(
        number=record["trial"],
        hyperparameters=_tuples(record["hyperparameters"]),
        status=record["status"],
        initial_loss=number(record["initial_loss"]),
        loss=number(record["valid_loss"]),
        thirds=record["thirds"],
        reports={int(k): float(v) for k, v in record["reports"].items() if v is not None},
        until=record.get("until", evaluations),
    )


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Hyperparameters with tuples where JSON has lists."""
    return {name: _tuple(value) for name, value in values.items()}


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


def _ranges(space: Space) -> dict[str, list[Any]]:
    return {name: values.bounds for name, values in space.items()}
