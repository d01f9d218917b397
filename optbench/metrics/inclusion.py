"""Which tuned optimizers contain another one as a special case, so that losing to it shows too little tuning."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pandas as pd

from optbench.formatting import format_cell, is_missing
from optbench.metrics.compared import select_runs
from optbench.metrics.hyperparameters import searched_space
from optbench.optimizers.additions import ADDITIONS
from optbench.optimizers.decay import DECAY_PER_STEP, WEIGHT_DECAY, set_weight_decay
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS
from optbench.optimizers.search_space import Choices, Range, active_hyperparameters
from optbench.optimizers.spec import SCHEDULE_HYPERPARAMETERS
from optbench.results.stored import GROUP

#: From this eps on, it outweighs the root of the second moment of gradients, whose entries are far below 1.
LARGE_EPS = 1.0
_SGD, _RMSPROP, _ADAMS = "torch.optim:SGD", "torch.optim:RMSprop", ("torch.optim:Adam", "torch.optim:AdamW")
#: Registered optimizers that are plain classes, by constructor: the defaults of these are known.
_PLAIN = {spec.constructor: spec for spec in reversed(REGISTERED_OPTIMIZERS.values()) if not spec.arguments}
#: What optbench itself applies, whatever the optimizer.
_APPLIED = {**SCHEDULE_HYPERPARAMETERS, **ADDITIONS}


@dataclass(frozen=True)
class Inclusion:
    """A tuned optimizer that contains another one as a special case, on a task.

    Attributes:
        cells: The ids of the two cells, that of the containing one first.
        names: The names of the two optimizers, in the same order.
        where: The hyperparameters with which the first one is the second one, in words.
    """

    cells: tuple[str, str]
    names: tuple[str, str]
    where: str


def inclusions(runs: pd.DataFrame, cells: pd.DataFrame) -> Iterator[Inclusion]:
    """Yields the tuned optimizers that contain another one of the task, as that one was tuned.

    An optimizer contains another one if the point that the other one has chosen, translated into its own
    hyperparameters, lies in the space that it has searched, with all fixed hyperparameters equal. So a momentum fixed
    at 0.9 does not contain SGD. The translations are those of `_translate`.

    Args:
        runs: Frame of runs.
        cells: Frame of cells. Nothing is known of those of older versions, without the column `constructor`.
    """
    if "constructor" not in cells:
        return
    # An error is no matter of tuning, and rows of runs that were not made lack hyperparameters.
    trained = select_runs(runs, cells).query("status in ('ok', 'diverged', 'skipped')")
    first = {row["cell_id"]: row for row in trained.drop_duplicates("cell_id").to_dict("records")}
    for _, group in cells.drop_duplicates("cell_id").groupby(GROUP, observed=True, sort=False):
        methods = [
            _Method(cell, first[cell["cell_id"]])
            for cell in group.to_dict("records")
            if cell["cell_id"] in first and not is_missing(cell["constructor"]) and cell["constructor"]
        ]
        for method, other in permutations(methods, 2):
            if where := next((where for point, where in _translate(other, method) if method.reaches(point)), ""):
                ids = (str(method.cell["cell_id"]), str(other.cell["cell_id"]))
                yield Inclusion(ids, (str(method.cell["optimizer"]), str(other.cell["optimizer"])), where)


class _Method:
    """An optimizer of a task: the space that it has searched, and the point that it has chosen.

    Args:
        cell: Its row in the frame of cells.
        run: One of its compared runs.
    """

    def __init__(self, cell: Mapping[Any, Any], run: Mapping[Any, Any]) -> None:
        self.cell, self.constructor = cell, str(cell["constructor"])
        self.space = searched_space(cell) if cell["trials"] else {}
        plain = _PLAIN.get(self.constructor)
        given = {str(name)[3:]: value for name, value in run.items() if str(name).startswith("hp_")} | {"lr": run["lr"]}
        values = {name: _read(value) for name, value in given.items() if not is_missing(value)}
        if WEIGHT_DECAY not in values and not is_missing(run["lr"]):
            values = set_weight_decay(values, float(run["lr"]))
        #: The defaults of all hyperparameters that are known, and the values of the runs.
        self.defaults = {**_APPLIED, **(_split(plain.known) if plain else {})}
        self.defaults.pop(DECAY_PER_STEP, None)
        self.point = {**self.defaults, **_split(values)}

    def reaches(self, point: Mapping[str, Any]) -> bool:
        """Whether its tuning could have chosen a point; False where a value is not known."""
        if not self.space:
            return False
        if DECAY_PER_STEP in self.space:
            point = {**point, DECAY_PER_STEP: point["lr"] * point.get(WEIGHT_DECAY, 0.0)}
        active = active_hyperparameters(self.space, point)
        if not all(name in point and _holds(self.space[name], point[name]) for name in active):
            return False
        own = {name: value for name, value in self.point.items() if name not in self.space}
        # A hyperparameter whose condition is not met has its default.
        own |= {name: self.defaults[name] for name in self.space.keys() - active if name in self.defaults}
        if point.get("lr_schedule") == "constant":
            point = {name: value for name, value in point.items() if name not in ("lr_cooldown", "lr_final")}
            own = {name: value for name, value in own.items() if name not in ("lr_cooldown", "lr_final")}
        if DECAY_PER_STEP in self.space:
            own.pop(WEIGHT_DECAY, None)
            point = {name: value for name, value in point.items() if name != WEIGHT_DECAY}
        others = {name: value for name, value in point.items() if name not in active}
        return own.keys() == others.keys() and all(_are_equal(own[name], others[name]) for name in own)


def _translate(other: _Method, method: _Method) -> Iterator[tuple[dict[str, Any], str]]:
    """Yields points at which one method is another one at its chosen point, each with its description.

    Of the relations in section 3.2 of Choi et al. (2019), these hold for the classes of `torch.optim` with a fixed
    learning rate. NAdam has a schedule of its momentum, and Adam with beta1 = 0 a correction of its bias that RMSprop
    lacks, so they contain neither Nesterov's method nor RMSprop.
    """
    theirs = other.point
    same_length = method.cell.get("length_arguments", "") == other.cell.get("length_arguments", "")
    decays = bool(theirs.get("weight_decay"))
    if same_length and method.constructor == other.constructor:
        yield theirs, _describe(method, theirs)
    elif not decays and {method.constructor, other.constructor} <= {*_ADAMS}:
        yield theirs, _describe(method, theirs)  # these two differ in how they decay weights
    elif not decays and other.constructor == _SGD and theirs["momentum"] < 1 and not theirs["dampening"]:
        if theirs["nesterov"] and theirs["momentum"]:
            return
        shared = {**method.point, **{name: theirs[name] for name in (*_APPLIED, "weight_decay")}}
        momentum, rate = theirs["momentum"], theirs["lr"]
        if method.constructor in _ADAMS:
            # The average of gradients is (1 − beta1) times their sum, once its bias has gone after some steps.
            rate /= 1 - momentum
            for eps in _large_eps(method, rate):
                yield {**shared, "lr": rate * eps, "eps": eps, "beta1": momentum}, f"large eps, beta1 = {momentum:g}"
        elif method.constructor == _RMSPROP:
            for eps in _large_eps(method, rate):
                point = {**shared, "lr": rate * eps, "eps": eps, "momentum": momentum}
                yield point, f"large eps, momentum = {momentum:g}"


def _large_eps(method: _Method, rate: float) -> Iterator[float]:
    """Yields a large eps of the method, searched or fixed, for which its rates contain `rate` times eps."""
    eps, rates = method.space.get("eps", method.point.get("eps")), method.space.get("lr")
    if isinstance(eps, Range) and isinstance(rates, Range):
        low, high = max(LARGE_EPS, eps.low, rates.low / rate), min(eps.high, rates.high / rate)
        if low <= high:
            yield math.sqrt(low * high)
    elif isinstance(eps, (int, float)) and eps >= LARGE_EPS:
        yield float(eps)


def _describe(method: _Method, point: Mapping[str, Any]) -> str:
    values = {name: point[name] for name in sorted(method.space) if name != "lr" and name in point}
    texts = [f"{name} = {format_cell(f'hp_{name}', value)}" for name, value in values.items()]
    return ", ".join(texts) or "the same hyperparameters"


def _read(value: Any) -> Any:
    """Returns a value of a frame as it was before: tuples are texts there."""
    if isinstance(value, str) and value[:1] in ("(", "["):
        return tuple(ast.literal_eval(value))
    return value


def _split(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values with the entries of betas in the place of the tuple, as they can be searched."""
    split: dict[str, Any] = {}
    for name, value in values.items():
        if name.rpartition(".")[2] == "betas" and isinstance(value, tuple):
            split |= {f"{name[:-1]}{place}": entry for place, entry in enumerate(value, 1)}
    return split | {name: value for name, value in values.items() if name.rpartition(".")[2] != "betas"}


def _holds(tried: Range | Choices, value: Any) -> bool:
    if isinstance(tried, Choices):
        return any(_are_equal(one, value) for one in tried.values)
    return isinstance(value, (int, float)) and tried.contains(value)


def _are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)
