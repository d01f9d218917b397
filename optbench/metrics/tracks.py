"""What tuning more dimensions bought each optimizer: untuned, tuned in its rate alone, and tuned in its recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optbench.metrics import losses as loss_frames
from optbench.metrics.compared import directions
from optbench.metrics.hyperparameters import searched_space
from optbench.metrics.ranking import higher_is_better
from optbench.metrics.timing_error import index_by_cell, timing_errors
from optbench.metrics.verdicts import Pairs, Task, decide
from optbench.results.stored import GROUP

DEFAULT, RATE_ONLY, RECIPE = "default", "rate only", "recipe"
#: From no tuned hyperparameter to several.
TRACKS = (DEFAULT, RATE_ONLY, RECIPE)
#: The end of the name under which the untuned runs of a tuned cell are compared with its tuned ones.
_UNTUNED = " (untuned)"

_FEW_DEFAULTS = "default runs are on three seeds; a variant fixed at its defaults has all"
_DECIDED = [
    "verdict", "effect", "effect_low", "effect_high", "effect_unit", "p", "p_holm", "n_pairs", "more_seeds",
]  # fmt: skip
COLUMNS = [
    *GROUP, "base", "track", "optimizer", "dimensions", "median", "n", "n_failed", "over", "over_optimizer", *_DECIDED,
    "metric", "note",
]  # fmt: skip
_COUNTS = ["dimensions", "n", "n_failed", "n_pairs", "more_seeds"]
_TEXTS = ["over", "over_optimizer", "verdict", "effect_unit", "note"]


@dataclass(frozen=True)
class Entry:
    """The runs of a cell on a track: `optimizer` is its label, `base` the optimizer that it is a variant of."""

    base: str
    track: str
    optimizer: str
    searched: frozenset[str]
    tuned: bool

    @property
    def key(self) -> str:
        """The name of these runs in the frame of `tracked_losses`."""
        return self.optimizer if self.tuned or not self.searched else self.optimizer + _UNTUNED

    @property
    def dimensions(self) -> int:
        """How many hyperparameters were tuned."""
        return len(self.searched) if self.tuned else 0

    def untuned(self) -> Entry:
        """The runs of the same cell at its default hyperparameters."""
        return Entry(self.base, DEFAULT, self.optimizer, self.searched, False)


def tracks(
    runs: pd.DataFrame, cells: pd.DataFrame, metric: str = "test_metric", alpha: float = 0.05, seed: int = 0
) -> pd.DataFrame:
    """Returns one row per optimizer, track and cell on each task (problem, batch size, device and schedule).

    Optimizers are put together by `base`, the optimizer that a cell is a variant of. The tracks are `default` (runs at
    the default hyperparameters), `rate only` (the learning rate alone was tuned) and `recipe` (other hyperparameters
    too). `dimensions` is the number of tuned hyperparameters, `median` that of `metric` over `n` runs, each
    distinct observation once, of which `n_failed` failed and count as worst.

    - `over`, `over_optimizer`: the track and the cell that the row is compared with: the variant that tuned most of the
      same hyperparameters and no other, and if there is none, the default, of the cell itself if no other has one.
    - `effect`, `verdict` and the columns after it are those of `verdicts`, from the seeds that both were run on. Holm's
      adjustment is over all comparisons of a task. `more_seeds` is missing against the untuned runs of a tuned cell,
      whose number is fixed.

    Args:
        runs: Frame of runs (see `optbench.load`).
        cells: Frame of cells.
        metric: One of `metrics.METRICS`.
        alpha: Significance level.
        seed: Seed of the sign patterns, which are random for many pairs.

    Raises:
        UserError: The metric is unknown, or a frame lacks a column.
    """
    losses, named = tracked_losses(runs, cells, metric)
    errors = index_by_cell(timing_errors(named, metric))
    higher = {name: higher_is_better(metric, bool(flag)) for name, flag in directions(cells).items()}
    rows: list[dict[str, Any]] = []
    for group, own, copies in loss_frames.tasks(losses):
        flag = higher.get(group["problem"], False)
        task = Task(group, own, copies, errors, flag)
        rows += _rows(task, entries(runs, on_task(cells, group)), -1.0 if flag else 1.0, alpha, seed)
    table = pd.DataFrame([row | {"metric": metric} for row in rows], columns=COLUMNS)
    table[_TEXTS] = table[_TEXTS].astype(object).fillna("").astype("str")
    table = table.astype(dict.fromkeys(("median", *_DECIDED[1:4], "p", "p_holm"), "float64"))
    return table.astype(dict.fromkeys(_COUNTS, "Int64"))


def tracked_losses(runs: pd.DataFrame, cells: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the frame of `losses.seed_losses` with the untuned runs as well, and the cells under the same names.

    The optimizer of a row is the `key` of its entry.
    """
    tuned = runs["tuned"].astype(bool)
    untuned = ~tuned & runs["cell_id"].isin({*runs.loc[tuned, "cell_id"], *_searching(cells)})
    apart = {name: runs[name].astype(str) + np.where(untuned, _UNTUNED, "") for name in ("optimizer", "cell_id")}
    doubled = cells.assign(**{name: cells[name].astype(str) + _UNTUNED for name in ("optimizer", "cell_id")})
    named = pd.concat([cells, doubled], ignore_index=True)
    return loss_frames.seed_losses(runs.assign(**apart, tuned=True), named, metric), named


