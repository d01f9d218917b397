"""The machines that timed the cells of some results: seconds of different machines are never compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

#: Columns that depend on the speed of the machine, so that their values differ from run to run.
TIMING_COLUMNS = (
    "seconds", "seconds_to_target", "train_seconds", "eval_seconds", "step_ms", "step_ms_low", "step_ms_high",
)  # fmt: skip


def describe_machine(environment: Mapping[str, Any], key: str) -> str:
    """Describes an environment in one line: processor, cores, accelerators and torch version."""
    if not environment:
        return f"unknown environment {key}"
    parts = [environment.get("processor"), f"{environment.get('cores')} cores"]
    parts += [str(name) for name in (environment.get("accelerators") or {}).values()]
    parts.append(f"torch {(environment.get('packages') or {}).get('torch')}")
    return ", ".join(str(part) for part in parts)


def list_machines(environments: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Describes the different machines among some environments.

    An environment lists only the accelerators that its run used, so those of one machine may list different ones.

    Args:
        environments: The environments with their keys; unknown ones are empty.
    """
    machines: list[tuple[str, dict[str, Any]]] = []
    for key, environment in environments:
        used = dict(environment.get("accelerators") or {})
        one = {**environment, "accelerators": used} if environment else {}
        bare = describe_machine({**one, "accelerators": {}} if one else {}, key)
        for other, known in machines:
            if other == bare and all(
                known.get("accelerators", {}).get(name, model) == model for name, model in used.items()
            ):
                known.get("accelerators", {}).update(used)
                break
        else:
            machines.append((bare, one))
    return [describe_machine(one, "") if one else bare for bare, one in machines]


def timing_environments(cells: pd.DataFrame, environments: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Returns the environments on which the times of some cells rest, with their keys.

    They are those in which the cells were timed, and those in which they were computed: the times of one machine do not
    describe what another one computed.

    Args:
        cells: Frame of cells; older ones lack `timed_in`.
        environments: The environments by key.
    """
    columns = [cells[name].dropna() for name in ("environment", "timed_in") if name in cells]
    keys = dict.fromkeys(str(key) for column in columns for key in column.unique() if key)
    return [(key, environments.get(key) or {}) for key in keys]


def explain_dropped_times(machines: Sequence[str]) -> str:
    """Returns the note for readers of results whose times are left out."""
    return f"timings are left out because they come from different machines: {'; '.join(machines)}"


def check_seconds(
    metric: str, machines: Sequence[str], accepted: str = "cost_to_target, which is the same on all"
) -> None:
    """Raises UserError if `metric` is in seconds and the results were timed on different machines.

    Args:
        metric: The name of a metric, or of a limit such as `seconds`.
        machines: The machines that timed the results.
        accepted: What to use instead.
    """
    if metric.startswith("seconds") and len(machines) > 1:
        raise UserError(
            f"{metric} cannot be compared between different machines: {'; '.join(machines)} (accepted: {accepted})"
        )


def drop_timings(frame: pd.DataFrame, cells: pd.Series | None = None) -> pd.DataFrame:
    """Returns a frame whose timings are missing, in all rows or in those of the given cells."""
    timings = [name for name in TIMING_COLUMNS if name in frame]
    if cells is None:
        return frame.assign(**dict.fromkeys(timings, float("nan")))
    return frame.assign(**{name: frame[name].mask(frame["cell_id"].isin(cells)) for name in timings})
