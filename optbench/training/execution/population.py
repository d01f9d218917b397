"""Training of many replicas at once, with different seeds and learning rates but the same operations.

The replicas' parameters are stacked along a first dimension. `torch.func.vmap` vectorises the loss over it, and one
unmodified optimizer steps all replicas (see `stacked_step`). This makes small trainings many times faster, in which
the overhead of each operation exceeds its arithmetic.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from optbench.budget import Ledger
from optbench.machine.device import make_deterministic
from optbench.optimizers.schedule import parse_schedule
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.problem.data import Batch
from optbench.training.averaging import make_average
from optbench.training.batches import BatchStream
from optbench.training.clipping import Clipping
from optbench.training.construct import describe_optimizer, make_model
from optbench.training.device_data import ResidentData, Split
from optbench.training.evaluation import Evaluation, count_trainable_parameters, evaluate_split, measure_batch
from optbench.training.execution.replica import Replica
from optbench.training.execution.stackable import find_difference
from optbench.training.execution.stacked_step import StackedStep
from optbench.training.held_memory import state_bytes
from optbench.training.loop import Session
from optbench.training.norm_statistics import STATISTICS, collecting_norms, fresh_statistics
from optbench.training.record import Training
from optbench.training.seeds import TUNING_SEEDS, derive
from optbench.training.stepper import OVERWRITTEN

#: Minimum number of replicas that are trained together.
SMALLEST = 8
#: Models of these seeds are compared as well, so that the result does not depend on the other replicas.
_OTHER_SEEDS = (TUNING_SEEDS - 1, TUNING_SEEDS - 2)


def train_population(
    cell: Cell,
    problem: Problem,
    data: ResidentData,
    replicas: Sequence[Replica],
    budget: int,
    *,
    from_zero: bool,
    test: bool = False,
) -> list[Training]:
    """Trains several replicas at once. Each record equals that of `train` up to rounding.

    A replica that diverges is not charged further. Exceptions of the problem and the optimizer are raised.

    Args:
        cell: The cell.
        problem: Its problem.
        data: Its data on the device.
        replicas: The replicas; their hyperparameters may differ in the learning rate only. All pause at the same
            evaluation, or none.
        budget: Budget of each replica in example gradients.
        from_zero: See `StackedStep`.
        test: Whether the test split is evaluated after the last step.

    Returns:
        One record per replica.

    Raises:
        ValueError: The models can't be stacked.
    """
    make_deterministic(cell.threads)
    # Matrix products of few rows are rounded differently than those of many. Small populations are filled up with
    # copies, so that the result of a replica does not depend on the others, bit by bit.
    copies = [replace(replicas[-1], observer=None)] * (SMALLEST - len(replicas))
    ledger = Ledger(budget)
    population = Population(cell, problem, data, [*replicas, *copies], from_zero, ledger)
    common = describe_optimizer(population.stacked.optimizer)
    records = [Training(dict(replica.hyperparameters), replica.seed) for replica in replicas]
    for record in records:
        record.constructed = {**common, "lr": record.hyperparameters["lr"]}
    observers = [replica.observer() if replica.observer else None for replica in replicas]
    session = Session(cell, problem, data, population, records, observers, ledger, test, train_loss=test)
    # Together, to pause and to continue would cost more than to start again: all replicas pause at the same evaluation.
    until = cell.evaluations if replicas[0].until is None else replicas[0].until
    session.advance(until)
    if until >= cell.evaluations:
        session.finish()
    return records


class _LossModule(nn.Module):
    """A model with its problem's loss (or loss and metric) as a module, for `functional_call`."""

    def __init__(self, problem: Problem, model: nn.Module) -> None:
        super().__init__()
        self.problem, self.model = problem, model

    def forward(self, evaluation: bool, batch: Batch) -> Tensor | tuple[Tensor, Tensor]:
        return measure_batch(self.problem, self.model, batch) if evaluation else self.problem.loss(self.model, batch)