def entries(runs: pd.DataFrame, cells: pd.DataFrame) -> list[Entry]:
    """Returns the tuned runs of each cell of a task, and the runs of cells without anything to tune.

    The latter are on the track `default` if they have the default values: those of the optimizer that the cell is a
    variant of, or those from which the tuning of another variant started. Otherwise they are on no track, as tuned runs
    are whose search space is not recorded (by older versions).

    Args:
        runs: Frame of runs.
        cells: The cells of one task.
    """
    found: list[Entry] = []
    fixed: list[tuple[Entry, pd.Series | None]] = []
    starts: dict[str, list[pd.Series]] = {}
    tuned = set(runs.loc[runs["tuned"].astype(bool), "cell_id"])
    values = ["lr", *(name for name in runs.columns if name.startswith("hp_"))]
    untuned = runs[~runs["tuned"].astype(bool)].drop_duplicates("cell_id").set_index("cell_id")[values]
    for cell in cells.drop_duplicates("cell_id").to_dict("records"):
        label, searched = str(cell["optimizer"]), frozenset(searched_space(cell))
        known = cell.get("base")
        base = known if isinstance(known, str) and known else label.partition("[")[0]
        start = untuned.loc[cell["cell_id"]] if cell["cell_id"] in untuned.index else None
        if searched:
            track = RATE_ONLY if searched == {"lr"} else RECIPE
            found.append(Entry(base, track, label, searched, True))
            starts.setdefault(base, []).extend([] if start is None else [start])
        elif cell["cell_id"] not in tuned:
            fixed.append((Entry(base, DEFAULT, label, searched, False), start))
    return found + [
        entry
        for entry, start in fixed
        if entry.optimizer == entry.base
        or (start is not None and any(start.equals(one) for one in starts.get(entry.base, [])))
    ]


def representative(own: Iterable[Entry], track: str) -> Entry | None:
    """Returns the entry of an optimizer that represents a track, or None.

    It is the one with the most tuned hyperparameters; of several, the one that is called as the optimizer itself,
    otherwise the first in the plan. `default` is a cell without anything to tune, or the untuned runs of the
    representative of another track.

    Args:
        own: The entries of one optimizer on one task.
        track: One of `TRACKS`.
    """
    own = list(own)
    fitting = [entry for entry in own if entry.track == track]
    if track == DEFAULT and not fitting:
        tuned = representative(own, RATE_ONLY) or representative(own, RECIPE)
        return tuned.untuned() if tuned else None
    return max(fitting, key=_standing, default=None)


def on_task(cells: pd.DataFrame, group: dict[str, Any]) -> pd.DataFrame:
    """Returns the cells of a task."""
    return cells[(cells[GROUP] == pd.Series(group)[GROUP]).all(axis=1)]


def _standing(entry: Entry) -> tuple[int, bool]:
    return entry.dimensions, entry.optimizer == entry.base


def _searching(cells: pd.DataFrame) -> set[str]:
    return {str(cell["cell_id"]) for cell in cells.to_dict("records") if searched_space(cell)}


def _before(entry: Entry, own: Sequence[Entry]) -> Entry:
    """Returns what an entry is compared with (see `tracks`)."""
    narrower = [one for one in own if (one.tuned and one.searched < entry.searched) or one.track == DEFAULT]
    return max(narrower, key=_standing, default=entry.untuned())


def _rows(task: Task, found: list[Entry], sign: float, alpha: float, seed: int) -> Iterator[dict[str, Any]]:
    compared: dict[Entry, Entry] = {}
    shown: list[Entry] = []
    for base in dict.fromkeys(entry.base for entry in found):
        own = [entry for entry in found if entry.base == base]
        mine = {entry: _before(entry, own) for entry in own if entry.tuned}
        compared |= mine
        first = representative(own, DEFAULT)
        untuned = [entry for entry in (first, *mine.values()) if entry is not None and not entry.tuned]
        shown += sorted(dict.fromkeys([*untuned, *own]), key=lambda entry: entry.dimensions)
    known = [entry for entry in shown if entry.key in task.losses]
    pairs = {
        entry: Pairs(task, entry.key, compared[entry].key)
        for entry in known
        if entry in compared and compared[entry].key in task.losses
    }
    decided = dict(zip(pairs, decide([*pairs.values()], alpha, seed), strict=True))
    for entry in known:
        losses = task.observations(entry.key)
        with np.errstate(invalid="ignore"):
            median = sign * float(np.median(losses)) if len(losses) else np.nan
        row = {name: value for name, value in decided.get(entry, {}).items() if name in (*_DECIDED, "note")}
        if entry in compared and not row:
            row = {"verdict": "inconclusive", "note": "there are no runs to compare with"}
        if row.get("verdict") == "inconclusive" and entry in compared and compared[entry].key.endswith(_UNTUNED):
            # More seeds in the configuration would not add pairs.
            row |= {"more_seeds": np.nan, "note": "; ".join(filter(None, [row["note"], _FEW_DEFAULTS]))}
        yield {
            **task.group,
            "base": entry.base,
            "track": entry.track,
            "optimizer": entry.optimizer,
            "dimensions": entry.dimensions,
            "median": median if np.isfinite(median) else np.nan,
            "n": len(losses),
            "n_failed": int(np.isinf(losses).sum()),
            "over": compared[entry].track if entry in compared else "",
            "over_optimizer": compared[entry].optimizer if entry in compared else "",
            **row,
        }
