"""Single steps of one model: the next batch, its gradient, the optimizer, each charged to a ledger."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from optbench.batches import BatchStream
from optbench.budget import BudgetExhausted, Ledger
from optbench.construct import make_model, make_optimizer
from optbench.freezing import Freezing
from optbench.matrix import Cell
from optbench.problem import Batch, Problem
from optbench.resident import ResidentData
from optbench.schedule import schedule
from optbench.seeds import derive


class Stepper:
    """A model, its optimizer and its batches; each `step` is one optimizer step, charged to a ledger."""

    def __init__(
        self,
        cell: Cell,
        problem: Problem,
        data: ResidentData,
        hyperparameters: Mapping[str, Any],
        seed: int,
        ledger: Ledger,
    ) -> None:
        self.problem, self.data, self.ledger = problem, data, ledger
        self.batch_size = cell.batch_size
        self.model = make_model(problem, cell, seed)
        self.optimizer = self._make_optimizer(cell, hyperparameters)
        self._freezing = Freezing(self.model, problem.freezing)
        order = torch.Generator().manual_seed(derive(seed, "data order"))
        self.batches = BatchStream(len(data.train), cell.batch_size, [order], cell.device, problem.order)
        self._chunks = chunk_sizes(problem, cell)
        self.augmentation = torch.Generator(cell.device).manual_seed(derive(seed, "augmentation"))
        # Whatever the model draws while it trains (dropout) comes from torch's global generator.
        self._training_seed = derive(seed, "training") >> 1
        torch.manual_seed(self._training_seed)
        self.steps = 0
        self._schedule = None if cell.schedule == "constant" else schedule(cell.schedule)
        self._rates = [group["lr"] for group in self.optimizer.param_groups if "lr" in group]
        self._needs_closure = cell.optimizer.needs_closure
        self._set_training(True)

    def step(self) -> bool:
        """One step on the next batch; False where the budget ended inside it, which undoes the step."""
        batch = self._next_batch()
        if self._needs_closure:
            return self._closure_step(batch)
        self.ledger.charge_gradient(self.batch_size)
        self.optimizer.zero_grad(set_to_none=True)
        self._backward(batch)
        self.optimizer.step()
        self.steps += 1
        return True

    def _next_batch(self) -> Batch:
        """The next batch, as the model sees it; sets the learning rate for it, and which parts are frozen."""
        if self._schedule is not None:
            self._set_rates()
        self._freezing.update(self.ledger.cost / self.ledger.budget)
        return self.problem.augment_batch(self.data.train.batch(self.batches.next()[0]), self.augmentation)

    def _make_optimizer(self, cell: Cell, hyperparameters: Mapping[str, Any]) -> torch.optim.Optimizer:
        return make_optimizer(cell.optimizer, self.model, hyperparameters)

    def _loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.problem.loss(model, batch)

    def _backward(self, batch: Batch) -> Tensor:
        """The loss of a batch, with its gradient added to the parameters'."""
        if len(self._chunks) == 1:
            loss = self._loss(self.model, batch)
            loss.backward()
            return loss
        parts = []
        for chunk in zip(*(tensor.split(self._chunks) for tensor in batch), strict=True):
            part = self._loss(self.model, chunk) * self.problem.chunk_weight(len(chunk[0]), self.batch_size)
            part.backward()
            parts.append(part.detach())
        return torch.stack(parts).sum()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A context in which model and optimizer are in evaluation mode."""
        self._set_training(False)
        yield
        self._set_training(True)

    def _closure_step(self, batch: Batch) -> bool:
        before, charged = copy.deepcopy(self.model.state_dict()), self.ledger.thirds
        random_seed = self._training_seed + self.steps

        def closure() -> Tensor:
            # Every evaluation within a step sees the same dropout masks, so the line search
            # works on one function.
            torch.manual_seed(random_seed)
            if not torch.is_grad_enabled():
                self.ledger.charge_forward(self.batch_size)
                return self._loss(self.model, batch)
            self.ledger.charge_gradient(self.batch_size)
            self.optimizer.zero_grad(set_to_none=True)
            return self._backward(batch)

        try:
            self.optimizer.step(closure)  # type: ignore[arg-type]
        except BudgetExhausted:
            # The line search was left at a trial point, which is no step of the optimizer's.
            self.model.load_state_dict(before)
            return False
        if self.ledger.thirds == charged:
            raise RuntimeError("the optimizer's step() did not call its closure")
        self.steps += 1
        return True

    def _set_rates(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=False):
            group["lr"] = rate * self._factor()

    def _factor(self) -> float:
        """By what the schedule multiplies the learning rates of the next step."""
        assert self._schedule is not None
        progress = (self.ledger.cost + self.batch_size / 2) / self.ledger.budget
        return self._schedule(min(progress, 1.0))

    def _set_training(self, training: bool) -> None:
        self.model.train(training)
        # Schedule-free optimizers keep the weights to evaluate apart from those to train.
        switch = getattr(self.optimizer, "train" if training else "eval", None)
        if switch is not None:
            switch()


def chunk_sizes(problem: Problem, cell: Cell) -> list[int]:
    """The parts, as equal as can be, in which a batch is computed: one, but for large batches on a CPU."""
    size = cell.batch_size
    chunk = None if problem.couples_examples or cell.device != "cpu" else problem.chunk
    count = max(1, round(size / chunk)) if chunk else 1
    return [size * (i + 1) // count - size * i // count for i in range(count)]
