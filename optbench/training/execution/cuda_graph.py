"""Steps that are captured as a CUDA graph: forward, backward and update are launched as one.

A small step on a GPU is bound by the time that it takes to launch its kernels one by one. A graph is
captured once, and then replays the same kernels on the same memory: so whatever changes from step to step,
batch and learning rate, lies in tensors that stay where they are. See "CUDA semantics, whole-network capture"
in torch's documentation.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from optbench.importing import load_attribute
from optbench.planning.matrix import Cell
from optbench.problem.data import Batch
from optbench.training.stepper import Stepper

#: Steps before the capture, in which libraries set themselves up and the optimizer makes its state.
WARMUP_STEPS = 3
#: They have no switch `capturable`, and need none: a step does the same for the same rate, whichever step it is.
_WITHOUT_SWITCH = (torch.optim.SGD, torch.optim.Adagrad)


class GraphStepper(Stepper):
    """A `Stepper` that replays a graph of its steps, from the fourth one on.

    The first three are executed one kernel after another, on the stream that a capture demands; they are steps
    of the training like any other. Raises ValueError for an optimizer whose step can't be captured.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: The learning rate where it lies on the device, and what the schedule multiplies.
        self._rate: Tensor | None = None
        self._base = 0.0
        super().__init__(*args, **kwargs)
        if self._needs_closure or len(self._chunks) > 1:
            raise ValueError("a step of several evaluations can't be captured as one graph")
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch = ()

    def step(self) -> bool:
        """One step on the next batch."""
        batch = self._next_batch()
        self.ledger.charge_gradient(self.batch_size)
        if self.steps < WARMUP_STEPS:
            with _side_stream():
                self._compute(batch)
        else:
            if self._graph is None:
                self._graph = self._captured(batch)
            for place, tensor in zip(self._batch, batch, strict=True):
                place.copy_(tensor)
            self._graph.replay()
        self.steps += 1
        return True

    def _compute(self, batch: Batch) -> None:
        # None, not zero: within a graph the gradients are written to memory of the graph's own.
        self.optimizer.zero_grad(set_to_none=True)
        self._backward(batch)
        with self._precise_counts():
            self.optimizer.step()

    def _captured(self, batch: Batch) -> torch.cuda.CUDAGraph:
        """The graph of a step; capturing executes nothing, so the training stays where it is."""
        self._batch = tuple(tensor.clone() for tensor in batch)
        graph = torch.cuda.CUDAGraph()
        # The outer context brings the present stream back where a capture fails.
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
            self._compute(self._batch)
        return graph

    def _make_optimizer(self, cell: Cell, hyperparameters: Mapping[str, Any]) -> torch.optim.Optimizer:
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        constructor = load_attribute(cell.optimizer.constructor)
        arguments = {**cell.optimizer.arguments, **hyperparameters}
        self._base = arguments["lr"]
        accepted = inspect.signature(constructor).parameters
        if "capturable" in accepted:
            # Of some optimizers only the operations over lists of tensors leave a rate on the device.
            dtype = parameters[0].dtype
            switch = {"capturable": True} | ({"foreach": True} if "foreach" in accepted else {})
        elif constructor not in _WITHOUT_SWITCH or arguments.get("lr_decay"):
            raise ValueError("the optimizer has no argument `capturable`, so its steps can't be captured")
        elif cell.schedule == "constant":
            return constructor(parameters, **arguments)  # the rate is a constant of the graph
        elif any(parameter.dtype != torch.float32 for parameter in parameters):
            raise ValueError("in other precision than float32 a rate that changes can't be captured")
        else:
            # Only fused kernels read a rate on the device; the others would read it back once, while capturing.
            dtype, switch = torch.float32, {"fused": True}
        self._rate = torch.tensor(self._base, dtype=dtype, device=parameters[0].device)
        optimizer = constructor(parameters, **{**arguments, **switch, "lr": self._rate})
        optimizer.defaults["lr"] = self._base  # for the record
        return optimizer

    def _set_rates(self) -> None:
        if self._rate is not None:
            self._rate.fill_(self._base * self._factor())

    @contextmanager
    def _precise_counts(self) -> Iterator[None]:
        """Lets an optimizer count its steps, and what it derives from them, in the precision of the parameters.

        It chooses the type of these tensors in its first step, by torch's default. Also silent about steps
        outside of a graph, which here are meant to be.
        """
        before = torch.get_default_dtype()
        parameter = next(self.model.parameters())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*capturable=True.*")
            torch.set_default_dtype(torch.float64 if parameter.dtype == torch.float64 else before)
            try:
                yield
            finally:
                torch.set_default_dtype(before)


@contextmanager
def _side_stream() -> Iterator[None]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)
