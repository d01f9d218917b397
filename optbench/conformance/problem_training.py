"""Checks of trainings on a problem: they work, are reproducible, and give the same results in other processes."""

from __future__ import annotations

import math
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import torch

from optbench.conformance.finding import failure
from optbench.conformance.place import describe_error
from optbench.conformance.problem_subject import ProblemSubject
from optbench.conformance.subject import are_equal, clone_parameters, take_steps
from optbench.machine.main_guard import require_main_guard
from optbench.planning.matrix import Cell
from optbench.problem.data import Batch
from optbench.training.evaluation import evaluate


def reproducible(subject: ProblemSubject) -> str:
    """Checks that the same seed gives exactly the same data and weights."""
    problem = subject.few.problem
    torch.rand(3)
    again = problem.load_data(subject.source)
    for name in ("train", "valid", "test"):
        if not are_equal(getattr(subject.data, name), getattr(again, name)):
            raise failure(f"load_data() returns another {name} split every time", "use fixed seeds in load_data()")
    first, second = (take_steps(subject.few.stepper(2), 3) for _ in range(2))
    if not are_equal(first, second):
        raise failure(
            "three steps with the same seed end at different weights",
            "draw random numbers only from torch's global generator, and in augment_batch() from its generator",
        )
    return "the same seed gives exactly the same data and weights"


def trains(subject: ProblemSubject) -> str:
    """Checks that a few steps of SGD work and change the parameters."""
    few = subject.few
    stepper = few.stepper(hyperparameters={"lr": 1e-3})
    before = clone_parameters(stepper)
    try:
        after = take_steps(stepper, 3)
        with stepper.evaluating():
            evaluation = evaluate(few.problem, stepper.model, few.data.valid)
    except Exception as error:
        raise failure(
            f"a step fails: {describe_error(error)}",
            "correct the line that is named, or inspect model and batch in loss()",
        ) from error
    if are_equal(before, after):
        raise failure("three steps of SGD change no parameter", "make the loss depend on parameters that are trained")
    return f"validation loss {evaluation.loss:.4g} after three steps"


def workers(subject: ProblemSubject) -> str:
    """Checks that a worker process can import the problem and computes the same loss."""
    try:
        pickled = pickle.dumps(subject.cell)
    except Exception as error:
        raise failure(
            f"can't be sent to a worker process: {describe_error(error)}",
            "use only plain values (numbers, strings, tuples) as parameters",
        ) from error
    require_main_guard()
    batch = tuple(tensor.cpu() for tensor in subject.batch())
    here = _compute_loss(pickled, batch, Path.cwd())
    try:
        there = _worker().submit(_compute_loss, pickled, batch, Path.cwd()).result(timeout=300)
    except Exception as error:
        raise failure(
            f"fails in a worker process: {describe_error(error)}",
            "make loss() and model() work without an earlier call of load_data()",
        ) from error
    if math.isnan(here) and math.isnan(there):
        return "the same loss in a worker process, which is NaN"
    if not math.isclose(here, there, rel_tol=1e-4, abs_tol=1e-7):
        raise failure(
            f"the loss is {here:g} in this process, but {there:g} in a worker process",
            "keep no state outside the problem",
        )
    return "the same loss in a worker process"


@cache
def _worker() -> ProcessPoolExecutor:
    """Returns a worker process that all checks share, since starting one takes seconds."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _compute_loss(pickled: bytes, batch: Batch, folder: Path) -> float:
    """Computes the loss of a batch at the initial weights, in this or in a worker process."""
    os.chdir(folder)  # the path of a problem's file is relative to this folder, which may not be the worker's
    cell: Cell = pickle.loads(pickled)
    problem = cell.problem.make()
    torch.manual_seed(0)
    with torch.no_grad():
        return float(problem.loss(problem.model().eval(), batch))
