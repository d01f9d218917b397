"""Trains replicas as their cell's execution says, and one after another where that can't be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from optbench.errors import one_line
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.training.device_data import ResidentData
from optbench.training.execution.agreement import require_agreement
from optbench.training.execution.capacity import replicas_that_fit, replicas_that_gain
from optbench.training.execution.linearity import linearity
from optbench.training.execution.population import SMALLEST, train_population
from optbench.training.execution.replica import Replica
from optbench.training.loop import train
from optbench.training.record import Training, is_out_of_memory
from optbench.training.stepper import Stepper


class Trainer:
    """A cell's trainings. `execution` says how they are executed, `note` why not as planned.

    Other steps than eager ones are tried out first, by what they compute.

    A fallback is final: `remember` is told why before anything is trained that way, and a trainer that is
    made with this note trains so from the start. So an interrupted cell goes on as it would have.
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
        self._stepper = Stepper
        if note and self.execution != "eager":
            self.execution, self.note = "eager", note
        elif self.execution == "population":
            self._linearity = linearity(cell.optimizer)
            if self._linearity is None:
                self._fall_back("the step is not linear in the learning rate, coordinate by coordinate")
        elif self.execution != "eager":
            self._try_out()

    def train(self, replicas: Sequence[Replica], budget: int, *, test: bool = False) -> Iterator[Training]:
        """The records of the replicas in their order, each as soon as there is one.

        What can't be done together is done one after another: a model that `vmap` can't carry, or that
        draws random numbers while it trains. Memory that doesn't suffice for all is tried with fewer of them.
        """
        if self.execution == "population":
            try:
                records = self._in_companies(replicas, budget, test)
            except Exception as error:
                self._fall_back(one_line(error))
            else:
                yield from records
                return
        for replica in replicas:
            yield train(
                self.cell,
                self.problem,
                self.data,
                replica.hyperparameters,
                replica.seed,
                budget,
                test=test,
                observer=replica.observer() if replica.observer else None,
                stepper=self._stepper,
            )

    def _try_out(self) -> None:
        """Takes the stepper that was chosen, unless it fails or gives other numbers than the eager one."""
        chosen = _stepper(self.execution)
        try:
            require_agreement(self.cell, self.problem, self.data, chosen)
        except Exception as error:
            self._fall_back(one_line(error))
        else:
            self._stepper = chosen

    def _in_companies(self, replicas: Sequence[Replica], budget: int, test: bool) -> list[Training]:
        """In as few companies as are of use, as equal as can be."""
        largest = self._largest()
        count = -(-len(replicas) // largest)
        ends = [len(replicas) * (k + 1) // count for k in range(count)]
        companies = [replicas[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return [record for company in companies for record in self._together(company, budget, test)]

    def _largest(self) -> int:
        """The most replicas that are trained at once."""
        if self._most is None:
            fitting = replicas_that_fit(self.cell, self.problem, self.data)
            if fitting is not None and fitting < SMALLEST:
                raise MemoryError(f"memory for {fitting} replicas at once, and {SMALLEST} are the fewest")
            gaining = replicas_that_gain(self.cell, self.data)
            known = [count for count in (fitting, gaining) if count is not None]
            self._most = max(SMALLEST, min(known, default=2**31))
        return self._most

    def _together(self, replicas: Sequence[Replica], budget: int, test: bool) -> list[Training]:
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
            *self._together(replicas[:half], budget, test),
            *self._together(replicas[half:], budget, test),
        ]

    def _fall_back(self, note: str) -> None:
        self.execution, self.note = "eager", note
        self._remember(note)


def _stepper(execution: str) -> type[Stepper]:
    if execution == "compile":
        from optbench.training.execution.compiled import CompiledStepper

        # What other cells of this process compiled would count towards torch's limit of variants.
        torch.compiler.reset()
        return CompiledStepper
    from optbench.training.execution.cuda_graph import GraphStepper

    return GraphStepper
