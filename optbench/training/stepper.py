"""Single steps of one model: the next batch, its gradient, the optimizer, each charged to a ledger."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from optbench.budget import BudgetExhausted, Ledger
from optbench.machine.device import seed_torch
from optbench.optimizers.schedule import Schedule, schedule, shaped
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.problem.data import Batch
from optbench.training.batches import BatchStream
from optbench.training.construct import make_model, make_optimizer, run_facts, state_bytes
from optbench.training.device_data import ResidentData, Split
from optbench.training.evaluation import Evaluation, evaluate, parameters_finite, trainable_parameters
from optbench.training.evaluation_weights import evaluation_weights, switch
from optbench.training.freezing import Freezing
from optbench.training.seeds import derive


class Stepper:
    """A model, its optimizer and its batches; each `step` is one optimizer step, charged to a ledger."""

    #: One replica, as the training loop has them.
    count = 1

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
        self._second_backward = cell.optimizer.second_backward
        self._freezing = Freezing(self.model, problem.freezing)
        order = torch.Generator().manual_seed(derive(seed, "data order"))
        self.batches = BatchStream(len(data.train), cell.batch_size, [order], cell.device, problem.order)
        self._chunks = chunk_sizes(problem, cell)
        self.augmentation = torch.Generator(cell.device).manual_seed(derive(seed, "augmentation"))
        # Whatever the model draws while it trains (dropout) comes from torch's global generator.
        self._training_seed = derive(seed, "training") >> 1
        self._seed = partial(seed_torch, device=cell.device)
        self._seed(self._training_seed)
        self.steps = 0
        self._schedule = _schedule(cell, hyperparameters)
        self._rates = [group["lr"] for group in self.optimizer.param_groups if "lr" in group]
        self._needs_closure = cell.optimizer.needs_closure
        self._set_training(True)

    def step(self) -> bool:
        """One step on the next batch; False where the budget ended inside it, which undoes the step."""
        batch = self._next_batch()
        if self._needs_closure:
            return self._closure_step(batch)
        if self._second_backward:
            return self._undone_if_exhausted(lambda: self._differentiated_step(batch))
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
        return make_optimizer(cell.optimizer, self.model, hyperparameters, run_facts(cell, self.ledger.budget))

    def _loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.problem.loss(model, batch)

    def _backward(self, batch: Batch) -> Tensor:
        """The loss of a batch, with its gradient added to the parameters'."""
        differentiate = self._add_differentiable_gradient if self._second_backward else Tensor.backward
        if len(self._chunks) == 1:
            loss = self._loss(self.model, batch)
            differentiate(loss)
            return loss
        parts = []
        for chunk in zip(*(tensor.split(self._chunks) for tensor in batch), strict=True):
            part = self._loss(self.model, chunk) * self.problem.chunk_weight(len(chunk[0]), self.batch_size)
            differentiate(part)
            parts.append(part.detach())
        return torch.stack(parts).sum()

    def _add_differentiable_gradient(self, loss: Tensor) -> None:
        """Adds the gradient with its graph: what `backward(create_graph=True)` does, but for its reference cycle."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A context in which model and optimizer are in evaluation mode.

        Where the optimizer evaluates other weights than it trains, running statistics of the model are those of
        the weights that are evaluated.
        """
        with evaluation_weights(self.model, self.optimizer, self.problem, self.data.train_sample):
            self.model.eval()
            yield
        self._set_training(True)

    def evaluate(self, *splits: Split) -> list[list[Evaluation]]:
        """For each split, loss and metric of the model."""
        with self.evaluating():
            return [[evaluate(self.problem, self.model, split)] for split in splits]

    def finite(self) -> list[bool]:
        """Whether all parameters are finite."""
        return [parameters_finite(self.model)]

    def positions(self) -> list[list[float]]:
        """All parameters, as a flat list."""
        return [torch.cat([p.detach().flatten() for p in self.model.parameters()]).tolist()]

    def trainable_parameters(self) -> int:
        """Number of weights that are trained at present."""
        return trainable_parameters(self.model)

    def state_bytes(self) -> int:
        """Bytes that the optimizer keeps."""
        return state_bytes(self.optimizer)

    def _differentiated_step(self, batch: Batch) -> None:
        """A step whose gradients the optimizer may differentiate; each time that it does is charged."""
        self.ledger.charge_gradient(self.batch_size)
        self.optimizer.zero_grad(set_to_none=True)
        self._backward(batch)
        self._charge_second_backwards()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # frees the graph

    def _charge_second_backwards(self) -> None:
        """Lets gradients that are differentiated charge that: one pass differentiates each of them at most once."""
        charged = 0

        def count(place: int, passes: list[int]) -> None:
            nonlocal charged
            passes[place] += 1
            if passes[place] > charged:
                charged += 1
                self.ledger.charge_second_backward(self.batch_size)

        gradients = [p.grad for p in self.model.parameters() if p.grad is not None and p.grad.requires_grad]
        passes = [0] * len(gradients)
        for place, gradient in enumerate(gradients):
            gradient.register_hook(lambda _, place=place: count(place, passes))

    def _closure_step(self, batch: Batch) -> bool:
        charged, random_seed = self.ledger.thirds, self._training_seed + self.steps

        def closure() -> Tensor:
            # Every evaluation within a step sees the same dropout masks, so the line search
            # works on one function.
            self._seed(random_seed)
            if not torch.is_grad_enabled():
                self.ledger.charge_forward(self.batch_size)
                return self._loss(self.model, batch)
            self.ledger.charge_gradient(self.batch_size)
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._backward(batch)
            if self._second_backward:
                self._charge_second_backwards()
            return loss

        if not self._undone_if_exhausted(lambda: self.optimizer.step(closure)):  # type: ignore[arg-type]
            return False
        if self.ledger.thirds == charged:
            raise RuntimeError("the optimizer's step() did not call its closure")
        return True

    def _undone_if_exhausted(self, step: Callable[[], Any]) -> bool:
        """A step of several charges; False where the budget ended inside it, which leaves the model as it was."""
        before = copy.deepcopy(self.model.state_dict())
        try:
            step()
        except BudgetExhausted:
            # A line search, say, was left at a trial point, which is no step of the optimizer's.
            self.model.load_state_dict(before)
            return False
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
        switch(self.optimizer, training)


def _schedule(cell: Cell, hyperparameters: Mapping[str, Any]) -> Schedule | None:
    """The schedule of the cell, or the optimizer's own; None where the rate is constant."""
    own = {**SCHEDULE_HYPERPARAMETERS, **cell.optimizer.arguments, **hyperparameters}
    if any(own[key] != default for key, default in SCHEDULE_HYPERPARAMETERS.items()):
        return shaped(own)
    return None if cell.schedule == "constant" else schedule(cell.schedule)


def chunk_sizes(problem: Problem, cell: Cell) -> list[int]:
    """The parts, as equal as can be, in which a batch is computed: one, but for large batches on a CPU."""
    size = cell.batch_size
    chunk = None if problem.couples_examples or cell.device != "cpu" else problem.chunk
    count = max(1, round(size / chunk)) if chunk else 1
    return [size * (i + 1) // count - size * i // count for i in range(count)]
