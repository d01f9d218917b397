"""Checks of what a problem minimises: its start, its gradients, and that loss and metric are means over examples."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch import Tensor

from optbench.conformance.finding import failed, note, skipped
from optbench.conformance.problem_subject import ProblemSubject
from optbench.conformance.subject import equal
from optbench.training.evaluation import means


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
    found = subject.at_start()
    loss, metric = found.loss, found.metric
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
