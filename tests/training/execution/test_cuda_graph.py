"""Graphs of whole steps against eager training: on a GPU, and by a stand-in that replays operations on a CPU.

The stand-in captures what a step dispatches, undoes it (capturing a CUDA graph computes nothing), and
replays exactly these operations on the same memory. So it shows what a graph would: numbers that were
constants while it was captured, and tensors that aren't where they were.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from optbench.cli.verbs import main
from optbench.config.load import configure
from optbench.optimizers.builtin import BUILT_IN
from optbench.planning.execution import Execution
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.training.device_data import load
from optbench.training.execution import trainer as trainer_module
from optbench.training.execution.cuda_graph import WARMUP_STEPS, GraphStepper
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from optbench.training.record import Training
from tests.support.tiny import RAISING, TINY, TINY_NET
from tests.support.trainings import cell_for, facts, values

SOURCE = DataSource(Path("unused"), download=False)
FIRST_ORDER = [name for name, spec in BUILT_IN.items() if not spec.needs_closure]
#: Whose rate can't be a tensor of its own precision: one that changes is refused in float64.
WITHOUT_TENSOR_RATES = ("sgd", "momentum", "nesterov", "adagrad")
SCHEDULES = ("constant", "cosine[warmup=0.2]")
HERE = Path(__file__).resolve()


class _Recorder(TorchDispatchMode):
    def __init__(self, log: list[Any], sees_numbers: bool) -> None:
        super().__init__()
        self.log, self.sees_numbers = log, sees_numbers

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and not self.sees_numbers:
            raise RuntimeError("operation not permitted when stream is capturing")
        result = func(*args, **(kwargs or {}))
        self.log.append((func, args, kwargs or {}, result))
        return result


class StandIn:
    """What `torch.cuda.CUDAGraph` is to `GraphStepper`."""

    replays = 0

    def __init__(self) -> None:
        self.log: list[Any] = []

    def replay(self) -> None:
        type(self).replays += 1
        with torch.no_grad():
            for func, args, kwargs, before in self.log:
                for place, fresh in zip(tree_leaves(before), tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(place, torch.Tensor) and place.data_ptr() != fresh.data_ptr():
                        place.copy_(fresh)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    """Graphs on a CPU; optimizers take it for a device on which they can be captured."""
    capturing: list[GraphStepper] = []
    original = GraphStepper._capture

    def captured(self: GraphStepper, batch: Any) -> Any:
        capturing.append(self)
        try:
            return original(self, batch)
        finally:
            capturing.pop()

    @contextmanager
    def graph(made: StandIn) -> Iterator[None]:
        stepper = capturing[-1]
        state = [*stepper.model.parameters(), *stepper.model.buffers(), *stepper._batch]
        # Counts on the host are no part of a graph: they go on while it is captured, and then stand still.
        state += [t for t in tree_leaves(list(stepper.optimizer.state.values())) if isinstance(t, torch.Tensor)]
        kept = [tensor.detach().clone() for tensor in state]
        with _Recorder(made.log, isinstance(stepper.optimizer, torch.optim.Adagrad)):
            yield
        with torch.no_grad():
            for tensor, before in zip(state, kept, strict=True):
                tensor.copy_(before)

    monkeypatch.setattr(GraphStepper, "_capture", captured)
    stream = SimpleNamespace(wait_stream=lambda other: None)
    fake = {"CUDAGraph": StandIn, "graph": graph, "Stream": lambda: stream, "current_stream": lambda: stream,
            "stream": lambda _: nullcontext()}  # fmt: skip
    for name, value in fake.items():
        monkeypatch.setattr(torch.cuda, name, value)
    for name, module in list(sys.modules.items()):
        if name.startswith("torch.optim.") and hasattr(module, "_get_capturable_supported_devices"):
            monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda *_, **__: ["cpu"])
    monkeypatch.setattr(StandIn, "replays", 0)
    return StandIn


def graphed(problem: str, optimizer: str, **choices: Any) -> Cell:
    """A cell on the CPU that is to be trained by graphs, which the rule would refuse."""
    from dataclasses import replace

    return replace(cell_for(problem, optimizer, "eager", **choices), execution=Execution("cuda_graph", "requested"))


def trained(cell: Cell, execution: str, budget: int = 600) -> list[Training]:
    problem, data = load(cell.problem, SOURCE, cell.device)
    trainer = Trainer(cell, problem, data)
    assert trainer.execution == execution, trainer.note
    default = cell.optimizer.defaults["lr"]
    return list(trainer.train([Replica({"lr": default * f}, k) for k, f in enumerate((1.0, 0.3))], budget, test=True))


def same_but_capturable(record: Training) -> list[Any]:
    """All facts; that a step was captured is one of the optimizer's, and state on the device takes other bytes."""
    found = facts(record)
    constructed = {k: v for k, v in record.constructed.items() if k not in ("capturable", "foreach", "fused")}
    return [*found[:4], constructed, *found[5:9], *found[10:]]


def is_refused_in_float64(name: str, schedule: str) -> None:
    problem, data = load(graphed(TINY, name).problem, SOURCE, "cpu")
    trainer = Trainer(graphed(TINY, name, schedules=[schedule]), problem, data)
    assert trainer.execution == "eager"
    assert "in float32 only" in trainer.note


