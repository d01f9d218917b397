"""The finding of a check: its outcome, the reason, and a fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: How the reason of a failed `without_gradient` begins if the step raised an error.
RAISES = "a parameter without a gradient makes step() fail"

Outcome = Literal["ok", "failed", "note", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of an optimizer or a problem.

    Attributes:
        check: Name of the check.
        outcome: `ok`, `failed`, `note` (not a failure, but worth knowing) or `skipped` (the check does not apply).
        reason: What was observed, or why the check was skipped.
        fix: What to change; empty if nothing has to be changed.
    """

    check: str
    outcome: Outcome
    reason: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:8}{self.check:18}{self.reason}" + (f"\n{'fix: ':>31}{self.fix}" if self.fix else "")


class Verdict(Exception):
    """Raised by a check whose outcome is not `ok`; the suite converts it into a `Finding`."""

    def __init__(self, outcome: Outcome, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.outcome, self.reason, self.fix = outcome, reason, fix


def failure(reason: str, fix: str) -> Verdict:
    """Makes the exception to raise for a mistake that would make results unreliable."""
    return Verdict("failed", reason, fix)


def note(reason: str, fix: str = "") -> Verdict:
    """Makes the exception to raise for an observation that is worth knowing but is not a mistake."""
    return Verdict("note", reason, fix)


def skip(reason: str) -> Verdict:
    """Makes the exception to raise if the check does not apply."""
    return Verdict("skipped", reason)
