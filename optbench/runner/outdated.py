"""Names stored cells that are computed again although the configuration is the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optbench.planning.matrix import Cell
from optbench.results.directory import ResultsDirectory
from optbench.results.protocol import list_differences

#: The parts of an identity that a configuration sets; if one of them differs, it is another configuration.
_CONFIGURED = ("run_budget", "threads", "evaluations", "tuning")
_LABELS = ("problem", "optimizer", "batch_size", "device", "schedule")


def describe_outdated(directory: ResultsDirectory, missing: Sequence[Cell]) -> list[str]:
    """Returns a sentence per reason for which stored cells of the same configuration are computed again.

    The reason is their code, their data, or a change of the way in which optbench computes them.

    Args:
        directory: The results directory.
        missing: The cells that are computed.
    """
    plan = directory.plan() if missing and (directory.folder / "plan.json").exists() else None
    stored = {tuple(cell[name] for name in _LABELS): cell["cell_id"] for cell in (plan or {}).get("cells", [])}
    counts: dict[str, int] = {}
    for cell in missing:
        former = stored.get(cell.key)
        if former in (None, cell.id) or (old := directory.cell(str(former)).identity()) is None:
            continue
        if any(old.get(name) != cell.identity[name] for name in _CONFIGURED):
            continue
        reason = _describe_change(cell.identity, old)
        counts[reason] = counts.get(reason, 0) + 1
    return [
        f"stored cells that are computed again, because {reason}: {count}" for reason, count in sorted(counts.items())
    ]


def _describe_change(new: dict[str, Any], old: dict[str, Any]) -> str:
    paths = [path for path, *_ in list_differences(new, old)]
    if any("source" in path for path in paths):
        return "their code has changed"
    if any("data" in path or "files" in path for path in paths):
        return "their data have changed"
    return f"optbench computes them in another way ({paths[0]})" if paths else "their identity has changed"
