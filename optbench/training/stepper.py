"""Single training steps of one model: the next batch, its gradient and the optimizer's step, charged to a ledger."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from optbench.budget import THIRDS, UNLIMITED, BudgetExhausted, Ledger
from optbench.machine.device import seed_torch
from optbench.optimizers.additions import AVERAGING, averages_itself
from optbench.optimizers.schedule import Schedule, optimizer_schedule, parse_schedule
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS
from optbench.planning.matrix import Cell
from optbench.problem.base import Problem
from optbench.problem.data import Batch
from optbench.training import early_gradient
from optbench.training.averaging import averages_weights, make_average
from optbench.training.batches import BatchStream
from optbench.training.charging import charged_passes
from optbench.training.clipping import Clipping
from optbench.training.construct import make_model, make_optimizer, run_facts
from optbench.training.device_data import ResidentData, Split
from optbench.training.early_gradient import GradientReadEarly
from optbench.training.evaluation import Evaluation, count_trainable_parameters, evaluate, has_finite_parameters
from optbench.training.freezing import Freezing
from optbench.training.held_memory import state_bytes
from optbench.training.norm_statistics import collecting_norms, fresh_statistics, statistics_of
from optbench.training.seeds import derive
from optbench.training.step_cost import is_counting, measure_step_cost

#: The remark on a training whose optimizer has a schedule of its own in addition to the cell's.
OVERWRITTEN = "the schedule overwrote learning rates that the optimizer had changed itself"

#: The remark on a training with a schedule whose optimizer has no learning rate in any of its groups.
RATELESS = "the schedule had no effect: no parameter group has a learning rate `lr`"

#: The error of an optimizer that differentiates the loss itself although its gradients are to be clipped.
UNCLIPPED = "the optimizer differentiates the loss itself, and that gradient can't be clipped: leave out the clipping"

#: By cell id whether its optimizer reads gradients before it calls its closure.
_READS_EARLY: dict[str, bool] = {}


class Stepper:
    """A model with its optimizer and its batches. Implements the protocol `loop.Replicas` for one replica.

    Args:
        cell: The cell: optimizer, device, batch size, schedule.
        problem: The problem of the cell.
        data: Its data on the device.
        hyperparameters: The learning rate and other hyperparameters.
        seed: Determines initial weights, order of the examples, augmentation and dropout.
        ledger: Charged for each gradient.
    """

    #: Number of replicas.
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
        #: Whether `step(closure)` may read gradients before it calls its closure, and whether it does.
        self._unknown = cell.optimizer.needs_closure and cell.optimizer.own
        self._gradient_first = self._unknown and self._reads_early(cell)
        #: Cost of a step in thirds of an example gradient, if the optimizer has to know it.
        self._step_cost = 0
        if is_counting(cell):
            limitless = partial(Stepper, cell, problem, data, hyperparameters, seed, Ledger(UNLIMITED))
            self._step_cost = measure_step_cost(cell, hyperparameters, limitless)
        #: The facts about the training that the optimizer may receive.
        self.facts = run_facts(cell, ledger.budget, self._step_cost)
        self.model = make_model(problem, cell, seed)
        self.optimizer = self._make_optimizer(cell, hyperparameters)
        self._second_backward = cell.optimizer.second_backward
        additions = cell.optimizer.additions(hyperparameters)
        self._clipping = Clipping(additions["clip_norm"], additions["clip_value"])
        #: The average of the weights that is evaluated; None if the weights themselves are.
        self.average = make_average(self.model.parameters(), additions)
        if self.average and averages_weights(self.optimizer):
            raise averages_itself(cell.optimizer.label, next(name for name in AVERAGING if additions[name]))
        self._freezing = Freezing(self.model, problem.freezing)
        order = torch.Generator().manual_seed(derive(seed, "data order"))
        self.batches = BatchStream(len(data.train), cell.batch_size, [order], cell.device, problem.order)
        self._chunks = chunk_sizes(problem, cell)
        self.augmentation = torch.Generator(cell.device).manual_seed(derive(seed, "augmentation"))
        # Random numbers during training (dropout) are drawn from torch's global generator.
        self._training_seed = derive(seed, "training") >> 1
        self._seed = partial(seed_torch, device=cell.device)
        self._seed(self._training_seed)
        self.steps = 0
        self._schedule = _schedule(cell, hyperparameters)
        #: Learning rates by the index of their group, and those that the schedule set last.
        self._rates = {k: group["lr"] for k, group in enumerate(self.optimizer.param_groups) if "lr" in group}
        self._scheduled: dict[int, Any] = {}
        #: What readers have to know about a successful training, or "".
        self.remark = "" if self._schedule is None or self._rates else RATELESS
        if is_counting(cell) and not self._step_cost:
            self.remark = (
                f"the optimizer receives {self.facts['steps']} steps, which it takes only if each costs a gradient"
            )
        self._needs_closure = cell.optimizer.needs_closure
        #: Copies of weights and buffers while a step may have to be undone.
        self._copies: list[Tensor] = []
        self.set_training(True)

    def step(self) -> bool:
        """Takes one step on the next batch.

        Returns:
            False if the budget ran out during the step, which is then undone.
        """
        if self.ledger.thirds + self._step_cost > THIRDS * self.ledger.budget:
            return False  # the optimizer would be called more often than it was told
        batch = self._next_batch()
        if self._needs_closure:
            return self._closure_step(batch)
        if self._second_backward:
            return self._step_or_undo(lambda: self._second_order_step(batch))
        self.ledger.charge_gradient(self.batch_size)
        self.optimizer.zero_grad(set_to_none=True)
        self._backward(batch)
        with _explain_missing_graph():
            self.optimizer.step()
        self._complete_step()
        return True

    def stop_watching(self) -> None:
        """Makes further steps without the check for early reads of gradients, which takes time for each parameter."""
        self._unknown = False

    def _next_batch(self) -> Batch:
        """Returns the next augmented batch, after updating the learning rates and the frozen parts."""
        if self._schedule is not None:
            self._set_rates()
        self._freezing.update(self.ledger.spent_share())
        return self.problem.augment_batch(self.data.train.batch(self.batches.next()[0]), self.augmentation)

    def _make_optimizer(self, cell: Cell, hyperparameters: Mapping[str, Any]) -> torch.optim.Optimizer:
        return make_optimizer(cell.optimizer, self.model, hyperparameters, self.facts)

    def _loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.problem.loss(model, batch)

    def _backward(self, batch: Batch) -> Tensor:
        """Computes the loss of a batch, and puts its clipped gradient in the parameters' gradients, which are empty."""
        loss = self._differentiate(batch)
        self._clipping.clip(self.model.parameters())
        return loss

    def _differentiate(self, batch: Batch) -> Tensor:
        """Computes the loss of a batch and adds its gradient to the parameters' gradients, chunk by chunk."""
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
        """Does the same as `backward(create_graph=True)`, but without its reference cycle."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A context in which model and optimizer are in evaluation mode, with the weights that are evaluated.

        These are the averaged ones if the weights are averaged. Batch norm has statistics that are measured at them.
        """
        norms = [norm for _, norm in collecting_norms(self.model)]
        self.set_training(False)
        averaged = self.average.in_place() if self.average else nullcontext()
        try:
            buffers, sample, size = statistics_of(norms), self.data.train_sample, self.problem.evaluation_batch
            measure = partial(self.problem.loss, self.model)
            with averaged, fresh_statistics(norms, buffers, measure, sample, size):
                yield
        finally:
            self.set_training(True)

    def evaluate(self, *splits: Split) -> list[list[Evaluation]]:
        """Returns loss and metric of the model for each split, as lists of one element."""
        with self.evaluating():
            return [[evaluate(self.problem, self.model, split)] for split in splits]

    def finite(self) -> list[bool]:
        """Returns whether all parameters are finite."""
        return [has_finite_parameters(self.model)]

    def positions(self) -> list[list[float]]:
        """Returns all parameters as a flat list."""
        return [torch.cat([p.detach().flatten() for p in self.model.parameters()]).tolist()]

    def trainable_parameters(self) -> int:
        """Returns the number of weights that are currently trained."""
        return count_trainable_parameters(self.model)

    def state_bytes(self) -> int | None:
        """Returns the size in bytes of what the optimizer holds, and of the averaged weights."""
        held = state_bytes(self.optimizer)
        return held if held is None or self.average is None else held + self.average.held_bytes

    def _second_order_step(self, batch: Batch) -> None:
        """Takes a step in which the optimizer can differentiate the gradients; each such backward pass is charged."""
        self.ledger.charge_gradient(self.batch_size)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._backward(batch)
        with charged_passes(self.ledger, self.batch_size, [weakref.ref(loss)], UNCLIPPED if self._clipping else ""):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # frees the graph

    def _closure_step(self, batch: Batch) -> bool:
        charged, random_seed = self.ledger.thirds, self._training_seed + self.steps
        losses: list[weakref.ref[Tensor]] = []
        uncharged: Callable[[], AbstractContextManager[None]] = nullcontext
        parameters = list(self.model.parameters())

        def closure() -> Tensor:
            # All evaluations within a step use the same dropout masks, so that a line search minimises one function.
            self._seed(random_seed)
            if not torch.is_grad_enabled():
                self.ledger.charge_forward(self.batch_size)
                return self._loss(self.model, batch)
            self.ledger.charge_gradient(self.batch_size)
            early_gradient.remove(parameters)
            self.optimizer.zero_grad(set_to_none=True)
            with uncharged():
                loss = self._backward(batch)
            losses.append(weakref.ref(loss))
            return loss

        def step() -> None:
            nonlocal uncharged
            if self._gradient_first:
                closure()
            elif self._unknown:
                early_gradient.place(parameter for parameter in parameters if parameter.requires_grad)
            unclipped = UNCLIPPED if self._clipping else ""
            with (
                charged_passes(self.ledger, self.batch_size, losses, unclipped) as uncharged,
                _explain_missing_graph(),
            ):
                self.optimizer.step(closure)  # type: ignore[arg-type]

        try:
            if not self._step_or_undo(step):
                return False
        finally:
            early_gradient.remove(parameters)
        if self.ledger.thirds == charged:
            raise RuntimeError("the optimizer's step() did not call its closure")
        return True

    def _reads_early(self, cell: Cell) -> bool:
        """Whether a first step reads gradients before it calls its closure; tried out once per cell and process."""
        if cell.id not in _READS_EARLY:
            _READS_EARLY[cell.id] = False  # for the trial itself
            probe = Stepper(cell, self.problem, self.data, cell.optimizer.defaults, 0, Ledger(UNLIMITED))
            try:
                probe.step()
            except GradientReadEarly:
                _READS_EARLY[cell.id] = True
            except Exception:  # compiled code, say, that can't take placeholders: the training itself reports others
                _READS_EARLY[cell.id] = self._works_with_gradient(cell)
        return _READS_EARLY[cell.id]

    def _works_with_gradient(self, cell: Cell) -> bool:
        probe = Stepper(cell, self.problem, self.data, cell.optimizer.defaults, 0, Ledger(UNLIMITED))
        probe._gradient_first = True
        try:
            return probe.step()
        except Exception:  # it fails either way, which the training itself reports
            return False

    def _step_or_undo(self, step: Callable[[], Any]) -> bool:
        """Takes a step with several charges; if the budget runs out, restores the model and returns False."""
        self._copy_state()
        try:
            step()
        except BudgetExhausted:
            # The parameters may be at a trial point of a line search.
            self._restore_state()
            return False
        self._complete_step()
        return True

    def _complete_step(self) -> None:
        """Counts a step that was taken, and averages its weights."""
        self.steps += 1
        if self.average:
            self.average.update(self.ledger.spent_share())

    def _copy_state(self) -> None:
        """Copies weights and buffers, unless the budget is unlimited, as in the timing pass."""
        if self.ledger.budget >= UNLIMITED:
            return
        state = list(self.model.state_dict().values())
        if not self._copies:
            self._copies = [torch.empty_like(tensor) for tensor in state]
        with torch.no_grad():
            for copy, tensor in zip(self._copies, state, strict=True):
                copy.copy_(tensor)

    def _restore_state(self) -> None:
        with torch.no_grad():
            for copy, tensor in zip(self._copies, self.model.state_dict().values(), strict=True):
                tensor.copy_(copy)

    def _set_rates(self) -> None:
        factor = self._factor()
        for place, rate in self._rates.items():
            group = self.optimizer.param_groups[place]
            if place in self._scheduled and group["lr"] != self._scheduled[place]:
                self.remark = OVERWRITTEN
            group["lr"] = self._scheduled[place] = rate * factor

    def _factor(self) -> float:
        """Returns the schedule's factor for the learning rates of the next step."""
        assert self._schedule is not None
        return self._schedule.next_factor(self.ledger, self.batch_size)

    def set_training(self, training: bool) -> None:
        """Switches model and optimizer between training and evaluation; few optimizers distinguish them."""
        self.model.train(training)
        if method := getattr(self.optimizer, "train" if training else "eval", None):
            method()


