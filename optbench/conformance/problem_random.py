"""The check of a problem's random numbers: evaluation draws none, and each seed has a start and masks of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from optbench.conformance.finding import failure, note
from optbench.conformance.problem_subject import ProblemSubject
from optbench.conformance.subject import are_equal


def random_numbers(subject: ProblemSubject) -> str:
    """Checks that evaluation draws no random numbers, and that the problem seeds no generator itself."""
    with _kept_generators():
        if values := subject.evaluation_draws:
            raise failure(
                f"evaluation draws random numbers or depends on earlier calls: two losses of the same weights and "
                f"examples are {values[0]:.6g} and {values[1]:.6g}",
                "draw random numbers in training mode only (if model.training), or from a generator with a fixed seed",
            )
        notes = [*_same_start(subject), *_same_masks(subject)]
    if notes:
        raise note(
            "; ".join(notes) + ": intervals over seeds are too narrow",
            "do not seed global generators; draw from torch's global generator",
        )
    return "evaluation draws none; each seed has its own initial weights"


def _same_start(subject: ProblemSubject) -> list[str]:
    """Says whether all seeds start at the same random weights; constant weights (zeros, ones) are a choice."""
    problem = subject.few.problem
    if problem.kind != "network":
        return []
    starts: list[list[Tensor]] = []
    for seed in (0, 1):
        _seed_all(seed)
        starts.append([p.detach() for p in problem.model().parameters()])
    first, second = starts
    drawn = any(p.numel() > 1 and bool((p != p.flatten()[0]).any()) for p in first)
    if not drawn or not are_equal(first, second):
        return []
    seeded = _seeded_generators(lambda: problem.model())
    cause = f" (model() seeds {', '.join(seeded)})" if seeded else ""
    return [f"the initial weights are the same for all seeds{cause}"]


def _same_masks(subject: ProblemSubject) -> list[str]:
    problem, batch = subject.few.problem, subject.batch()
    model = subject.model().train()
    with torch.no_grad():
        seeded = _seeded_generators(lambda: problem.loss(model, batch))
    return [f"loss() seeds {', '.join(seeded)}, so that all steps draw the same numbers"] if seeded else []


def _seeded_generators(action: Callable[[], object]) -> list[str]:
    """Returns the global generators whose state after an action does not depend on their state before it."""
    states: list[list[bytes]] = []
    for seed in (0, 1):
        _seed_all(seed)
        action()
        states.append([
            torch.get_rng_state().numpy().tobytes(),
            np.random.get_state()[1].tobytes(),  # type: ignore[index]  # noqa: NPY002
            repr(random.getstate()).encode(),
        ])  # fmt: skip
    names = ("torch's generator", "NumPy's generator", "the generator of `random`")
    return [name for name, one, other in zip(names, *states, strict=True) if one == other]


def _seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (the check is about the global generators)
    random.seed(seed)


@contextmanager
def _kept_generators() -> Iterator[None]:
    """A context that restores the global generators at its end."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
