"""Single steps of one model: the next batch, its gradient, the optimizer, each charged to a ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from optbench.budget import UNLIMITED, BudgetExhausted, Ledger
from optbench.machine.device import seed_torch
from optbench.optimizers.schedule import Schedule, schedule, shaped
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.problem.data import Batch
from optbench.training import pending_gradient
from optbench.training.batches import BatchStream
from optbench.training.charging import charged_passes
from optbench.training.construct import make_model, make_optimizer, run_facts, state_bytes
from optbench.training.device_data import ResidentData, Split
from optbench.training.evaluation import Evaluation, evaluate, parameters_finite, trainable_parameters
from optbench.training.evaluation_weights import evaluation_weights, switch
from optbench.training.freezing import Freezing
from optbench.training.seeds import derive

#: The remark on a training in which two schedules met.
OVERWRITTEN = "the schedule overwrote learning rates that the optimizer had changed itself"


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
        #: By the place of each group that has one: its rate, and the one that the schedule set last.
        self._rates = {k: group["lr"] for k, group in enumerate(self.optimizer.param_groups) if "lr" in group}
        self._set: dict[int, Any] = {}
        #: What a reader has to know of a training that succeeded.
        self.remark = ""
        self._needs_closure = cell.optimizer.needs_closure
        #: Parameters on which the loss was seen not to depend.
        self._unused: set[nn.Parameter] = set()
        #: Where the weights and buffers are kept while a step may have to be undone.
        self._kept: list[Tensor] = []
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
        with _explained():
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
        loss = self._backward(batch)
        with charged_passes(self.ledger, self.batch_size, [loss]):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # frees the graph

    def _closure_step(self, batch: Batch) -> bool:
        charged, random_seed = self.ledger.thirds, self._training_seed + self.steps
        losses: list[Tensor] = []
        unpaid: Callable[[], AbstractContextManager[None]] = nullcontext
        trained = [p for p in self.model.parameters() if p.requires_grad and p not in self._unused]

        def closure() -> Tensor:
            # Every evaluation within a step sees the same dropout masks, so the line search
            # works on one function.
            self._seed(random_seed)
            if not torch.is_grad_enabled():
                self.ledger.charge_forward(self.batch_size)
                return self._loss(self.model, batch)
            self.ledger.charge_gradient(self.batch_size)
            pending_gradient.remove(trained)
            self.optimizer.zero_grad(set_to_none=True)
            with unpaid():
                losses.append(self._backward(batch))
            self._unused.update(parameter for parameter in trained if parameter.grad is None)
            return losses[-1]

        def compute() -> None:
            with torch.enable_grad():
                closure()

        def step() -> None:
            nonlocal unpaid
            with charged_passes(self.ledger, self.batch_size, losses) as unpaid, _explained():
                self.optimizer.step(closure)  # type: ignore[arg-type]

        pending_gradient.place(trained, compute)
        try:
            if not self._undone_if_exhausted(step):
                return False
        finally:
            pending_gradient.remove(trained)
        if self.ledger.thirds == charged:
            raise RuntimeError("the optimizer's step() neither called its closure nor read a gradient")
        return True

    def _undone_if_exhausted(self, step: Callable[[], Any]) -> bool:
        """A step of several charges; False where the budget ended inside it, which leaves the model as it was."""
        self._keep()
        try:
            step()
        except BudgetExhausted:
            # A line search, say, was left at a trial point, which is no step of the optimizer's.
            self._restore()
            return False
        self.steps += 1
        return True

    def _keep(self) -> None:
        """Copies weights and buffers, unless the budget has no end, as where steps are timed."""
        if self.ledger.budget >= UNLIMITED:
            return
        state = list(self.model.state_dict().values())
        if not self._kept:
            self._kept = [torch.empty_like(tensor) for tensor in state]
        with torch.no_grad():
            for kept, tensor in zip(self._kept, state, strict=True):
                kept.copy_(tensor)

    def _restore(self) -> None:
        with torch.no_grad():
            for kept, tensor in zip(self._kept, self.model.state_dict().values(), strict=True):
                tensor.copy_(kept)

    def _set_rates(self) -> None:
        for place, rate in self._rates.items():
            group = self.optimizer.param_groups[place]
            if place in self._set and group["lr"] != self._set[place]:
                self.remark = OVERWRITTEN
            group["lr"] = self._set[place] = rate * self._factor()

    def _factor(self) -> float:
        """By what the schedule multiplies the learning rates of the next step."""
        assert self._schedule is not None
        progress = (self.ledger.cost + self.batch_size / 2) / self.ledger.budget
        return self._schedule(min(progress, 1.0))

    def _set_training(self, training: bool) -> None:
        self.model.train(training)
        switch(self.optimizer, training)


@contextmanager
def _explained() -> Iterator[None]:
    """Says what to declare where a step differentiates gradients that have no graph."""
    try:
        yield
    except RuntimeError as error:
        if "does not require grad and does not have a grad_fn" not in str(error):
            raise
        raise RuntimeError(
            "the step differentiates gradients, which have no graph: declare second_backward = true"
        ) from error


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
