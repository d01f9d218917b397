"""A problem as a cell refers to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from optbench.problem.base import Problem
from optbench.problem.registry import make_problem
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
        """What its runs are measured by, as plain JSON values."""
        problem = self.make()
        return {
            "metric_name": problem.metric_name,
            "metric_higher_is_better": problem.metric_higher_is_better,
            "target": None if problem.target is None else float(problem.target),
        }

    def make(self) -> Problem:
        return _made(self.selection, self.key[1])


@lru_cache(maxsize=256)
def _made(chosen: Selection, identity: str) -> Problem:
    return make_problem(chosen.name, dict(chosen.parameters))
