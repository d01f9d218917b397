"""A problem as part of a cell."""

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
    """A problem: `selection` constructs it, and `identity` holds everything that determines its results.

    Attributes:
        label: Its name in tables; of a rung with a run budget of its own, the name of the rung.
        selection: The name and the parameters.
        identity: Plain JSON values.
        ladder: The name without the size, which the problems of a ladder have in common.
        size: The value of the ladder's parameter, or None.
    """

    label: str
    selection: Selection
    identity: dict[str, Any]
    ladder: str = ""
    size: float | None = None

    @cached_property
    def key(self) -> tuple[str, str]:
        """Equal for equal problems only: it also changes with the content of a file that the selection names."""
        return str(self.selection), json.dumps(self.identity, sort_keys=True)

    @property
    def version(self) -> str:
        """Distinguishes problems with the same label: the version, followed by the file hash of a user's problem."""
        return " ".join(str(self.identity[name])[:12] for name in ("version", "source") if name in self.identity)

    @property
    def own(self) -> bool:
        """Whether it does not come with optbench, which knows the speed of its own problems."""
        return "source" in self.identity

    @cached_property
    def measured(self) -> dict[str, Any]:
        """The metric's name and direction, and the target, as plain JSON values."""
        problem = self.make()
        return {
            "metric_name": problem.metric_name,
            "metric_higher_is_better": problem.metric_higher_is_better,
            "target": None if problem.target is None else float(problem.target),
        }

    def make(self) -> Problem:
        """Construct the problem; equal choices share one instance."""
        return _make_problem(self.selection, self.key[1])


@lru_cache(maxsize=256)
def _make_problem(chosen: Selection, identity: str) -> Problem:
    return make_problem(chosen.name, dict(chosen.parameters))
