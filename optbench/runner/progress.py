"""Progress on stderr: a bar on a terminal, lines in a log, and nothing by default in Python."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

#: Minimum time between two lines in a log, in seconds.
LINE_SECONDS = 15.0


class Phase:
    """A part of a run with a total amount of work, some of which is done.

    Amounts are in planned seconds. The remaining time is estimated from the time that the completed part took.
    """

    def __init__(self, show: Callable[[float], None], message: Callable[[str], None]) -> None:
        self._show, self.message = show, message
        self._done = 0.0
        self._under_way: dict[str, float] = {}

    def advance(self, amount: float) -> None:
        """Adds an amount of completed work."""
        self._done += amount
        self._show(self._done + sum(self._under_way.values()))

    def partial(self, key: str, amount: float) -> None:
        """Sets the completed amount of an unfinished item `key`."""
        self._under_way[key] = amount
        self.advance(0.0)

    def finish(self, key: str, amount: float) -> None:
        """Replaces the partial amount of item `key` with its total amount."""
        self._under_way.pop(key, None)
        self.advance(amount)


class SilentProgress:
    """Shows nothing, for use from Python. Base class of other kinds of progress."""

    #: Whether messages are shown to a user.
    visible: ClassVar[bool] = False

    def message(self, text: str) -> None:
        """Shows a line of text."""

    @contextmanager
    def phase(self, title: str, total: float) -> Iterator[Phase]:
        """A context that shows the progress of a phase.

        Args:
            title: Name of the phase.
            total: Total amount of work, in planned seconds.
        """
        yield Phase(lambda done: None, self.message)


class LineProgress(SilentProgress):
    """Prints a line from time to time, for logs."""

    visible = True

    def message(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def phase(self, title: str, total: float) -> Iterator[Phase]:
        started = last = time.monotonic()

        def show(done: float) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= LINE_SECONDS and done > 0:
                last = now
                left = (now - started) * (total - done) / done
                self.message(f"{title}: {done / total:.0%}, about {duration(left)} left")

        yield Phase(show, self.message)
        self.message(f"{title}: done in {duration(time.monotonic() - started)}")


class BarProgress(SilentProgress):
    """Shows a progress bar with the remaining time, for terminals."""

    visible = True

    def message(self, text: str) -> None:
        from rich.console import Console

        Console(stderr=True).print(text, markup=False, highlight=False)

    @contextmanager
    def phase(self, title: str, total: float) -> Iterator[Phase]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        left = (TextColumn("left"), Remaining(elapsed_when_finished=False))
        with Progress(*columns, *left, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total)
            print_line = bar.console.print
            yield Phase(lambda done: bar.update(task, completed=done), lambda text: print_line(text, markup=False))
            bar.update(task, completed=total)


def for_stderr() -> SilentProgress:
    """Returns a progress bar if stderr is a terminal, and lines otherwise."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()


def duration(seconds: float) -> str:
    """Formats a duration in seconds: `40 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
