"""Many replicas of one training at once: other seeds, other learning rates, one sequence of operations.

The replicas' parameters are stacked along a first dimension; `torch.func.vmap` carries the loss over
it, and one unmodified optimizer steps them all (`stacked_step`). Small trainings, in which the
overhead of each operation outweighs its arithmetic, so become many times faster.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from optbench.budget import Ledger
from optbench.optimizers.schedule import schedule
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.problem.data import Batch
from optbench.training.batches import BatchStream
from optbench.training.construct import constructed_hyperparameters, make_model, state_bytes
from optbench.training.device_data import ResidentData, Split
from optbench.training.evaluation import Evaluation, means, trainable_parameters
from optbench.training.execution.replica import Replica
from optbench.training.execution.stackable import difference
from optbench.training.execution.stacked_step import StackedStep
from optbench.training.loop import Session
from optbench.training.record import Training
from optbench.training.seeds import TUNING_SEEDS, derive
from optbench.training.stepper import OVERWRITTEN

#: Replicas that are stepped at least.
SMALLEST = 8
#: Of these seeds a model is made as well, so that it doesn't depend on the company whether all are alike.
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
    """Trains all replicas at once, each to the record that `train` would give but for rounding.

    Their hyperparameters may differ in the learning rate only. A replica that diverges is charged no
    further. Raises whatever the problem or the optimizer raises.
    """
    # Products of few rows are rounded differently than those of many, so small companies are filled up
    # with copies: a replica has the same bits in any company.
    copies = [replace(replicas[-1], observer=None)] * (SMALLEST - len(replicas))
    ledger = Ledger(budget)
    population = Population(cell, problem, data, [*replicas, *copies], from_zero, ledger)
    common = constructed_hyperparameters(population.stacked.optimizer)
    records = [Training(dict(replica.hyperparameters), replica.seed) for replica in replicas]
    for record in records:
        record.constructed = {**common, "lr": record.hyperparameters["lr"]}
    observers = [replica.observer() if replica.observer else None for replica in replicas]
    Session(cell, problem, data, population, records, observers, ledger, test).run()
    return records


class _Measured(nn.Module):
    """A model under a problem's loss (or loss and metric), as a module that `functional_call` takes."""

    def __init__(self, problem: Problem, model: nn.Module) -> None:
        super().__init__()
        self.problem, self.model = problem, model

    def forward(self, evaluation: bool, batch: Batch) -> Tensor | tuple[Tensor, Tensor]:
        return self.problem.evaluate(self.model, batch) if evaluation else self.problem.loss(self.model, batch)


