"""Finds optimizers that know how long a training is, and are compared with others that do not.

They can follow a schedule that ends with the budget, which a constant learning rate cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from optbench.formatting import format_cell, in_words
from optbench.metrics.compared import select_runs
from optbench.results.stored import GROUP

#: The beginning of a verdict's note if only the better one of the two knows the length.
NOTE = "a schedule may explain part of the difference"


class KnownLengths:
    """How the optimizers of each task know the length of a training: by a schedule of their own, or by an argument.

    If the matrix itself has a schedule, all optimizers of the task follow it, and none has an advantage.

    Args:
        runs: Frame of runs. The schedule of an optimizer is that of its compared runs.
        cells: Frame of cells. Those of older versions do not have the column `length_arguments`.
    """

    def __init__(self, runs: pd.DataFrame, cells: pd.DataFrame) -> None:
        scheduled = [name for name in ("hp_lr_schedule", "hp_lr_warmup") if name in runs]
        compared = select_runs(runs, cells).drop_duplicates("cell_id") if scheduled else runs[:0]
        own = compared.set_index("cell_id")[scheduled].to_dict("index")
        self._tasks: dict[tuple[Any, ...], dict[str, str]] = {}
        for cell in cells.to_dict("records"):
            if str(cell["schedule"]) == "constant":
                how = _describe_knowledge(own.get(cell["cell_id"], {}), cell.get("length_arguments"))
                task = tuple(cell[name] for name in GROUP)
                self._tasks.setdefault(task, {}).setdefault(str(cell["optimizer"]), how)

    def advantage(self, task: tuple[Any, ...], optimizer: str, other: str) -> str:
        """Returns how an optimizer knows the length if another one does not; empty unless only the first one does."""
        own = self._tasks.get(task, {})
        return own.get(optimizer, "") if own.get(other) == "" else ""

    def annotate(self, row: dict[str, Any], task: tuple[Any, ...], reference: str) -> str:
        """Returns the note on an advantage of the better one of a verdict's two optimizers; empty if it has none."""
        name = row["optimizer"]
        if row["verdict"] == "win" and (how := self.advantage(task, name, reference)):
            return f"{NOTE}: it knows the length of the training ({how}), and {reference} does not"
        if row["verdict"] == "loss" and (how := self.advantage(task, reference, name)):
            return f"{NOTE}: {reference} knows the length of the training ({how}), and it does not"
        return ""

    def findings(self) -> dict[tuple[Any, ...], str]:
        """Returns by cell (the values of `CELL`) what its optimizer knows and others of the task do not."""
        found = {(*task, name): self.explain([task], name, own) for task, own in self._tasks.items() for name in own}
        return {cell: f"it {reason}" for cell, reason in found.items() if reason}

    def explain(self, tasks: Iterable[tuple[Any, ...]], optimizer: str, others: Iterable[str]) -> str:
        """Returns what an optimizer knows and some others do not on some of the tasks; empty if there are none."""
        how, without, others = "", dict[str, None](), list(others)
        for task in tasks:
            for other in others:
                if own := self.advantage(task, optimizer, other):
                    how = how or own
                    without[other] = None
        verb = "does" if len(without) == 1 else "do"
        return f"knows the length of the training ({how}), and {in_words(without)} {verb} not" if without else ""


def _describe_knowledge(hyperparameters: dict[Any, Any], arguments: Any) -> str:
    schedule, warmup = (hyperparameters.get(f"hp_lr_{name}") for name in ("schedule", "warmup"))
    texts = []
    if isinstance(schedule, str) and schedule not in ("", "constant"):
        texts.append(f"lr_schedule={schedule}")
    if pd.notna(warmup) and float(warmup) > 0:
        texts.append(f"lr_warmup={format_cell('hp_lr_warmup', float(warmup))}")
    if isinstance(arguments, str) and arguments:
        texts.append(f"it receives {arguments}")
    return "; ".join(texts)
