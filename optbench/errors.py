"""Errors that a user can cause: one line that names the thing, what is accepted, the nearest match."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in a request. The command line prints its one line and exits with 2."""


class Inapplicable(UserError):
    """An optimizer that makes no sense for a problem, as one for sparse gradients where all are dense."""


def unknown(what: str, given: object, accepted: Iterable[object]) -> UserError:
    """The error for a name that is not among `accepted`, with the nearest match where one is near."""
    names = sorted((str(name) for name in accepted), key=_in_order)
    near = get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return UserError(f"unknown {what} {str(given)!r}{hint} (accepted: {', '.join(names) or 'none'})")


def _in_order(name: str) -> list[tuple[float, str]]:
    """Sorts texts by letters, and the numbers in them by size: 20 before 100, cuda:2 before cuda:10."""
    parts = re.split(r"(\d+)", name)
    return [(float(part), "") if part.isdecimal() else (math.inf, part) for part in parts if part]


def out_of_range(what: str, given: object, accepted: str) -> UserError:
    """The error for a value of the right name but outside of what makes sense."""
    return UserError(f"{what} = {given!r} is out of range (accepted: {accepted})")


def one_line(error: BaseException) -> str:
    """An exception as one line: its type and the first line of its message."""
    message = str(error).strip().splitlines()
    return f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
