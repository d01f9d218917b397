"""Finds optimizers that know how long a training is, and are compared with others that do not.

They can follow a schedule that ends with the budget, which a constant learning rate cannot. A schedule whose lengths
are in steps from the start, such as a warm-up over 100 steps or a decay by the inverse square root, needs no knowledge
of the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from optbench.errors import UserError
from optbench.formatting import format_cell, in_words
from optbench.metrics.compared import select_runs
from optbench.metrics.own_schedules import own_schedules
from optbench.optimizers.schedule import parse_schedule
from optbench.results.stored import GROUP

#: The beginning of a verdict's note if only the better one of the two knows the length.
NOTE = "the known length may explain part of the difference"


class KnownLengths:
    """How the optimizers of each task know the length of a training: by own schedules, averages or arguments.

    If the matrix itself has a schedule that depends on the length, all optimizers of the task follow it, and none has
    an advantage.

    Args:
        runs: Frame of runs. Schedule and average of an optimizer are those of its compared runs.
        cells: Frame of cells. Those of older versions do not have the column `length_arguments`.
    """

    def __init__(self, runs: pd.DataFrame, cells: pd.DataFrame) -> None:
        schedules, shares = own_schedules(runs, cells), _averaged_shares(runs, cells)
        self._tasks: dict[tuple[Any, ...], dict[str, str]] = {}
        for cell in cells.to_dict("records"):
            if not _knows_length(str(cell["schedule"])):
                own, share = schedules.get(cell["cell_id"], {}), shares.get(cell["cell_id"], 0.0)
                how = _describe_knowledge(own, share, cell.get("length_arguments"))
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


def _describe_knowledge(schedule: dict[str, Any], share: float, arguments: Any) -> str:
    texts = []
    if _knows_length(schedule.get("lr_schedule", "constant")):
        texts.append(f"lr_schedule={schedule['lr_schedule']}")
    if 0 < (warmup := schedule.get("lr_warmup", 0.0)) < 1:  # from 1 on, it is a number of steps
        texts.append(f"lr_warmup={format_cell('hp_lr_warmup', warmup)}")
    if 0 < share < 1:  # an average over all steps needs no knowledge of the end
        texts.append(f"average_share={format_cell('hp_average_share', share)}")
    if isinstance(arguments, str) and arguments:
        texts.append(f"it receives {arguments}")
    return "; ".join(texts)


def _averaged_shares(runs: pd.DataFrame, cells: pd.DataFrame) -> dict[Any, float]:
    """Returns by cell id the share at the end of a compared run whose weights are averaged."""
    if "hp_average_share" not in runs:
        return {}
    compared = select_runs(runs, cells).drop_duplicates("cell_id")
    return pd.to_numeric(compared.set_index("cell_id")["hp_average_share"]).astype(float).to_dict()


def _knows_length(schedule: str) -> bool:
    try:
        return parse_schedule(schedule).knows_length
    except UserError:  # of another version
        return True
