"""Where stored results lie: the reference that comes with optbench, or a results directory of one's own."""

from __future__ import annotations

from pathlib import Path

from optbench.errors import UserError, unknown
from optbench.results.directory import ABOUT

REFERENCE = "reference"
_PACKAGE = Path(__file__).resolve().parents[1]


def reference_folder() -> Path:
    """The reference that comes with optbench: within an installed package, or in `results` of its repository."""
    within = _PACKAGE / REFERENCE
    return within if (within / ABOUT).exists() else _PACKAGE.parent / "results" / REFERENCE


def stored_as(folder: Path) -> str:
    """How a results directory remembers where stored results lie: the reference wherever optbench is, others by
    their path.
    """
    return REFERENCE if folder.resolve() == reference_folder().resolve() else str(folder.resolve())


def refuse_times(metric: str) -> None:
    """Raises UserError for a metric in seconds, which stored results have none of."""
    if metric.startswith("seconds"):
        raise UserError(
            f"{metric} can't be compared with stored results, whose times are of another machine (accepted: "
            "cost_to_target, which is the same on all)"
        )


def recorded(text: str) -> Path:
    """The folder that a results directory names as the one that it was run against."""
    return reference_folder() if text == REFERENCE else Path(text)


def state_of(text: str) -> str:
    """A text that changes with what lies in such a folder: its files by size and time of change."""
    files = sorted(path for path in recorded(text).rglob("*.*") if path.suffix in (".json", ".jsonl", ".parquet"))
    return str([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files])


def located(name: str, results: Path) -> Path:
    """The folder of the stored results NAME: a path to some, those of that name in `results`, or the reference.

    Raises UserError where there are none.
    """
    for folder in (Path(name), results / name):
        if any((folder / file).exists() for file in ("format.json", ABOUT)):
            return folder
    if name == REFERENCE:
        return reference_folder()
    there = [path.parent.name for path in results.glob("*/format.json")]
    raise unknown("stored results", name, [REFERENCE, *there])
