"""Checks of a problem's loss and metric: the initial values, the gradients, and means over examples."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch import Tensor

from optbench.conformance.finding import failure, note, skip
from optbench.conformance.problem_subject import ProblemSubject
from optbench.conformance.subject import are_equal
from optbench.training.evaluation import evaluate_split, measure_batch


def start(subject: ProblemSubject) -> str:
    """Checks that loss and metric are finite scalars at the start, and initial weights depend on torch's seed only."""
    problem, batch = subject.few.problem, subject.batch()
    model = subject.model()
    for name, measure in (("loss", problem.loss), ("metric", problem.metric)):
        with torch.no_grad():
            value = measure(model.eval(), batch)
        if not isinstance(value, Tensor) or value.dim():
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise failure(
                f"{name}(model, batch) returns {shape} instead of a scalar tensor", "return the mean over the batch"
            )
    initial = subject.at_start()
    loss, metric = initial.loss, initial.metric
    if not (math.isfinite(loss) and math.isfinite(metric)):
        raise failure(
            f"the loss is {loss:g} and the metric {metric:g} at the start", "scale the inputs or the initial weights"
        )
    first = list(subject.model().state_dict().values())
    np.random.random(), random.random()  # noqa: NPY002  (a model that draws from these gets other weights)
    again, other = (list(subject.model(seed).state_dict().values()) for seed in (0, 1))
    if not are_equal(first, again):
        raise failure(
            "the same seed gives different initial weights",
            "draw them from torch's global generator, and only in model()",
        )
    same = "; the initial weights are the same for all seeds" if are_equal(first, other) else ""
    return f"loss {loss:.3g}, {problem.metric_name} {metric:.3g}{same}"


def differentiable(subject: ProblemSubject) -> str:
    """Checks that the loss has a finite gradient for every trained parameter."""
    problem, model = subject.few.problem, subject.model().train()
    loss = problem.loss(model, subject.batch())
    if not loss.requires_grad:
        raise failure(
            "the loss does not depend on the parameters", "compute it from model(x), without detach() or item()"
        )
    loss.backward()
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    unused = [name for name, gradient in trained.items() if gradient is None]
    if len(unused) == len(trained):
        raise failure("no parameter has a gradient", "compute the loss from the model's parameters")
    wild = [name for name, g in trained.items() if g is not None and not torch.isfinite(_values(g)).all()]
    if wild:
        raise failure(
            f"gradients that are not finite at the start: {', '.join(wild)}", "look for 0/0, log(0) and sqrt(0)"
        )
    if unused:
        raise note(
            f"parameters without a gradient: {', '.join(unused)}",
            "freeze parameters that are not trained: requires_grad_(False)",
        )
    return f"finite gradients of all {len(trained)} parameters"


def _values(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def evaluation(subject: ProblemSubject) -> str:
    """Checks that loss and metric over a split do not depend on the batch size of the evaluation."""
    problem, model, split = subject.few.problem, subject.model().eval(), subject.few.data.valid
    with torch.no_grad():
        sizes = (len(split), 7, problem.evaluation_batch)
        results = [
            evaluate_split(problem, lambda batch: measure_batch(problem, model, batch), split, size) for size in sizes
        ]
    if not all(torch.allclose(results[0], other, rtol=1e-3, atol=1e-5) for other in results[1:]):
        raise failure(
            f"loss and metric are {results[0].tolist()} in one batch, but {results[1].tolist()} in batches of 7",
            "return means over the batch, and make examples independent of each other in evaluation mode; for a metric "
            "that is not a mean over examples (F1, AUC, R²), define predict and score instead of metric",
        )
    return "the same for all batch sizes"


def coupling(subject: ProblemSubject) -> str:
    """Checks that the loss of a batch is the mean over its parts, unless the problem couples examples."""
    problem, model, batch = subject.few.problem, subject.model().train(), subject.batch()
    if problem.couples_examples:
        raise skip("the problem declares that it couples examples")
    if any(isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p for module in model.modules()):
        raise skip("the loss is random in training mode (dropout)")
    size, half = len(batch[0]), len(batch[0]) // 2
    if not half:
        raise skip("a batch has one example only")
    with torch.no_grad():
        whole = problem.loss(model, batch)
        parts = [
            problem.loss(model, tuple(t[part] for t in batch)) * problem.chunk_weight(n, size)
            for part, n in ((slice(half), half), (slice(half, None), size - half))
        ]
    if not torch.allclose(whole, parts[0] + parts[1], rtol=1e-3, atol=1e-5):
        raise failure(
            f"the loss of a batch is {float(whole):.6g}, but {float(parts[0] + parts[1]):.6g} computed from its halves",
            "return the mean over examples; or set couples_examples if examples affect each other (batch norm), or "
            "define chunk_weight if the loss is a sum",
        )
    return "the loss of a batch is the mean over its halves"
