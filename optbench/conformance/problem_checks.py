"""Checks of a problem: its data, its start, its loss, and whether it means the same wherever it is computed."""

from __future__ import annotations

import math
import os
import pickle
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from optbench.budget import parse_budget
from optbench.conformance.finding import failed, note, skipped
from optbench.conformance.subject import Trainable, equal, positions, taken, trainable
from optbench.construct import make_model
from optbench.errors import one_line
from optbench.evaluate import evaluate, means
from optbench.matrix import Cell
from optbench.problem import Batch, Data, DataSource

#: Examples with which a network is tried out.
EXAMPLES = 64
#: The share of validation examples that are also training examples from which on it is no accident of the data.
OVERLAP = 0.02


@dataclass
class ProblemSubject:
    """A problem that is checked on a device, by its selection."""

    text: str
    source: DataSource
    device: str = "cpu"

    @cached_property
    def few(self) -> Trainable:
        """With SGD and few of its examples."""
        return trainable(self.text, "sgd", self.device, source=self.source, examples=EXAMPLES)

    @cached_property
    def cell(self) -> Cell:
        return trainable(self.text, "sgd", self.device, source=self.source).cell

    @cached_property
    def data(self) -> Data:
        return self.few.problem.load_data(self.source)

    def model(self, seed: int = 0) -> torch.nn.Module:
        return make_model(self.few.problem, self.cell, seed)

    def batch(self, examples: int = 16) -> Batch:
        return next(self.few.data.train.chunks(min(examples, len(self.few.data.train))))


def shapes(subject: ProblemSubject) -> str:
    """The splits are tensors of equal length, alike in all but their number of examples."""
    problem, data = subject.few.problem, subject.data
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    for name, split in splits.items():
        if not isinstance(split, tuple) or not split or not all(isinstance(part, Tensor) for part in split):
            raise failed(f"split {name} is no tuple of tensors", "return Data(train, valid, test), each (x, y, …)")
        if len({len(part) for part in split}) != 1 or not len(split[0]):
            lengths = [len(part) for part in split]
            raise failed(
                f"tensors of split {name} have {lengths} examples", "give all the same first dimension, above 0"
            )
        if any(part.device.type != "cpu" for part in split):
            raise failed(f"split {name} is on {split[0].device}", "leave data on the CPU; optbench moves it")
        if any(part.is_floating_point() and not torch.isfinite(part).all() for part in split):
            raise failed(f"split {name} holds numbers that aren't finite", "clean the data in load_data()")
        if [(p.shape[1:], p.dtype) for p in split] != [(p.shape[1:], p.dtype) for p in data.train]:
            raise failed(f"split {name} has other shapes or types than train", "make all splits by the same steps")
    if len(data.train[0]) != problem.training_examples():
        raise failed(
            f"training_examples() says {problem.training_examples()}, and there are {len(data.train[0])}",
            "let training_examples() follow from the parameters as load_data() does",
        )
    return ", ".join(f"{len(split[0])} {name}" for name, split in splits.items())


def settings(subject: ProblemSubject) -> str:
    """Batch sizes and budgets fit the data, and the target is ahead of the start."""
    problem = subject.few.problem
    examples = problem.training_examples()
    large = [size for size in problem.batch_sizes if not 1 <= size <= examples]
    if large:
        raise failed(f"batch sizes {large} with {examples} training examples", "choose batch_sizes up to these")
    budget = parse_budget(problem.run_budget)
    if budget.unit != "seconds" and budget.examples(examples) < max(problem.batch_sizes):
        raise failed(f"run_budget {problem.run_budget} is less than one step", "choose a larger run_budget")
    if problem.target is None:
        raise note("no target, so there are no times to it", "say in `target` which validation metric counts as solved")
    start = _start(subject)[1]
    ahead = problem.target > start if problem.metric_higher_is_better else problem.target < start
    if not ahead:
        raise failed(
            f"the target {problem.target:g} is met at the start, where the metric is {start:.3g}",
            "check target, and metric_higher_is_better",
        )
    return f"target {problem.target:g}, from {start:.3g} at the start"


