"""Checks of a problem's loss and metric: the initial values, the gradients, and means over examples."""

from __future__ import annotations

import math
import random
from functools import partial

import numpy as np
import torch
from torch import Tensor

from optbench.conformance.broadcasting import explain_broadcast
from optbench.conformance.finding import failure, note, skip
from optbench.conformance.problem_subject import EXAMPLES, ProblemSubject
from optbench.conformance.subject import are_equal
from optbench.training.device_data import TRAIN_SAMPLE
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
    if subject.evaluation_draws:
        raise skip("evaluation draws random numbers (see random_numbers)")
    data = subject.data
    largest = max(len(data.valid[0]), len(data.test[0]), min(len(data.train[0]), TRAIN_SAMPLE))
    # A metric of whole splits, such as F1, need not be a mean. A loss has to be one in any case, as it is trained.
    compared = 1 if problem.evaluation_batch >= largest else 2
    with torch.no_grad():
        sizes = (len(split), 7, problem.evaluation_batch)
        results = [
            evaluate_split(problem, lambda batch: measure_batch(problem, model, batch), split, size) for size in sizes
        ]
        whole, *parts = (result[:compared] for result in results)
        if not all(torch.allclose(whole, part, rtol=1e-3, atol=1e-5, equal_nan=True) for part in parts):
            reason, fix = explain_broadcast(lambda: problem.evaluate(model, subject.batch()))
            raise failure(
                reason
                or f"loss and metric are {results[0].tolist()} in one batch, but {results[1].tolist()} in batches of 7",
                fix
                or "return means over the batch, and make examples independent of each other in evaluation mode; for a "
                "metric that is not a mean over examples (F1, AUC, R²), define predict and score instead of metric",
            )
    return "the same for all batch sizes"


def coupling(subject: ProblemSubject) -> str:
    """Checks that the loss of a batch is the mean over its parts, unless the problem couples examples."""
    problem, batch = subject.few.problem, subject.batch(EXAMPLES)
    if problem.couples_examples:
        raise skip("the problem declares that it couples examples")
    if subject.training_draws:
        raise skip("the loss is random in training mode")
    size, half = len(batch[0]), len(batch[0]) // 2
    if not half:
        raise skip("a batch has one example only")
    for model in (subject.model(), _perturbed(subject.model())):
        model.train()
        with torch.no_grad():
            whole = problem.loss(model, batch)
            parts = [
                problem.loss(model, tuple(t[part] for t in batch)) * problem.chunk_weight(n, size)
                for part, n in ((slice(half), half), (slice(half, None), size - half))
            ]
            if torch.isfinite(whole) and not torch.allclose(whole, parts[0] + parts[1], rtol=1e-3, atol=1e-5):
                reason, fix = explain_broadcast(partial(problem.loss, model, batch))
                raise failure(
                    reason
                    or f"the loss of a batch is {float(whole):.6g}, but {float(parts[0] + parts[1]):.6g} computed "
                    "from its halves",
                    fix
                    or "return the mean over examples; or set couples_examples if examples affect each other (batch "
                    "norm), or define chunk_weight if the loss is a sum",
                )
    return "the loss of a batch is the mean over its halves"


def _perturbed(model: torch.nn.Module) -> torch.nn.Module:
    """Moves all weights: at weights of zero, all predictions are equal."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            if p.is_floating_point():
                p.add_(0.5 * torch.randn(p.shape, generator=draw, dtype=p.dtype).to(p.device))
    return model
