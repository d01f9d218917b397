"""Trains the replicas of a cell with its planned execution, or one after another if that is not possible."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import torch

from optbench.errors import one_line
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.training.device_data import ResidentData
from optbench.training.execution.agreement import require_agreement
from optbench.training.execution.capacity import count_efficient_replicas, count_fitting_replicas
from optbench.training.execution.likeness import MOST, require_likeness
from optbench.training.execution.linearity import probe_linearity
from optbench.training.execution.population import SMALLEST, train_population
from optbench.training.execution.replica import Replica
from optbench.training.loop import Course
from optbench.training.record import Training, is_out_of_memory
from optbench.training.stepper import Stepper

#: Memory that paused trainings of a cell may hold.
MOST_PAUSED_BYTES = 2**30


class Trainer:
    """Executes the trainings of a cell.

    Compiled and captured steps are first compared with eager ones. If the planned execution fails, the trainer falls
    back to eager execution. A fallback is final: its reason is passed to `remember` before the first training, and a
    trainer that gets it as `note` uses eager execution from the start. So an interrupted cell gives the same results.

    Args:
        cell: The cell.
        problem: Its problem.
        data: Its data on the device.
        note: The reason of an earlier fallback, or "".
        remember: Called with the reason of a fallback.

    Attributes:
        execution: How the trainings are executed.
        note: Why they are not executed as planned, or "".
    """

    def __init__(
        self,
        cell: Cell,
        problem: Problem,
        data: ResidentData,
        note: str = "",
        remember: Callable[[str], None] = lambda note: None,
    ) -> None:
        self.cell, self.problem, self.data = cell, problem, data
        self.execution, self.note = cell.execution.name, ""
        self._remember = remember
        self._linearity: str | None = None
        self._most: int | None = None
        #: What has to be trained to repeat the first whole training (as long as all pause, the first that came
        #: farthest): replicas, budget, test, execution; the evaluation that it reached; and its losses.
        self._first: tuple[Sequence[Replica], int, bool, str] | None = None
        self._first_until, self._first_losses = -1, ""
        self._trained = 0
        #: Paused trainings, the one that was paused first at the front.
        self._paused: dict[str, Course] = {}
        self._stepper = Stepper
        if note and self.execution != "eager":
            self.execution, self.note = "eager", note
        elif self.execution == "population":
            self._linearity = probe_linearity(cell.optimizer)
            if self._linearity is None:
                self._fall_back("the step is not linear in the learning rate for each coordinate")
        elif self.execution != "eager":
            self._check_stepper()

    def train(self, replicas: Sequence[Replica], budget: int, *, test: bool = False) -> Iterator[Training]:
        """Trains replicas and yields their records in order, each as soon as it is complete.

        Replicas that can't be trained together are trained one after another, for example if `vmap` does not support
        the model or if it draws random numbers during training. If memory is exhausted, fewer replicas are trained at
        a time.

        Args:
            replicas: The replicas.
            budget: Budget of each in example gradients.
            test: Whether the test split is evaluated after the last step, and the training loss at every evaluation.
        """
        for replica, record in zip(replicas, self._train(replicas, budget, test), strict=True):
            until = self.cell.evaluations if replica.until is None else replica.until
            if until > self._first_until:
                # A population of another size may be rounded in another way.
                together = replicas if self.execution == "population" else [replica]
                self._first, self._first_losses = (together, budget, test, self.execution), _losses(record)
                self._first_until = until
            self._trained += 1
            yield record

    def repeats_first(self) -> bool:
        """Trains the first replica that reached its end once more, and returns whether all its losses are the same.

        In a population, those that were trained with it are trained once more, too.

        Nothing is trained if that was the only training, or if the execution has changed since.
        """
        if self._first is None or self._trained < 2 or self._first[3] != self.execution:
            return True
        replicas, budget, test, execution = self._first
        self._paused.clear()
        [record, *_] = self._train(replicas, budget, test)
        return self.execution != execution or _losses(record) == self._first_losses

    def _train(self, replicas: Sequence[Replica], budget: int, test: bool) -> Iterator[Training]:
        if self.execution == "population":
            try:
                records = self._train_populations(replicas, budget, test)
            except Exception as error:
                self._fall_back(one_line(error))
            else:
                yield from records
                return
        for replica in replicas:
            yield self._train_one(replica, budget, test)

    def _train_one(self, replica: Replica, budget: int, test: bool) -> Training:
        """Trains a replica up to its pause, or to its end; one that was paused is continued.

        A paused training whose memory was needed is computed again from its start, with the same bits.
        """
        key = json.dumps([replica.seed, replica.hyperparameters], sort_keys=True, default=repr)
        course = self._paused.pop(key, None)
        if course is None:
            course = Course(
                self.cell,
                self.problem,
                self.data,
                replica.hyperparameters,
                replica.seed,
                budget,
                test=test,
                train_loss=test,
                observer=replica.observer() if replica.observer else None,
                stepper=self._stepper,
            )
        until = self.cell.evaluations if replica.until is None else replica.until
        course.advance(until, replica.limit)
        # What a class keeps outside of its instances is reset before each training, so none may be in progress.
        pausing = until < self.cell.evaluations and course.record.status == "ok" and not self.cell.optimizer.reset
        if pausing:
            self._paused[key] = course
            while len(self._paused) > 1 and sum(c.held_bytes() for c in self._paused.values()) > MOST_PAUSED_BYTES:
                del self._paused[next(iter(self._paused))]
        return course.record

    def _check_stepper(self) -> None:
        """Uses the stepper of the planned execution, unless it fails or disagrees with the eager one."""
        chosen = _stepper_class(self.execution)
        try:
            require_agreement(self.cell, self.problem, self.data, chosen)
        except Exception as error:
            self._fall_back(one_line(error))
        else:
            self._stepper = chosen

    def _train_populations(self, replicas: Sequence[Replica], budget: int, test: bool) -> list[Training]:
        """Trains the replicas in as few populations as possible, of about equal size."""
        largest = self._largest_population()
        count = -(-len(replicas) // largest)
        ends = [len(replicas) * (k + 1) // count for k in range(count)]
        populations = [replicas[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return [record for population in populations for record in self._train_population(population, budget, test)]

    def _largest_population(self) -> int:
        """Returns the maximum number of replicas that are trained together.

        Before the first population, it is compared on the real model with separate steps.
        """
        if self._most is None:
            fitting = count_fitting_replicas(self.cell, self.problem, self.data)
            if fitting is not None and fitting < SMALLEST:
                raise MemoryError(f"not enough memory for {SMALLEST} replicas at a time (only for {fitting})")
            efficient = count_efficient_replicas(self.cell, self.data)
            trusted = self.cell.optimizer.trusted
            limits = [limit for limit in (fitting, efficient, None if trusted else MOST) if limit is not None]
            most = max(SMALLEST, min(limits, default=2**31))
            if not trusted:
                require_likeness(self.cell, self.problem, self.data, most, self._linearity == "zero")
            self._most = most
        return self._most

    def _train_population(self, replicas: Sequence[Replica], budget: int, test: bool) -> list[Training]:
        """Trains the replicas together, or in two halves if memory is exhausted."""
        try:
            return train_population(
                self.cell,
                self.problem,
                self.data,
                replicas,
                budget,
                from_zero=self._linearity == "zero",
                test=test,
            )
        except Exception as error:
            if not is_out_of_memory(error) or len(replicas) == 1:
                raise
        half = len(replicas) // 2
        return [
            *self._train_population(replicas[:half], budget, test),
            *self._train_population(replicas[half:], budget, test),
        ]

    def _fall_back(self, note: str) -> None:
        self.execution, self.note = "eager", note
        self._remember(note)


def _losses(record: Training) -> str:
    """The losses of a training as text, in which NaN equals NaN."""
    return repr([(point.train_loss, point.valid_loss, point.valid_metric) for point in record.points])


def _stepper_class(execution: str) -> type[Stepper]:
    if execution == "compile":
        from optbench.training.execution.compiled import CompiledStepper

        # Functions that earlier cells of this process have compiled count towards torch's recompilation limit.
        torch.compiler.reset()
        return CompiledStepper
    from optbench.training.execution.cuda_graph import GraphStepper

    return GraphStepper
