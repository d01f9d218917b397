"""Steps that are captured as a CUDA graph: forward pass, backward pass and update are launched together.

The duration of a small step on a GPU is dominated by the time to launch its kernels one by one. A graph is captured
once, and then replays the same kernels on the same memory. So everything that changes from step to step (batch and
learning rate) is stored in tensors with fixed addresses. See "CUDA semantics, whole-network capture" in torch's
documentation.
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

#: Number of steps before the capture, in which libraries are initialised and the optimizer allocates its state.
WARMUP_STEPS = 3
#: Optimizers that need no switch `capturable`: with the same learning rate, all their steps are the same.
_WITHOUT_SWITCH = (torch.optim.SGD, torch.optim.Adagrad)


class GraphStepper(Stepper):
    """A `Stepper` that replays a CUDA graph of its step, from the fourth step on.

    The first three steps are executed kernel by kernel on a side stream, as a capture requires. They are normal steps
    of the training.

    Raises:
        ValueError: The optimizer's step can't be captured.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: The learning rate as a tensor on the device, and the value that the schedule multiplies.
        self._rate: Tensor | None = None
        self._base = 0.0
        super().__init__(*args, **kwargs)
        if self._needs_closure or len(self._chunks) > 1:
            raise ValueError("a step with several evaluations can't be captured as one graph")
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch = ()

    def step(self) -> bool:
        """Takes one step on the next batch; returns True."""
        batch = self._next_batch()
        self.ledger.charge_gradient(self.batch_size)
        if self.steps < WARMUP_STEPS:
            with _side_stream():
                self._compute(batch)
        else:
            if self._graph is None:
                self._graph = self._capture(batch)
            for place, tensor in zip(self._batch, batch, strict=True):
                place.copy_(tensor)
            self._graph.replay()
        self._complete_step()
        return True

    def _compute(self, batch: Batch) -> None:
        # None instead of zero, so that a graph allocates the gradients in its own memory.
        self.optimizer.zero_grad(set_to_none=True)
        self._backward(batch)
        with self._precise_counts():
            self.optimizer.step()

    def _capture(self, batch: Batch) -> torch.cuda.CUDAGraph:
        """Captures the graph of a step. A capture executes nothing, so the parameters do not change."""
        self._batch = tuple(tensor.clone() for tensor in batch)
        graph = torch.cuda.CUDAGraph()
        # The outer context restores the current stream if the capture fails.
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
            self._compute(self._batch)
        return graph

    def _make_optimizer(self, cell: Cell, hyperparameters: Mapping[str, Any]) -> torch.optim.Optimizer:
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        constructor = load_attribute(cell.optimizer.constructor)
        arguments = cell.optimizer.constructor_arguments(hyperparameters)
        self._base = arguments["lr"]
        accepted = inspect.signature(constructor).parameters
        if "capturable" in accepted:
            # For some optimizers, only the foreach implementation keeps the learning rate on the device.
            dtype = parameters[0].dtype
            switch = {"capturable": True} | ({"foreach": True} if "foreach" in accepted else {})
        elif constructor not in _WITHOUT_SWITCH or arguments.get("lr_decay"):
            raise ValueError("the optimizer has no argument `capturable`, so its steps can't be captured")
        elif cell.schedule == "constant":
            return constructor(parameters, **arguments)  # the learning rate is a constant of the graph
        elif any(parameter.dtype != torch.float32 for parameter in parameters):
            raise ValueError("a learning rate that changes can be captured in float32 only")
        else:
            # Only fused kernels read a learning rate on the device; the others would use its value at the capture.
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
        """A context in which an optimizer creates its step counters in the precision of the parameters.

        Optimizers create these tensors in their first step, with torch's default type. The context also suppresses
        warnings about steps outside a graph, which are intended here.
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