def start(subject: ProblemSubject) -> str:
    """Loss and metric are finite scalars at the initial weights, which follow from torch's generator alone."""
    problem, batch = subject.few.problem, subject.batch()
    model = subject.model()
    for name, measure in (("loss", problem.loss), ("metric", problem.metric)):
        with torch.no_grad():
            value = measure(model.eval(), batch)
        if not isinstance(value, Tensor) or value.dim():
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise failed(f"{name}(model, batch) is {shape}, no scalar tensor", "return the mean over the batch")
    loss, metric = _start(subject)
    if not (math.isfinite(loss) and math.isfinite(metric)):
        raise failed(f"at the start the loss is {loss:g} and the metric {metric:g}", "scale inputs or initial weights")
    first = list(subject.model().state_dict().values())
    np.random.random(), random.random()  # noqa: NPY002  (what a model draws from these changes)
    again, other = (list(subject.model(seed).state_dict().values()) for seed in (0, 1))
    if not equal(first, again):
        raise failed(
            "one seed gives different initial weights", "draw them from torch's global generator, in model() only"
        )
    same = "; the start is the same for all seeds" if equal(first, other) else ""
    return f"loss {loss:.3g}, {problem.metric_name} {metric:.3g}{same}"


def _start(subject: ProblemSubject) -> tuple[float, float]:
    found = evaluate(subject.few.problem, subject.model().eval(), subject.few.data.valid)
    return found.loss, found.metric


def differentiable(subject: ProblemSubject) -> str:
    """The loss has a finite gradient for every parameter that is trained."""
    problem, model = subject.few.problem, subject.model().train()
    loss = problem.loss(model, subject.batch())
    if not loss.requires_grad:
        raise failed(
            "the loss doesn't depend on the parameters", "compute it from model(x), without detach() or item()"
        )
    loss.backward()
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    unused = [name for name, gradient in trained.items() if gradient is None]
    if len(unused) == len(trained):
        raise failed("no parameter has a gradient", "compute the loss from the model's parameters")
    wild = [name for name, g in trained.items() if g is not None and not torch.isfinite(_dense(g)).all()]
    if wild:
        raise failed(f"the gradient of {', '.join(wild)} is not finite at the start", "look for 0/0, log 0, roots of 0")
    if unused:
        raise note(f"{', '.join(unused)} has no gradient", "freeze what isn't trained: requires_grad_(False)")
    return f"finite gradients of all {len(trained)} parameters"