@contextmanager
def _explain_missing_graph() -> Iterator[None]:
    """Names the missing declaration if a step differentiates gradients that have no graph."""
    try:
        yield
    except RuntimeError as error:
        if "does not require grad and does not have a grad_fn" not in str(error):
            raise
        raise RuntimeError(
            "the step differentiates gradients, which have no graph: declare second_backward = true"
        ) from error


def _schedule(cell: Cell, hyperparameters: Mapping[str, Any]) -> Schedule | None:
    """Returns the optimizer's own schedule, or that of the cell; None for a constant learning rate."""
    given = {**cell.optimizer.fixed, **hyperparameters}
    own = {key: given[key] for key in SCHEDULE_HYPERPARAMETERS if key in given}
    if any(value != SCHEDULE_HYPERPARAMETERS[key] for key, value in own.items()):
        return optimizer_schedule(own)
    return None if cell.schedule == "constant" else parse_schedule(cell.schedule)


def chunk_sizes(problem: Problem, cell: Cell) -> list[int]:
    """Returns the sizes of the chunks in which a batch is computed: one chunk, except for large batches on a CPU.

    Args:
        problem: The problem, whose `chunk` is the preferred size.
        cell: The cell, which gives device and batch size.
    """
    size = cell.batch_size
    chunk = None if problem.couples_examples or cell.device != "cpu" else problem.chunk
    count = max(1, round(size / chunk)) if chunk else 1
    return [size * (i + 1) // count - size * i // count for i in range(count)]
