"""Training: against independent update rules and a plain loop, exact ledger, divergence, pairing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optbench.config.load import configure
from optbench.optimizers.builtin import BUILT_IN
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.data import DataSource
from optbench.problems.quadratic_valley import QuadraticValley
from optbench.training.batches import BatchStream
from optbench.training.device_data import load
from optbench.training.loop import train
from optbench.training.record import Training
from optbench.training.seeds import derive
from tests.support.reference_rules import RULES

SOURCE = DataSource(Path("unused"), download=False)
VALLEY = "quadratic_valley"
SEED = 3


def cell_for(problem: str, optimizer: str, batch_size: int = 10, **choices: Any) -> Cell:
    config = configure(problems=[problem], optimizers=[optimizer], batch_sizes=[batch_size], devices=["cpu"], **choices)
    return make_plan(config).cells[0]


def training(cell: Cell, lr: float | None = None, seed: int = SEED, budget: int = 3000, **options: Any) -> Training:
    problem, data = load(cell.problem, SOURCE, "cpu")
    hyperparameters = cell.optimizer.defaults if lr is None else {"lr": lr}
    record = train(cell, problem, data, hyperparameters, seed, budget, **options)
    assert record.status in ("ok", "diverged"), record.traceback
    return record


def order(cell: Cell, steps: int, seed: int = SEED) -> list[np.ndarray]:
    """The batches of a training, drawn again."""
    generator = torch.Generator().manual_seed(derive(seed, "data order"))
    stream = BatchStream(cell.training_examples, cell.batch_size, [generator], "cpu")
    return [stream.next()[0].numpy().copy() for _ in range(steps)]


def measured(valley: QuadraticValley, at: np.ndarray, points: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss and gradient as the problem has them, to the last bit: noisy line searches amplify rounding."""
    model = valley.model()
    torch.nn.utils.vector_to_parameters(torch.from_numpy(at), model.parameters())
    loss = valley.loss(model, valley.batch(points))
    (gradient,) = torch.autograd.grad(loss, list(model.parameters()))
    return loss.item(), gradient.numpy()