@pytest.mark.usefixtures("stand_in")
def test_a_rate_that_changes_is_refused_in_float64() -> None:
    for name in WITHOUT_TENSOR_RATES:
        is_refused_in_float64(name, SCHEDULES[1])


@pytest.mark.parametrize(
    ("problem", "tolerance", "schedule"),
    [(TINY, 1e-9, SCHEDULES[0]), (TINY_NET, 2e-5, SCHEDULES[1]),
     pytest.param(TINY, 1e-9, SCHEDULES[1], marks=pytest.mark.slow),
     pytest.param(TINY_NET, 2e-5, SCHEDULES[0], marks=pytest.mark.slow)],
)  # fmt: skip
@pytest.mark.parametrize("name", [*FIRST_ORDER, "adam[clip_norm=0.3,clip_value=0.2,average_decay=0.9]"])
def test_replays_agree_with_eager_training(
    name: str, problem: str, tolerance: float, schedule: str, stand_in: type[StandIn]
) -> None:
    if name in WITHOUT_TENSOR_RATES and problem == TINY and schedule != "constant":
        is_refused_in_float64(name, schedule)
        return
    if (name, problem) == ("nadam", TINY):
        tolerance = 1e-7  # torch keeps its product of momenta in float32
    expected = trained(cell_for(problem, name, "eager", schedules=[schedule]), "eager")
    found = trained(graphed(problem, name, schedules=[schedule]), "cuda_graph")
    for one, other in zip(found, expected, strict=True):
        assert same_but_capturable(one) == same_but_capturable(other)
        np.testing.assert_allclose(values(one), values(other), rtol=tolerance)
    steps = sum(record.steps for record in found)
    assert stand_in.replays > steps - 2 * WARMUP_STEPS


@pytest.mark.parametrize(
    ("optimizer", "note"),
    [
        ("lbfgs", "capturable"),
        (RAISING, "capturable"),
        ("adagrad[lr_decay=0.1]", "capturable"),
        (f"{HERE}:Halving", "differs from eager training"),
        (f"{HERE}:Looking", "not permitted when stream is capturing"),
    ],
)
def test_what_a_graph_can_not_repeat_is_trained_eagerly(optimizer: str, note: str, stand_in: type[StandIn]) -> None:
    cell = graphed(TINY, optimizer)
    problem, data = load(cell.problem, SOURCE, "cpu")
    trainer = Trainer(cell, problem, data)
    assert trainer.execution == "eager"
    assert note in trainer.note
    (record,) = trainer.train([Replica(cell.optimizer.defaults, 0)], 300)
    assert record.points[-1].index == cell.evaluations or record.status != "ok"


class Halving(torch.optim.SGD):
    """Counts its steps in Python and halves the rate with each: a graph would keep that of its capture."""

    def __init__(self, params: Any, lr: float = 0.01, capturable: bool = False) -> None:
        super().__init__(params, lr=float(lr))
        self.count = 0

    def step(self, closure: Any = None) -> Any:
        self.count += 1
        for group in self.param_groups:
            group["lr"] = 0.01 * 0.5**self.count
        return super().step(closure)


class Looking(torch.optim.SGD):
    """Reads a gradient back to the host, which a capture doesn't permit."""

    def __init__(self, params: Any, lr: float = 0.01, capturable: bool = False) -> None:
        super().__init__(params, lr=float(lr))

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            if float(group["params"][0].grad.sum()) > -1e9:
                super().step(closure)


def test_on_a_cpu_it_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "--problem", "quadratic_valley", "--optimizer", "adam", "--device", "cpu"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--execution", "cuda_graph"])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "execution 'cuda_graph' needs a CUDA device, not cpu" in lines[0]
    assert "(accepted: auto, eager, population, compile)" in lines[0]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_graphs_on_a_gpu_agree_with_eager_training() -> None:
    """All optimizers on all problems are tried before any of them fails the test."""
    problems = {TINY: 1e-9, TINY_NET: 2e-5, f"{TINY_NET}[dropout=0.5]": 2e-5, "mnist_cnn[data=digits]": 1e-3,
                "cifar_resnet[data=digits,depth=8,width=4]": 1e-2}  # fmt: skip
    wrong = {}
    for schedule, (problem, tolerance), name in itertools.product(SCHEDULES, problems.items(), FIRST_ORDER):
        if problem == TINY and schedule != "constant" and name in WITHOUT_TENSOR_RATES:
            continue  # a rate that changes can't be captured in float64
        try:
            agree_on_a_gpu(name, problem, tolerance, schedule)
        except AssertionError as error:
            wrong[name, problem, schedule] = str(error)
    assert wrong == {}


def agree_on_a_gpu(name: str, problem: str, tolerance: float, schedule: str) -> None:
    if (name, problem) == ("nadam", TINY):
        tolerance = 1e-7  # torch keeps its product of momenta in float32
    found = []
    for execution in ("eager", "cuda_graph"):
        config = configure(
            problems=[problem], optimizers=[name], batch_sizes=[10], devices=["cuda"], schedules=[schedule]
        )
        found.append(trained(make_plan(config, execution).cells[0], execution))
    for one, other in zip(*found, strict=True):
        assert same_but_capturable(one) == same_but_capturable(other)
        np.testing.assert_allclose(values(one), values(other), rtol=tolerance)


def test_a_choice_by_name_is_the_stepper_of_that_name() -> None:
    assert trainer_module._stepper_class("cuda_graph") is GraphStepper