class Population:
    """The stacked replicas of one model, their optimizer and their batches; each `step` steps all of them."""

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
        if found := difference([*models, *(make_model(problem, cell, seed) for seed in _OTHER_SEEDS)]):
            raise ValueError(found)
        self.model = models[0]
        self._measured = _Measured(problem, self.model)
        self.parameters, buffers = torch.func.stack_module_state(models)
        orders = [torch.Generator().manual_seed(derive(r.seed, "data order")) for r in replicas]
        self.batches = BatchStream(len(data.train), cell.batch_size, orders, cell.device, problem.order)
        self._augments = type(problem).augment_batch is not Problem.augment_batch
        self._augmentations = [
            torch.Generator(cell.device).manual_seed(derive(r.seed, "augmentation")) for r in replicas
        ]
        self._schedule = None if cell.schedule == "constant" else schedule(cell.schedule)
        # Those that are alike and that training leaves as they are need no copy for each replica.
        own = _changing_buffers(problem, self.model, data)
        own |= {name for name, stack in buffers.items() if any(not torch.equal(stack[0], one) for one in stack)}
        self._buffers = {f"model.{name}": stack for name, stack in buffers.items() if name in own}
        trained = [stack for stack in self.parameters.values() if stack.requires_grad]
        others = {name: value for name, value in replicas[0].hyperparameters.items() if name != "lr"}
        rates = [float(replica.hyperparameters["lr"]) for replica in replicas]
        self.stacked = StackedStep(cell.optimizer, trained, others, rates, from_zero)
        self._ones = torch.ones(len(replicas), dtype=trained[0].dtype, device=cell.device)
        self._named = {f"model.{name}": stack for name, stack in self.parameters.items()}
        self._losses = torch.func.vmap(self._loss, in_dims=(0, 0, 0))
        self._evaluations = torch.func.vmap(self._evaluation, in_dims=(0, 0, None))

    def step(self) -> bool:
        """One step of every replica on its own next batch, charged once: all replicas are charged alike."""
        factor = 1.0
        if self._schedule is not None:
            # As for one model: a schedule sets the rate, whatever the optimizer has made of it.
            if self.stacked.reset_rate():
                self.remark = OVERWRITTEN
            factor = self._schedule(min((self.ledger.cost + self.batch_size / 2) / self.ledger.budget, 1.0))
        self.ledger.charge_gradient(self.batch_size)
        batch = self._augmented(self.data.train.batch(self.batches.next()))
        losses = self.problem.stacked_loss(self.model, self.parameters, batch)
        if losses is None:
            losses = self._losses(self._named, self._buffers, batch)
        for parameter in self.stacked.parameters:
            parameter.grad = None
        # The replicas have no parameter in common, so each gets the gradient of its own loss.
        torch.autograd.backward(losses, self._ones)
        self.stacked.step(factor)
        self.steps += 1
        return True

    def evaluate(self, *splits: Split) -> list[list[Evaluation]]:
        """For each split, loss and metric of every replica."""
        with self._evaluating(), torch.no_grad():
            return [[Evaluation(*pair) for pair in self._means(split).T.tolist()] for split in splits]

    def _means(self, split: Split) -> Tensor:
        return means(
            lambda batch: self._evaluations(self._named, self._buffers, batch), split, self.problem.evaluation_batch
        )

    def finite(self) -> list[bool]:
        """Whether all parameters of each replica are finite."""
        flags = [torch.isfinite(stack.detach().flatten(1)).all(1) for stack in self.parameters.values()]
        return [bool(flag) for flag in torch.stack(flags).all(0).tolist()]

    def positions(self) -> list[list[float]]:
        """All parameters of each replica, as flat lists."""
        found: list[list[float]] = torch.cat(
            [stack.detach().flatten(1) for stack in self.parameters.values()], dim=1
        ).tolist()
        return found

    def trainable_parameters(self) -> int:
        """Number of weights of one replica that are trained at present."""
        return trainable_parameters(self.model)

    def state_bytes(self) -> int:
        """Bytes that the optimizer keeps for one replica."""
        return state_bytes(self.stacked.optimizer, self.count)

    def _loss(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: Batch) -> Tensor:
        loss: Tensor = torch.func.functional_call(self._measured, {**parameters, **buffers}, (False, batch))
        return loss

    def _evaluation(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: Batch
    ) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = torch.func.functional_call(
            self._measured, {**parameters, **buffers}, (True, batch)
        )
        return found

    def _augmented(self, batch: Batch) -> Batch:
        if not self._augments:
            return batch
        # One after another, as the random numbers of each are drawn from a generator of its own.
        parts = [
            self.problem.augment_batch(tuple(tensor[k] for tensor in batch), generator)
            for k, generator in enumerate(self._augmentations)
        ]
        return tuple(torch.stack(tensors) for tensors in zip(*parts, strict=True))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        self.model.eval()
        yield
        self.model.train()


def _changing_buffers(problem: Problem, model: nn.Module, data: ResidentData) -> set[str]:
    """The names of the buffers that a forward pass in training mode changes, such as batch norm's.

    Raises ValueError where it puts another tensor in a buffer's place, which would be lost.
    """
    before = dict(model.named_buffers())
    if not before:
        return set()
    tried = copy.deepcopy(model).train()
    places = dict(tried.named_buffers())
    with torch.no_grad():
        problem.loss(tried, next(data.train_sample.chunks(8)))
    for name, after in tried.named_buffers():
        if after is not places.get(name):
            raise ValueError(f"training puts another tensor in the place of the buffer {name}")
    return {name for name, after in places.items() if not torch.equal(after, before[name])}
