"""Checks of what a problem says of itself: its data, and the sizes, budget and target that go with them."""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.budget import parse_budget
from optbench.conformance.finding import failed, note, skipped
from optbench.conformance.problem_subject import ProblemSubject
from optbench.problem.data import Batch

#: The share of validation examples that are also training examples from which on it is no accident of the data.
OVERLAP = 0.02


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
    fitting = [size for size in problem.batch_sizes if size <= examples]
    if not fitting:
        sizes = list(problem.batch_sizes)
        raise failed(f"batch sizes {sizes} with {examples} training examples", "choose batch_sizes up to these")
    budget = parse_budget(problem.run_budget)
    if budget.unit != "seconds" and budget.examples(examples) < max(fitting):
        raise failed(f"run_budget {problem.run_budget} is less than one step", "choose a larger run_budget")
    if problem.target is None:
        raise note("no target, so there are no times to it", "say in `target` which validation metric counts as solved")
    start = subject.at_start().metric
    ahead = problem.target > start if problem.metric_higher_is_better else problem.target < start
    if not ahead:
        raise failed(
            f"the target {problem.target:g} is met at the start, where the metric is {start:.3g}",
            "check target, and metric_higher_is_better",
        )
    if len(fitting) < len(problem.batch_sizes):
        raise note(f"of batch sizes {list(problem.batch_sizes)} those above {examples} training examples are left out")
    return f"target {problem.target:g}, from {start:.3g} at the start"


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
