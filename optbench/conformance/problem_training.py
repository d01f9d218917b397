"""Checks of trainings on a problem: they work, and mean the same again and in other processes."""

from __future__ import annotations

import math
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import torch

from optbench.conformance.finding import failed
from optbench.conformance.problem_subject import ProblemSubject
from optbench.conformance.subject import equal, positions, taken
from optbench.errors import one_line
from optbench.planning.matrix import Cell
from optbench.problem.data import Batch
from optbench.training.evaluation import evaluate


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