def _dense(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def disjoint(subject: ProblemSubject) -> str:
    """No example of validation or test is a training example."""
    if subject.few.problem.kind != "network":
        raise skipped("a function is evaluated where it is minimised")
    data = subject.data
    train, valid, test = (_rows(split) for split in (data.train, data.valid, data.test))
    worst = ""
    for name, rows, others in (("validation", valid, train), ("test", test, train), ("test", test, valid)):
        whose = "training" if others is train else "validation"
        shared = sum(row in others for row in rows)
        if shared > OVERLAP * len(rows):
            raise failed(
                f"{shared} of {len(rows)} {name} examples are {whose} examples too",
                "carve validation and test from data that isn't trained on",
            )
        if shared:
            worst = f"{shared} of {len(rows)} {name} examples occur among {whose} ones: duplicates in the data"
    if worst:
        raise note(worst)
    return "train, valid and test share nothing"


def _rows(split: Batch) -> set[bytes]:
    tables = [part.reshape(len(part), -1).contiguous().numpy() for part in split]
    return {b"".join(table[i].tobytes() for table in tables) for i in range(len(tables[0]))}


def evaluation(subject: ProblemSubject) -> str:
    """Loss and metric over a split don't depend on how many examples are evaluated at once."""
    problem, model, split = subject.few.problem, subject.model().eval(), subject.few.data.valid
    with torch.no_grad():
        sizes = (len(split), 7, problem.evaluation_batch)
        found = [means(lambda batch: problem.evaluate(model, batch), split, size) for size in sizes]
    if not all(torch.allclose(found[0], other, rtol=1e-3, atol=1e-5) for other in found[1:]):
        raise failed(
            f"loss and metric are {found[0].tolist()} at once, and {found[1].tolist()} in sevens",
            "return means over the batch, and let examples not see each other in evaluation mode",
        )
    return "the same in batches of all sizes"


def coupling(subject: ProblemSubject) -> str:
    """Unless examples of a batch see each other, its loss is the mean of its parts'."""
    problem, model, batch = subject.few.problem, subject.model().train(), subject.batch()
    if problem.couples_examples:
        raise skipped("its examples see each other, as it says")
    if any(isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p for module in model.modules()):
        raise skipped("it draws random numbers while it trains")
    size, half = len(batch[0]), len(batch[0]) // 2
    if not half:
        raise skipped("one example only")
    with torch.no_grad():
        whole = problem.loss(model, batch)
        parts = [
            problem.loss(model, tuple(t[part] for t in batch)) * problem.chunk_weight(n, size)
            for part, n in ((slice(half), half), (slice(half, None), size - half))
        ]
    if not torch.allclose(whole, parts[0] + parts[1], rtol=1e-3, atol=1e-5):
        raise failed(
            f"the loss of a batch is {float(whole):.6g}, its parts give {float(parts[0] + parts[1]):.6g}",
            "return the mean over examples; or say in couples_examples that they see each other (batch norm), and in "
            "chunk_weight how parts count (a sum)",
        )
    return "the loss of a batch is that of its parts"


def reproducible(subject: ProblemSubject) -> str:
    """The same seed gives the same bits: data, batches and what is drawn while training."""
    problem = subject.few.problem
    torch.rand(3)
    again = problem.load_data(subject.source)
    for name in ("train", "valid", "test"):
        if not equal(getattr(subject.data, name), getattr(again, name)):
            raise failed(f"load_data() gives another {name} split every time", "draw with fixed seeds only")
    first, second = (taken(subject.few.stepper(2), 3) for _ in range(2))
    if not equal(first, second):
        raise failed(
            "three steps with one seed end at different weights",
            "draw from torch's global generator, in augment_batch from the one that it is given, and nothing else",
        )
    return "same seed, same bits"


def trains(subject: ProblemSubject) -> str:
    """A few steps work, and change the loss."""
    few = subject.few
    stepper = few.stepper(hyperparameters={"lr": 1e-3})
    before = positions(stepper)
    try:
        after = taken(stepper, 3)
        with stepper.evaluating():
            found = evaluate(few.problem, stepper.model, few.data.valid)
    except Exception as error:
        raise failed(f"a step fails: {one_line(error)}", "see what model, loss and batch are in loss()") from error
    if equal(before, after):
        raise failed("three steps of SGD move nothing", "let the loss depend on parameters that are trained")
    return f"validation loss {found.loss:.4g} after three steps"


def workers(subject: ProblemSubject) -> str:
    """A worker process finds the problem, and computes the same loss."""
    try:
        sent = pickle.dumps(subject.cell)
    except Exception as error:
        raise failed(f"can't be sent to a worker: {one_line(error)}", "keep parameters plain values") from error
    batch = tuple(tensor.cpu() for tensor in subject.batch())
    here = _loss_there(sent, batch, Path.cwd())
    try:
        there = _worker().submit(_loss_there, sent, batch, Path.cwd()).result(timeout=300)
    except Exception as error:
        raise failed(
            f"fails in a worker process: {one_line(error)}",
            "let loss() and model() work where load_data() never ran, and nothing depend on what was imported before",
        ) from error
    if not math.isclose(here, there, rel_tol=1e-4, abs_tol=1e-7):
        raise failed(f"the loss is {here:g} here, and {there:g} in a worker", "keep no state outside of the problem")
    return "same loss in a worker process"


@cache
def _worker() -> ProcessPoolExecutor:
    """One other process for all checks, since starting one takes seconds."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _loss_there(sent: bytes, batch: Batch, folder: Path) -> float:
    os.chdir(folder)  # the worker may have been started elsewhere, and a file is named from here
    cell: Cell = pickle.loads(sent)
    problem = cell.problem.make()
    torch.manual_seed(0)
    with torch.no_grad():
        return float(problem.loss(problem.model().eval(), batch))


CHECKS: dict[str, Callable[[ProblemSubject], str]] = {
    check.__name__: check
    for check in (
        shapes, settings, start, differentiable, disjoint, evaluation, coupling, reproducible, trains, workers,
    )
}  # fmt: skip
