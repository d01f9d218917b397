"""Checks of a problem's declaration: its data, batch sizes, run budget and target."""

from __future__ import annotations

import torch

from optbench.budget import parse_budget
from optbench.conformance.finding import failure, note, skip
from optbench.conformance.problem_subject import ProblemSubject
from optbench.problem.data import Batch

#: Fraction of shared examples between two splits above which they are a mistake rather than duplicates in the data.
OVERLAP = 0.02


def shapes(subject: ProblemSubject) -> str:
    """Checks that all splits are finite, on the CPU, and have the same shapes and types."""
    problem, data = subject.few.problem, subject.data
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    for name, split in splits.items():
        if any(part.device.type != "cpu" for part in split):
            raise failure(f"split {name} is on {split[0].device}", "return data on the CPU; optbench moves it")
        if any(part.is_floating_point() and not torch.isfinite(part).all() for part in split):
            raise failure(f"split {name} contains numbers that are not finite", "clean the data in load_data()")
        if [(p.shape[1:], p.dtype) for p in split] != [(p.shape[1:], p.dtype) for p in data.train]:
            raise failure(
                f"split {name} has other shapes or types than split train", "prepare all splits in the same way"
            )
    if len(data.train[0]) != problem.training_examples():
        raise failure(
            f"training_examples() returns {problem.training_examples()}, but load_data() gives {len(data.train[0])}",
            "compute training_examples() from the same parameters as load_data()",
        )
    return ", ".join(f"{len(split[0])} {name}" for name, split in splits.items())


def settings(subject: ProblemSubject) -> str:
    """Checks that batch sizes and run budget suit the data, and that the target is better than the start."""
    problem = subject.few.problem
    examples = problem.training_examples()
    fitting = [size for size in problem.batch_sizes if size <= examples]
    if not fitting:
        sizes = list(problem.batch_sizes)
        raise failure(
            f"all batch sizes {sizes} exceed the {examples} training examples", f"choose batch_sizes up to {examples}"
        )
    budget = parse_budget(problem.run_budget)
    if budget.unit != "seconds" and budget.examples(examples) < max(fitting):
        raise failure(
            f"run_budget {problem.run_budget} is smaller than one step at batch size {max(fitting)}",
            "choose a larger run_budget",
        )
    if problem.target is None:
        raise note(
            "no target, so times to the target are not reported",
            "set `target` to the validation metric that counts as solved",
        )
    start = subject.at_start().metric
    ahead = problem.target > start if problem.metric_higher_is_better else problem.target < start
    if not ahead:
        raise failure(
            f"the target {problem.target:g} is already reached at the start, where the metric is {start:.3g}",
            "check target and metric_higher_is_better",
        )
    if len(fitting) < len(problem.batch_sizes):
        raise note(
            f"batch sizes {list(problem.batch_sizes)}: those above the {examples} training examples are not used"
        )
    return f"target {problem.target:g}, {start:.3g} at the start"


def disjoint(subject: ProblemSubject) -> str:
    """Checks that training, validation and test split have no example in common."""
    if subject.few.problem.kind != "network":
        raise skip("a function has no separate evaluation data")
    data = subject.data
    train, valid, test = (_rows(split) for split in (data.train, data.valid, data.test))
    worst = ""
    for name, rows, others in (("validation", valid, train), ("test", test, train), ("test", test, valid)):
        whose = "training" if others is train else "validation"
        shared = sum(row in others for row in rows)
        if shared > OVERLAP * len(rows):
            raise failure(
                f"{shared} of {len(rows)} {name} examples are also {whose} examples",
                "take validation and test examples from data that is not used for training",
            )
        if shared:
            worst = f"{shared} of {len(rows)} {name} examples are also {whose} examples: duplicates in the data"
    if worst:
        raise note(worst)
    return "no example occurs in two splits"


def _rows(split: Batch) -> set[bytes]:
    tables = [part.reshape(len(part), -1).contiguous().numpy() for part in split]
    return {b"".join(table[i].tobytes() for table in tables) for i in range(len(tables[0]))}
