"""Errors caused by user input. A message is one line: what is wrong, what is accepted, the nearest match."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in the user's input. The command line prints the message on one line and exits with status 2."""


class Inapplicable(UserError):
    """An optimizer that cannot be applied to a problem, such as SparseAdam on a problem with dense gradients."""


def unknown(what: str, given: object, accepted: Iterable[object], where: str = "") -> UserError:
    """Create the error for an unknown name.

    Args:
        what: What the name stands for, such as "optimizer".
        given: The name that the user gave.
        accepted: The valid names. The message lists them and suggests the nearest one if it is similar.
        where: The place that was searched, such as a folder.
    """
    names = sorted((str(name) for name in accepted), key=_natural_sort_key)
    by_letters = {name.casefold(): name for name in reversed(names)}  # AdamW is near adamw
    near = get_close_matches(str(given).casefold(), by_letters, n=1, cutoff=0.5)
    hint = f"; did you mean {by_letters[near[0]]!r}?" if near else ""
    place = f" in {where}" if where else ""
    return UserError(f"unknown {what} {str(given)!r}{place}{hint} (accepted: {', '.join(names) or 'none'})")


def _natural_sort_key(name: str) -> list[tuple[float, str]]:
    """Sort key that compares numbers inside strings by value: 20 before 100, cuda:2 before cuda:10."""
    parts = re.split(r"(\d+)", name)
    return [(float(part), "") if part.isdecimal() else (math.inf, part) for part in parts if part]


def out_of_range(what: str, given: object, accepted: str) -> UserError:
    """Create the error for a value outside the accepted range, or of a type that has no range, such as a string.

    Args:
        what: The name of the setting, such as "mlp[layers]".
        given: The value that the user gave.
        accepted: The accepted values in words, such as "0 to 100".
    """
    if isinstance(given, (str, bool)) or given is None:
        return invalid(what, given, accepted)
    return UserError(f"{what} = {given!r} is out of range (accepted: {accepted})")


def invalid(what: str, given: object, accepted: str) -> UserError:
    """Create the error for a value of the wrong type; see `out_of_range`."""
    return UserError(f"{what} = {given!r} is not valid (accepted: {accepted})")


def one_line(error: BaseException) -> str:
    """Format an exception on one line: its type and the first line of its message."""
    message = str(error).strip().splitlines()
    return f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
