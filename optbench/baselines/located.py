"""Finds stored results: the reference that ships with optbench, or the user's own results directories."""

from __future__ import annotations

from pathlib import Path

from optbench.errors import UserError, unknown
from optbench.results.directory import ABOUT

REFERENCE = "reference"
_PACKAGE = Path(__file__).resolve().parents[1]


def reference_folder() -> Path:
    """Returns the folder of the shipped reference: in the installed package, or in `results` of the repository."""
    within = _PACKAGE / REFERENCE
    return within if (within / ABOUT).exists() else _PACKAGE.parent / "results" / REFERENCE


def encode_location(folder: Path) -> str:
    """Returns the text by which a results directory remembers stored results: `reference`, or an absolute path.

    The reference has no path in it, so that a results directory can move between machines.
    """
    return REFERENCE if folder.resolve() == reference_folder().resolve() else str(folder.resolve())


def reject_time_metric(metric: str) -> None:
    """Raises UserError for a metric in seconds: stored results have no times of this machine."""
    if metric.startswith("seconds"):
        raise UserError(
            f"{metric} cannot be compared with stored results, which have no times of this machine (accepted: "
            "cost_to_target, which does not depend on the machine)"
        )


def decode_location(text: str) -> Path:
    """Returns the folder of stored results from the text of `encode_location`."""
    return reference_folder() if text == REFERENCE else Path(text)


def fingerprint(text: str) -> str:
    """Returns a text that changes whenever the stored results change: their files with sizes and modification times.

    Args:
        text: The location, as `encode_location` returns it.
    """
    files = sorted(
        path for path in decode_location(text).rglob("*.*") if path.suffix in (".json", ".jsonl", ".parquet")
    )
    return str([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files])


def locate(name: str, results: Path) -> Path:
    """Returns the folder of stored results: a path, a name in the folder `results`, or `reference`.

    Raises:
        UserError: There are none with this name.
    """
    for folder in (Path(name), results / name):
        if any((folder / file).exists() for file in ("format.json", ABOUT)):
            return folder
    if name == REFERENCE:
        return reference_folder()
    names = [path.parent.name for path in results.glob("*/format.json")]
    raise unknown("stored results", name, [REFERENCE, *names])
