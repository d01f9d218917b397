"""The conformance suite: checks optimizers and problems for anything that would make results unreliable, with fixes.

`check` runs the suite on anything that a selection names. `optimizer_test` and `problem_test` turn it into pytest
functions.
"""

from __future__ import annotations

from optbench.conformance.finding import Finding
from optbench.conformance.suite import check, optimizer_test, problem_test

__all__ = ["Finding", "check", "optimizer_test", "problem_test"]
