"""What a check found: the outcome, the reason, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "failed", "note", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of one thing. `note` is no failure, but worth knowing; `skipped` says why."""

    check: str
    outcome: Outcome
    reason: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:8}{self.check:18}{self.reason}" + (f"\n{'fix: ':>31}{self.fix}" if self.fix else "")


class Verdict(Exception):
    """Raised by a check that ends otherwise than well; the suite makes a finding of it."""

    def __init__(self, outcome: Outcome, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.outcome, self.reason, self.fix = outcome, reason, fix


def failed(reason: str, fix: str) -> Verdict:
    """To raise where the thing doesn't do what a benchmark relies on."""
    return Verdict("failed", reason, fix)


def note(reason: str, fix: str = "") -> Verdict:
    """To raise for what is worth knowing, and no mistake."""
    return Verdict("note", reason, fix)


def skipped(reason: str) -> Verdict:
    """To raise where there is nothing to check."""
    return Verdict("skipped", reason)
