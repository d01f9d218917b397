"""Warns, before a run starts, of a user's problem whose losses or metrics do not mean what they seem to."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from optbench.conformance import problem_loss, problem_random
from optbench.conformance.finding import Verdict
from optbench.conformance.problem_subject import ProblemSubject
from optbench.conformance.subject import Trainable, suppress_side_effects
from optbench.planning.matrix import Cell
from optbench.problem.data import Batch, Data, DataSource
from optbench.training.device_data import ResidentData

#: Examples per split on which a problem is checked, by the seconds that the loss of `_PROBE` examples takes.
_EXAMPLES = ((0.02, 256), (0.2, 64), (2.0, 16))
_PROBE = 16


def doubt_problem(cell: Cell, data: Data, source: DataSource) -> list[str]:
    """Returns a warning or a note for each doubt about a problem, found on a few examples.

    Args:
        cell: A cell of the problem.
        data: Its data on the CPU.
        source: Where the data were read from.

    Returns:
        The lines; none for a problem that raises errors, which its cells record.
    """
    lines = _find_infinite(data)
    try:
        with suppress_side_effects():
            lines = lines or _find_doubts(cell, data, source)
    except Exception:  # recorded by the cells of this problem
        pass
    details = f"(details: `optbench check '{cell.problem.selection}'`)"
    return [f"{kind}: {cell.problem.label}: {reason} {details}" for kind, reason in lines]


def _find_doubts(cell: Cell, data: Data, source: DataSource) -> list[tuple[str, str]]:
    examples = _count_examples(_make_subject(cell, data, source, _PROBE))
    if not examples:
        return []
    subject = _make_subject(cell, data, source, examples)
    for check in (problem_random.random_numbers, problem_loss.evaluation, problem_loss.coupling):
        try:
            check(subject)
        except Verdict as verdict:
            if verdict.outcome != "skipped":
                # Further checks would report the same mistake in other words.
                return [("warning" if verdict.outcome == "failed" else "note", verdict.reason)]
    return []


def _count_examples(subject: ProblemSubject) -> int:
    """Returns the number of examples per split that can be checked in seconds."""
    model, batch = subject.model(), subject.batch(_PROBE)
    started = time.perf_counter()
    with torch.no_grad():
        subject.few.problem.loss(model, batch)
    seconds = time.perf_counter() - started
    return next((count for limit, count in _EXAMPLES if seconds < limit), 0)


def _make_subject(cell: Cell, data: Data, source: DataSource, examples: int) -> ProblemSubject:
    problem, here = cell.problem.make(), replace(cell, device="cpu")
    few = Data(*(_spread(split, examples) for split in (data.train, data.valid, data.test)))
    subject = ProblemSubject(str(cell.problem.selection), source)
    # These need no second reading of the data.
    subject.__dict__.update(few=Trainable(here, problem, ResidentData(problem, few, "cpu")), cell=here, data=data)
    return subject


def _spread(split: Batch, examples: int) -> Batch:
    """Takes examples from the whole split, since neighbours may be alike."""
    total = len(split[0])
    count = min(total, examples)
    index = torch.arange(count) * total // count
    return tuple(tensor[index] for tensor in split)


def _find_infinite(data: Data) -> list[tuple[str, str]]:
    for name in ("train", "valid", "test"):
        for tensor in getattr(data, name):
            plain = tensor.layout == torch.strided and tensor.is_floating_point() and tensor.numel()
            if plain and any(bool(extreme.isinf()) for extreme in torch.aminmax(tensor)):
                return [("warning", f"the {name} examples contain infinite numbers")]
    return []
