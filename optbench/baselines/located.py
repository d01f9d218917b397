"""Finds stored results: the references that ship with optbench, or the user's own results directories."""

from __future__ import annotations

from pathlib import Path

from optbench.errors import UserError, unknown
from optbench.results.directory import ABOUT

REFERENCE, RECIPE = "reference", "recipe"
#: The folder of each shipped reference, by its name.
SHIPPED = {REFERENCE: "reference", RECIPE: "reference_recipe"}
#: The preset of each shipped reference.
PRESETS = {REFERENCE: "quick", RECIPE: "recipe"}
_PACKAGE = Path(__file__).resolve().parents[1]


def reference_folder(name: str = REFERENCE) -> Path:
    """Returns the folder of a shipped reference: in the installed package, or in `results` of the repository."""
    within = _PACKAGE / SHIPPED[name]
    return within if (within / ABOUT).exists() else _PACKAGE.parent / "results" / SHIPPED[name]


def encode_location(folder: Path) -> str:
    """Returns the text by which a results directory remembers stored results: a shipped reference's name, or a path.

    A name has no path in it, so that a results directory can move between machines.
    """
    place = folder.resolve()
    return next((name for name in SHIPPED if reference_folder(name).resolve() == place), str(place))


def reject_time_metric(metric: str) -> None:
    """Raises UserError for a metric in seconds: stored results have no times of this machine."""
    if metric.startswith("seconds"):
        raise UserError(
            f"{metric} cannot be compared with stored results, which have no times of this machine (accepted: "
            "cost_to_target, which does not depend on the machine)"
        )


def decode_location(text: str) -> Path:
    """Returns the folder of stored results from the text of `encode_location`."""
    return reference_folder(text) if text in SHIPPED else Path(text)


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
    """Returns the folder of stored results: a path, a name in the folder `results`, or a shipped reference.

    Raises:
        UserError: There are none with this name.
    """
    for folder in (Path(name), results / name):
        if any((folder / file).exists() for file in ("format.json", ABOUT)):
            return folder
    if name in SHIPPED:
        return reference_folder(name)
    names = [path.parent.name for path in results.glob("*/format.json")]
    raise unknown("stored results", name, [*SHIPPED, *names])