class Population:
    """The stacked replicas of one model, with their optimizer and batches. Implements the protocol `loop.Replicas`."""

    def __init__(
        self,
        cell: Cell,
        problem: Problem,
        data: ResidentData,
        replicas: Sequence[Replica],
        from_zero: bool,
        ledger: Ledger,
    ) -> None:
        self.problem, self.data, self.ledger = problem, data, ledger
        self.batch_size = cell.batch_size
        self.count, self.steps = len(replicas), 0
        self.remark = ""
        models = [make_model(problem, cell, replica.seed) for replica in replicas]
        if difference := find_difference([*models, *(make_model(problem, cell, seed) for seed in _OTHER_SEEDS)]):
            raise ValueError(difference)
        self.model = models[0]
        self._loss_module = _LossModule(problem, self.model)
        self.parameters, buffers = torch.func.stack_module_state(models)
        orders = [torch.Generator().manual_seed(derive(r.seed, "data order")) for r in replicas]
        self.batches = BatchStream(len(data.train), cell.batch_size, orders, cell.device, problem.order)
        self._augments = type(problem).augment_batch is not Problem.augment_batch
        self._augmentations = [
            torch.Generator(cell.device).manual_seed(derive(r.seed, "augmentation")) for r in replicas
        ]
        self._schedule = None if cell.schedule == "constant" else parse_schedule(cell.schedule)
        # Buffers that are equal in all replicas and that training does not change are shared.
        own = _changing_buffers(problem, self.model, data)
        own |= {name for name, stack in buffers.items() if any(not torch.equal(stack[0], one) for one in stack)}
        self._buffers = {f"model.{name}": stack for name, stack in buffers.items() if name in own}
        trained = [stack for stack in self.parameters.values() if stack.requires_grad]
        others = {name: value for name, value in replicas[0].hyperparameters.items() if name != "lr"}
        rates = [float(replica.hyperparameters["lr"]) for replica in replicas]
        self.stacked = StackedStep(cell.optimizer, trained, others, rates, from_zero)
        additions = cell.optimizer.additions(others)
        self._clipping = Clipping(additions["clip_norm"], additions["clip_value"])
        self.average = make_average(self.parameters.values(), additions)
        self._ones = torch.ones(len(replicas), dtype=trained[0].dtype, device=cell.device)
        self._named = {f"model.{name}": stack for name, stack in self.parameters.items()}
        self._losses = torch.func.vmap(self._loss, in_dims=(0, 0, 0))
        self._evaluations = torch.func.vmap(self._evaluation, in_dims=(0, 0, None))

    def step(self) -> bool:
        """Takes one step of every replica on its own next batch, charged once for all replicas."""
        factor = 1.0
        if self._schedule is not None:
            # As for one model: a schedule sets the rate, whatever the optimizer has made of it.
            if self.stacked.reset_rate():
                self.remark = OVERWRITTEN
            factor = self._schedule.next_factor(self.ledger, self.batch_size)
        self.ledger.charge_gradient(self.batch_size)
        batch = self._augment(self.data.train.batch(self.batches.next()))
        losses = self.problem.stacked_loss(self.model, self.parameters, batch)
        if losses is None:
            losses = self._losses(self._named, self._buffers, batch)
        for parameter in self.stacked.parameters:
            parameter.grad = None
        # The replicas share no parameters, so each gets the gradient of its own loss.
        torch.autograd.backward(losses, self._ones)
        self._clipping.clip_replicas(self.stacked.parameters)
        self.stacked.step(factor)
        self.steps += 1
        if self.average:
            self.average.update(self.ledger.spent_share())
        return True

    def evaluate(self, *splits: Split) -> list[list[Evaluation]]:
        """Returns loss and metric of every replica, for each split."""
        with self._evaluating(), torch.no_grad():
            return [[Evaluation(*pair) for pair in self._means(split).T.tolist()] for split in splits]

    def _means(self, split: Split) -> Tensor:
        return evaluate_split(self.problem, lambda batch: self._evaluations(self._named, self._buffers, batch), split)

    def finite(self) -> list[bool]:
        """Returns for each replica whether all its parameters are finite."""
        flags = [torch.isfinite(stack.detach().flatten(1)).all(1) for stack in self.parameters.values()]
        return [bool(flag) for flag in torch.stack(flags).all(0).tolist()]

    def positions(self) -> list[list[float]]:
        """Returns all parameters of each replica as a flat list."""
        positions: list[list[float]] = torch.cat(
            [stack.detach().flatten(1) for stack in self.parameters.values()], dim=1
        ).tolist()
        return positions

    def trainable_parameters(self) -> int:
        """Returns the number of weights of one replica that are currently trained."""
        return count_trainable_parameters(self.model)

    def state_bytes(self) -> int | None:
        """Returns the size of what the optimizer holds for one replica, and of its averaged weights, in bytes."""
        held = state_bytes(self.stacked.optimizer, self.count)
        return held if held is None or self.average is None else held + self.average.held_bytes // self.count

    def _loss(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: Batch) -> Tensor:
        loss: Tensor = torch.func.functional_call(self._loss_module, {**parameters, **buffers}, (False, batch))
        return loss

    def _evaluation(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: Batch
    ) -> tuple[Tensor, Tensor]:
        evaluation: tuple[Tensor, Tensor] = torch.func.functional_call(
            self._loss_module, {**parameters, **buffers}, (True, batch)
        )
        return evaluation

    def _augment(self, batch: Batch) -> Batch:
        if not self._augments:
            return batch
        # One replica after another, since each has its own random generator.
        parts = [
            self.problem.augment_batch(tuple(tensor[k] for tensor in batch), generator)
            for k, generator in enumerate(self._augmentations)
        ]
        return tuple(torch.stack(tensors) for tensors in zip(*parts, strict=True))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        norms = {f"model.{name}": norm for name, norm in collecting_norms(self.model)}
        self.model.eval()
        averaged = self.average.in_place() if self.average else nullcontext()
        try:
            named = {f"{layer}.{name}" for layer in norms for name in STATISTICS}
            buffers = [stack for name, stack in self._buffers.items() if name in named]
            sample, size = self.data.train_sample, self.problem.evaluation_batch
            with averaged, fresh_statistics([*norms.values()], buffers, self._measure, sample, size):
                yield
        finally:
            self.model.train()

    def _measure(self, batch: Batch) -> None:
        """Runs all replicas on a batch, as for a loss."""
        torch.func.vmap(self._loss, in_dims=(0, 0, None))(self._named, self._buffers, batch)


def _changing_buffers(problem: Problem, model: nn.Module, data: ResidentData) -> set[str]:
    """Returns the names of the buffers that a forward pass in training mode changes, such as those of batch norm.

    Raises:
        ValueError: The forward pass replaces a buffer by another tensor, which stacking would lose.
    """
    before = dict(model.named_buffers())
    if not before:
        return set()
    probe = copy.deepcopy(model).train()
    buffers = dict(probe.named_buffers())
    with torch.no_grad():
        problem.loss(probe, next(data.train_sample.chunks(8)))
    for name, after in probe.named_buffers():
        if after is not buffers.get(name):
            raise ValueError(f"training replaces the buffer {name} by another tensor")
    return {name for name, after in buffers.items() if not torch.equal(after, before[name])}