@pytest.mark.parametrize(
    ("batch_size", "rotated"),
    [
        pytest.param(10, False, id="mini-batches"),
        pytest.param(1000, True, id="full batch, rotated"),
        pytest.param(10, True, id="mini-batches, rotated", marks=pytest.mark.slow),
        pytest.param(1000, False, id="full batch", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", list(BUILT_IN))
def test_trajectories_follow_the_published_rules(name: str, batch_size: int, rotated: bool) -> None:
    """Point by point to 1e-9, against NumPy written from the papers, at three rates of the range."""
    cell = cell_for(f"{VALLEY}[rotated={str(rotated).lower()}]", name, batch_size, evaluations=1)
    valley = QuadraticValley(rotated=rotated)
    points = valley.load_data(SOURCE).train[0].numpy()
    hessian = valley.model().hessian.numpy()  # type: ignore[union-attr, operator]
    rates = {"sgd": (1e-3, 1.2e-2), "adaptive": (1e-2, 0.1), "quasi-newton": (0.1, 1.0)}[BUILT_IN[name].family]
    for lr in (*rates, *cell.optimizer.defaults.values()):
        # Without noise the gradient vanishes, and RMSprop's ever larger relative steps then amplify
        # rounding: two right implementations part after some 170 steps.
        budget = (200 if batch_size == 10 else 150) * batch_size
        record = training(cell, lr, budget=budget, test=True)
        rule = RULES[name](lr)
        w = np.array(valley.plane.start)  # type: ignore[union-attr]
        expected = [w]
        for batch in order(cell, record.steps):
            chosen = points[batch]

            def evaluate(at: np.ndarray, chosen: np.ndarray = chosen) -> tuple[float, np.ndarray]:
                if name == "lbfgs":
                    return measured(valley, at, chosen)
                away = at - chosen
                return float(0.5 * np.einsum("ni,ij,nj->n", away, hessian, away).mean()), hessian @ away.mean(axis=0)

            w = rule.step(w, evaluate)
            expected.append(w)
        assert record.steps >= (20 if name == "lbfgs" else budget // batch_size)
        assert rule.evaluations <= record.forwards <= budget // batch_size
        np.testing.assert_allclose(np.array(record.trajectory), np.array(expected), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_networks_train_as_in_a_plain_torch_loop(name: str) -> None:
    """Same initial weights, same batches: the very same losses as a loop without any harness."""
    cell = cell_for("mnist_cnn[data=digits]", name, 100, evaluations=1)
    problem, _ = load(cell.problem, SOURCE, "cpu")
    record = training(cell, budget=1000, test=True)

    torch.manual_seed(derive(SEED, "initial weights"))
    model = problem.model()
    data = problem.load_data(SOURCE)
    images, labels = data.train
    if name != "lbfgs":
        model = model.to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    module, _, cls = cell.optimizer.constructor.rpartition(":")
    assert module == "torch.optim"
    optimizer = getattr(torch.optim, cls)(model.parameters(), **cell.optimizer.arguments, **cell.optimizer.defaults)
    evaluations = 0
    for batch in order(cell, record.steps):
        index = torch.from_numpy(batch)

        def closure(index: torch.Tensor = index) -> torch.Tensor:
            nonlocal evaluations
            evaluations += 1
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images[index]), labels[index])
            loss.backward()
            return loss

        optimizer.step(closure)
    assert record.forwards - evaluations in range(25)
    if name != "lbfgs":
        assert record.forwards == evaluations == 10
    images, labels = data.test
    with torch.no_grad():
        logits = model.eval()(images)
    assert record.test_loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert record.test_metric == pytest.approx((logits.argmax(1) == labels).double().mean().item(), abs=1e-6)


class Counting:
    """Counts forward and backward passes by hooks, without the ledger's help."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, problem: Any) -> None:
        self.examples = self.forwards = self.backwards = 0
        original = type(problem).loss

        def counted(this: Any, model: Any, batch: Any) -> torch.Tensor:
            loss = original(this, model, batch)
            if loss.requires_grad:
                self.forwards += 1
                self.examples += len(batch[0])
                loss.register_hook(self._backward)
            return loss

        monkeypatch.setattr(type(problem), "loss", counted)

    def _backward(self, gradient: torch.Tensor) -> None:
        self.backwards += 1


@pytest.mark.parametrize(("name", "batch_size"), [*((name, 7) for name in BUILT_IN), ("sgd", 100), ("lbfgs", 100)])
def test_the_ledger_charges_exactly_what_is_computed(
    name: str, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_for(VALLEY, name, batch_size)
    problem, _ = load(cell.problem, SOURCE, "cpu")
    counting = Counting(monkeypatch, problem)
    record = training(cell, budget=1234)
    assert (record.forwards, record.backwards) == (counting.forwards, counting.backwards)
    assert record.cost == counting.examples
    # Nothing overspent, and less than one more step left.
    assert 1234 - batch_size < record.cost <= 1234
    if name != "lbfgs":
        assert record.steps == record.forwards == 1234 // batch_size


def test_a_budget_that_ends_inside_a_line_search_leaves_the_last_whole_step() -> None:
    cell = cell_for(VALLEY, "lbfgs", 10)
    for budget in range(200, 300, 10):
        record = training(cell, budget=budget, test=True)
        longer = training(cell, budget=budget + 300, test=True)
        assert len(record.trajectory) == record.steps + 1
        assert record.trajectory == longer.trajectory[: record.steps + 1]
        final = np.array(record.trajectory[-1])
        assert record.test_metric == pytest.approx(0.5 * (final[0] ** 2 + 100 * final[1] ** 2), rel=1e-9)


def test_seeds_pair_optimizers_and_separate_trainings() -> None:
    """One seed, several optimizers: the same initial weights and the same batches."""
    first = {name: training(cell_for("mnist_cnn[data=digits]", name, 50), budget=100) for name in ("sgd", "adam")}
    assert first["sgd"].points[0] == first["adam"].points[0]
    assert first["sgd"].points[-1].valid_loss != first["adam"].points[-1].valid_loss
    other = training(cell_for("mnist_cnn[data=digits]", "sgd", 50), seed=SEED + 1, budget=100)
    assert other.points[0].valid_loss != first["sgd"].points[0].valid_loss


@pytest.mark.parametrize(
    ("problem", "name"),
    [
        (VALLEY, "lbfgs"),
        ("mnist_cnn[data=digits,dropout=0.3]", "sgd"),
        ("mnist_cnn[data=digits,dropout=0.3]", "lbfgs"),
        ("cifar_resnet[data=digits,depth=8,width=4]", "sgd"),
    ],
)
def test_the_same_seed_gives_the_same_bits(problem: str, name: str) -> None:
    cell = cell_for(problem, name, 50, evaluations=2)
    a, b = (training(cell, budget=300, test=True) for _ in range(2))
    assert a.points == b.points
    assert (a.test_loss, a.test_metric) == (b.test_loss, b.test_metric)


@pytest.mark.parametrize("lr", [0.1, 1e3, 1e200])
def test_divergence_stops_is_charged_and_is_no_number(lr: float) -> None:
    cell = cell_for(VALLEY, "sgd", 10)
    record = training(cell, lr, budget=10_000, test=True)
    assert record.status == "diverged"
    assert record.error
    assert 0 < record.cost < 10_000
    assert record.cost == 10 * record.steps
    assert math.isnan(record.test_loss)
    assert math.isnan(record.test_metric)


def test_a_high_loss_diverges_only_after_several_evaluations() -> None:
    """At 2.1/L the loss grows slowly: it is finite when the training is stopped."""
    cell = cell_for(f"{VALLEY}[noise=0.0]", "sgd", 10)
    record = training(cell, 0.021, budget=10_000)
    assert record.status == "diverged"
    high = [p.valid_loss > 10 * record.points[0].valid_loss for p in record.points]
    assert high[-3:] == [True] * 3
    assert not any(high[:-3])
    assert math.isfinite(record.points[-1].valid_loss)


def test_evaluations_lie_on_a_grid_fixed_in_cost() -> None:
    cell = cell_for(VALLEY, "adam", 10, evaluations=4)
    record = training(cell, budget=1000)
    assert [(p.index, p.step, p.cost) for p in record.points] == [(i, 25 * i, 250.0 * i) for i in range(5)]
    # A batch that does not divide the budget: the next whole step, and the end.
    record = training(cell_for(VALLEY, "adam", 300, evaluations=4), budget=1000)
    assert [(p.index, p.cost) for p in record.points] == [(0, 0.0), (1, 300.0), (2, 600.0), (4, 900.0)]


def test_evaluation_changes_nothing() -> None:
    """As many evaluations as one likes: the training goes the same way (dropout and batch norm included)."""
    for problem in ("mnist_cnn[data=digits,dropout=0.5]", "cifar_resnet[data=digits,depth=8,width=4]"):
        few, many = (cell_for(problem, "momentum", 50, evaluations=n) for n in (1, 5))
        assert training(few, budget=300).points[-1].valid_loss == training(many, budget=300).points[-1].valid_loss


def test_a_schedule_scales_the_rate_over_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def recording(self: Any, *args: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", recording)
    for warmup in ("0.1", "10"):
        rates.clear()
        cell = cell_for(VALLEY, "sgd", 10, schedules=[f"cosine[warmup={warmup}]"])
        training(cell, 0.01, budget=1000)
        progress = (np.arange(100) + 0.5) / 100
        expected = np.where(progress < 0.1, progress / 0.1, 0.5 * (1 + np.cos(np.pi * (progress - 0.1) / 0.9)))
        np.testing.assert_allclose(rates, 0.01 * expected, rtol=1e-12)


def test_an_exception_is_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_for(VALLEY, "adam", 10)
    problem, data = load(cell.problem, SOURCE, "cpu")
    calls = 0
    raised: list[Exception] = []

    def failing(self: Any, closure: Any = None) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise raised[-1]

    monkeypatch.setattr(torch.optim.Adam, "step", failing)
    for error, status in (
        (ValueError("no\nsuch luck"), "error"),
        (MemoryError(), "oom"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "oom"),
    ):
        calls = 0
        raised.append(error)
        record = train(cell, problem, data, {"lr": 0.1}, 0, 1000)
        assert record.status == status
        assert "\n" not in record.error
        assert "failing" in record.traceback
        assert record.cost == 50  # the step that failed was charged: its gradient was computed


def test_an_observer_can_stop_a_training() -> None:
    cell = cell_for(VALLEY, "sgd", evaluations=10)
    problem, data = load(cell.problem, SOURCE, "cpu")
    seen: list[int] = []

    def observe(so_far: Training) -> str:
        seen.append(so_far.points[-1].index)
        return "enough" if len(seen) == 3 else ""

    stopped = train(cell, problem, data, {"lr": 1e-3}, SEED, 1000, observer=observe)
    assert (stopped.status, stopped.error, stopped.cost) == ("skipped", "enough", 300.0)
    assert seen == [1, 2, 3]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cuda_follows_the_cpu() -> None:
    """All optimizers are tried before any of them fails the test."""
    apart = {}
    for name in BUILT_IN:
        cpu = cell_for(VALLEY, name, 10)
        cuda = replace(cpu, device="cuda")
        problem, data = load(cuda.problem, SOURCE, "cuda")
        on_cuda = train(cuda, problem, data, cuda.optimizer.defaults, SEED, 500, test=True)
        on_cpu = training(cpu, budget=500, test=True)
        if not np.allclose(on_cuda.trajectory, on_cpu.trajectory, rtol=0, atol=1e-9):
            apart[name] = (on_cuda.trajectory[-1], on_cpu.trajectory[-1])
    assert apart == {}
