"""The conformance suite: does an optimizer, or a problem, do what a benchmark relies on, and if not, why?

`check` runs it on anything that a selection names; `optimizer_test` and `problem_test` make pytest functions of it.
"""

from __future__ import annotations

from optbench.conformance.finding import Finding
from optbench.conformance.suite import check, optimizer_test, problem_test

__all__ = ["Finding", "check", "optimizer_test", "problem_test"]
