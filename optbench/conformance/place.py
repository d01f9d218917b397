"""Says where in a user's code an error occurred."""

from __future__ import annotations

import linecache
import traceback
from pathlib import Path

import optbench
from optbench.errors import one_line

#: Folders whose code is not the user's: optbench, and the standard library without the packages in it.
_OPTBENCH, _LIBRARY = (Path(str(module.__file__)).resolve().parent for module in (optbench, traceback))
_PACKAGES = {"site-packages", "dist-packages"}
_LONGEST = 80


def describe_error(error: BaseException) -> str:
    """Format an exception on one line: its type, its message, and the last line of the user's code that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(Path(frame.filename).resolve())]
    if not own:
        return one_line(error)
    last = own[-1]
    text = linecache.getline(last.filename, last.lineno or 0).strip()
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"{one_line(error)} (line {last.lineno} of {Path(last.filename).name}: {shown})"


def _is_own(file: Path) -> bool:
    import torch

    foreign = (_OPTBENCH, Path(torch.__file__).resolve().parent)
    if any(map(file.is_relative_to, foreign)) or not file.is_file():
        return False
    return not file.is_relative_to(_LIBRARY) or bool(_PACKAGES & set(file.parts))
