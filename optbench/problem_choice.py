"""A problem as a cell refers to it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from optbench.errors import UserError, one_line
from optbench.problem import Problem
from optbench.registry import make_problem
from optbench.selection import Selection


@dataclass(frozen=True)
class ProblemChoice:
    """A problem; `selection` makes it, `identity` says what it is."""

    label: str
    selection: Selection
    identity: dict[str, Any]

    @cached_property
    def key(self) -> tuple[str, str]:
        """Equal for equal problems, also where a file that the selection names has changed in between."""
        return str(self.selection), json.dumps(self.identity, sort_keys=True)

    @property
    def version(self) -> str:
        """What tells two problems of one label apart: its version, and of a user's own the digest of its file."""
        return " ".join(str(self.identity[name])[:12] for name in ("version", "source") if name in self.identity)

    @cached_property
    def measured(self) -> dict[str, Any]:
        """What its runs are measured by, as plain JSON values; raises UserError where a problem says it wrongly."""
        problem = self.make()
        name, higher = problem.metric_name, problem.metric_higher_is_better
        if not isinstance(name, str):
            raise self._wrong("metric_name", name, "a text")
        if not isinstance(higher, bool):
            raise self._wrong("metric_higher_is_better", higher, "True or False")
        try:
            target = problem.target
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"problem {self.label} fails to say its target: {one_line(error)}") from None
        if target is not None:
            if isinstance(target, bool) or not isinstance(target, int | float) or not math.isfinite(target):
                raise self._wrong("target", target, "a finite number, or None")
            target = float(target)
        return {"metric_name": name, "metric_higher_is_better": higher, "target": target}

    def make(self) -> Problem:
        return _made(self.selection, self.key[1])

    def _wrong(self, what: str, value: object, accepted: str) -> UserError:
        return UserError(f"problem {self.label} has {what} = {value!r} (accepted: {accepted})")


@lru_cache(maxsize=256)
def _made(chosen: Selection, identity: str) -> Problem:
    return make_problem(chosen.name, dict(chosen.parameters))
