"""Notices scripts that would be run again by every worker process that they start."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from pathlib import Path
from types import FrameType

from optbench.errors import UserError

#: Names in the condition of an `if` that can tell a script from its worker processes.
_TELLING = {"__name__", "parent_process", "current_process"}


def require_main_guard() -> None:
    """Check that a worker process can import the running script without running it again.

    Python's worker processes import the main script. If it starts workers at its top level, so do they.

    Raises:
        UserError: The script has no `if __name__ == "__main__":` around the call.
        SystemExit: This is such a worker process; the exception ends it with one line.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # a worker that imports the main script
        main = sys.modules.get("__mp_main__") or sys.modules["__main__"]
        raise SystemExit(f"optbench: {_message(str(getattr(main, '__file__', None) or 'the script'))}")
    file = getattr(sys.modules["__main__"], "__file__", None)
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if file is None or (spec is not None and spec.name.rpartition(".")[2] == "__main__"):
        return  # a notebook, or `python -m PACKAGE`: workers do not import these
    line = _top_level_line(file)
    if line is not None and not _is_guarded(Path(file), line):
        raise UserError(f"line {line} of {_message(file)}")


def _message(file: str) -> str:
    return (
        f"{file} starts worker processes, which import the script and would run it again (accepted: the same below "
        '`if __name__ == "__main__":`, or engine="serial")'
    )


def _top_level_line(file: str) -> int | None:
    """Return the line of the main script that is being executed; None if the script does not run at present."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        is_main = frame.f_globals.get("__name__") == "__main__" and frame.f_code.co_name == "<module>"
        if is_main and frame.f_code.co_filename == file:
            return frame.f_lineno
        frame = frame.f_back
    return None


def _is_guarded(file: Path, line: int) -> bool:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return True  # unknown: an accusation could be wrong
    around = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and node.lineno <= line <= (node.end_lineno or node.lineno)
    )
    return any(_names(node.test) & _TELLING for node in around)


def _names(test: ast.expr) -> set[str]:
    nodes = list(ast.walk(test))
    return {n.id for n in nodes if isinstance(n, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}
