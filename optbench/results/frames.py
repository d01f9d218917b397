"""Flat pandas frames from the records of a results directory: one row per trial, run, cell or curve point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optbench.budget import THIRDS, UNTUNED_SEEDS
from optbench.results.directory import ResultsDirectory
from optbench.results.store import CellStore
from optbench.selection import format_value
from optbench.statistics.survival import first_crossing

COMMON = ["cell_id", "problem", "optimizer", "batch_size", "device", "schedule", "seed", "lr"]
TRIALS = [*COMMON, "status", "error", "environment", "trial", "valid_loss", "valid_metric", "cost", "seconds"]
#: Columns of the trials of repeated tunings.
STUDIES = [*TRIALS[:-5], "study", *TRIALS[-5:]]
RUNS = [
    *COMMON, "status", "error", "steps", "examples", "cost", "forwards", "backwards", "train_loss", "valid_loss",
    "valid_metric", "test_loss", "test_metric", "target_reached", "steps_to_target", "cost_to_target",
    "seconds_to_target", "train_seconds", "eval_seconds", "step_ms", "peak_memory_bytes",
    "optimizer_state_bytes", "tuned", "environment",
]  # fmt: skip
CURVES = [
    *COMMON, "status", "error", "kind", "trial", "tuned", "step", "cost", "seconds", "train_loss", "valid_loss",
    "valid_metric", "trainable_parameters",
]  # fmt: skip
TRAJECTORIES = [*COMMON, "status", "error", "tuned", "step", "x", "y"]
CELLS = [
    "cell_id", "problem", "optimizer", "batch_size", "device", "schedule", "status", "error", "lr_default",
    "lr_tuned", "others_tuned", "lr_low", "lr_high", "lr_low_searched", "lr_high_searched", "edge", "sampler", "trials",
    "tuning_budget", "tuning_cost", "run_budget", "metric_name", "metric_higher_is_better", "target", "step_ms",
    "step_ms_low", "step_ms_high", "seconds", "environment", "timed_in", "execution",
    "problem_version", "threads", "evaluations", "studies", "constructor", "length_arguments", "search", "base",
    "ladder", "size",
]  # fmt: skip

_INTEGERS = (
    "batch_size", "seed", "study", "trial", "step", "steps", "examples", "forwards", "backwards", "trials", "threads",
    "evaluations", "studies",
)  # fmt: skip


@dataclass(frozen=True)
class Frames:
    """The flat frames of a results directory. An unknown value is missing (NaN), never zero."""

    trials: pd.DataFrame
    studies: pd.DataFrame
    runs: pd.DataFrame
    curves: pd.DataFrame
    cells: pd.DataFrame
    trajectories: pd.DataFrame


def collect(directory: ResultsDirectory) -> Frames:
    """Reads the records of all planned cells as frames.

    A failed cell has a row in `runs` for each run that it lacks, with the cell's status.

    Args:
        directory: A results directory with a plan.

    Raises:
        UserError: The plan is missing or invalid.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("trials", "studies", "runs", "cells", "paths")}
    curves: list[_Curve] = []
    plan = directory.plan()
    for cell in plan["cells"]:
        reader = _CellReader(cell, directory.cell(cell["cell_id"]), plan["seeds"])
        rows["trials"].extend(reader.trials())
        rows["studies"].extend(reader.studies())
        rows["runs"].extend(reader.runs())
        rows["cells"].append(reader.cell_row())
        curves.extend(reader.curves)
        rows["paths"].extend(reader.paths)
    return Frames(
        trials=_build_frame(rows["trials"], TRIALS),
        studies=_build_frame(rows["studies"], STUDIES),
        runs=_build_frame(rows["runs"], RUNS),
        curves=_build_curves(curves),
        cells=_build_frame(rows["cells"], CELLS),
        trajectories=_build_frame(rows["paths"], TRAJECTORIES),
    )


@dataclass(frozen=True)
class _Curve:
    """The columns that are constant along a curve (`common`), and the values of its points by column."""

    common: dict[str, Any]
    points: dict[str, np.ndarray]


class _CellReader:
    def __init__(self, cell: dict[str, Any], store: CellStore, seeds: Sequence[int]) -> None:
        self.cell, self.store, self.seeds = cell, store, seeds
        self.result = store.result() or {}
        self.timing = store.timing() or {}
        self.curves: list[_Curve] = []
        self.paths: list[dict[str, Any]] = []
        self.common = {name: cell[name] for name in COMMON[:6]}

    def trials(self) -> Iterator[dict[str, Any]]:
        for record in self.store.trials():
            row = self._trial_row(record)
            common = {key: value for key, value in row.items() if key not in ("environment", *TRIALS[-4:])}
            self._add_curve(common, "trial", record["trial"], False, self.store.trial_curve(record["trial"]))
            yield row

    def studies(self) -> Iterator[dict[str, Any]]:
        for study in self.store.studies():
            for record in self.store.trials(study):
                yield self._trial_row(record) | {"study": study}

    def runs(self) -> Iterator[dict[str, Any]]:
        failed = self.result.get("status", "ok") != "ok"
        for place, seed in enumerate(self.seeds):
            for tuned in (True, False) if self.cell["tuned"] else (False,):
                record = self.store.run(seed, tuned)
                if record is not None:
                    yield self._run_row(record)
                elif failed and (tuned or not self.cell["tuned"] or place < UNTUNED_SEEDS):
                    status = {"status": self.result["status"], "error": self.result["error"]}
                    yield self.common | {"seed": seed, "tuned": tuned, "target_reached": False} | status

    def cell_row(self) -> dict[str, Any]:
        low, high = self.cell["lr_range"] or (None, None)
        low_searched, high_searched = (self.result.get("space_searched") or {}).get("lr", (None, None))
        known = {key: self.result.get(key) for key in ("error", "edge", "seconds", "environment")}
        return (
            self.common
            | known
            | {
                "status": self.result.get("status", "missing"),
                "lr_default": self.cell["defaults"].get("lr"),
                "lr_tuned": (self.result.get("best") or {}).get("lr"),
                "others_tuned": _format_others(self.result.get("best")),
                "lr_low": low,
                "lr_high": high,
                "lr_low_searched": low_searched,
                "lr_high_searched": high_searched,
                "constructor": self.cell.get("constructor", ""),  # unknown in plans of older versions
                "length_arguments": ", ".join(self.cell.get("length_arguments", [])),
                # Unknown in plans of older versions.
                "search": self.cell.get("search", ""),
                "base": self.cell.get("base", ""),
                "ladder": self.cell.get("ladder", ""),
                "size": self.cell.get("size"),
                "sampler": self.cell.get("sampler"),  # unknown in plans of older versions
                "trials": len(self.store.trials()),
                "tuning_budget": self.result.get("tuning_budget"),
                "tuning_cost": sum(record["thirds"] for record in self.store.trials()) / THIRDS,
                "run_budget": self.result.get("run_budget"),
                "studies": self.result.get("studies", 1),
                **{name: self.cell[name] for name in ("metric_name", "metric_higher_is_better", "target")},
                "timed_in": self.timing.get("environment", self.result.get("environment")) if self.timing else None,
                "step_ms": _milliseconds(self.timing.get("seconds_per_step")),
                "step_ms_low": _milliseconds(self.timing.get("seconds_per_step_low")),
                "step_ms_high": _milliseconds(self.timing.get("seconds_per_step_high")),
                # The actual or planned execution; plans of older versions have none and were eager.
                "execution": self.result.get("execution", self.cell.get("execution", "eager")),
                # Unknown in plans of older versions.
                **{name: self.cell.get(name) for name in ("problem_version", "threads", "evaluations")},
            }
        )

    def _trial_row(self, record: dict[str, Any]) -> dict[str, Any]:
        return self._row(record) | {
            "environment": record.get("environment"),
            "trial": record["trial"],
            "valid_loss": record["valid_loss"],
            "valid_metric": record["valid_metric"],
            "cost": record["thirds"] / THIRDS,
            "seconds": record["train_seconds"],
        }

    def _run_row(self, record: dict[str, Any]) -> dict[str, Any]:
        row = self._row(record) | {"tuned": record["tuned"]}
        curve = self.store.run_curve(record["seed"], record["tuned"]) or {}
        self._add_curve(row, "run", -1, record["tuned"], curve)
        cost, per_cost = record["thirds"] / THIRDS, self.timing.get("seconds_per_cost")
        reached = self._crossing(record, curve, "cost")
        same = ("steps", "forwards", "backwards", "train_loss", "valid_loss", "valid_metric", "test_loss",
                "test_metric", "train_seconds", "eval_seconds", "optimizer_state_bytes")  # fmt: skip
        return row | {name: record[name] for name in same} | {
            "examples": record["steps"] * self.cell["batch_size"],
            "cost": cost,
            "target_reached": reached is not None,
            "steps_to_target": self._crossing(record, curve, "step"),
            "cost_to_target": reached,
            "seconds_to_target": reached * per_cost if reached is not None and per_cost else None,
            "step_ms": 1e3 * per_cost * cost / record["steps"] if per_cost and record["steps"] else None,
            "peak_memory_bytes": self.timing.get("peak_memory_bytes"),
            "environment": record.get("environment"),  # unknown in records of older versions
        }  # fmt: skip

    def _crossing(self, record: dict[str, Any], curve: dict[str, Any], along: str) -> float | None:
        if record["status"] != "ok" or self.cell["target"] is None or not curve:
            return None
        return first_crossing(
            curve[along], curve["valid_metric"], self.cell["target"], self.cell["metric_higher_is_better"]
        )

    def _row(self, record: dict[str, Any]) -> dict[str, Any]:
        hyperparameters = {**self.cell["arguments"], **record["hyperparameters"]}
        others = {f"hp_{key}": value for key, value in hyperparameters.items() if key != "lr"}
        return self.common | others | {
            "seed": record["seed"],
            "lr": record["hyperparameters"].get("lr"),
            "status": record["status"],
            "error": record["error"],
        }  # fmt: skip

    def _add_curve(self, row: dict[str, Any], kind: str, trial: int, tuned: bool, curve: dict[str, Any] | None) -> None:
        if not curve:
            return
        per_cost = self.timing.get("seconds_per_cost", math.nan)
        columns = ("step", "cost", "train_loss", "valid_loss", "valid_metric")
        points = {name: np.array(curve[name], dtype=float) for name in columns}  # null becomes NaN
        # Unknown in results of older versions.
        weights = curve.get("trainable_parameters", [math.nan] * len(points["step"]))
        points["trainable_parameters"] = np.array(weights, dtype=float)
        common = row | {"kind": kind, "trial": trial, "tuned": tuned}
        self.curves.append(_Curve(common, points | {"seconds": points["cost"] * per_cost}))
        path = curve.get("trajectory")
        if path and kind == "run":
            for step, (x, y) in zip(path["step"], path["position"], strict=True):
                self.paths.append(row | {"tuned": tuned, "step": step, "x": x, "y": y})


def _format_others(best: Mapping[str, Any] | None) -> str:
    """Formats the chosen hyperparameters other than the learning rate, such as `eps=1e-08, momentum=0.9`."""
    others = {name: value for name, value in sorted((best or {}).items()) if name != "lr"}
    return ", ".join(
        f"{name}={f'{value:.4g}' if isinstance(value, float) else format_value(value)}"
        for name, value in others.items()
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds


def _build_curves(curves: list[_Curve]) -> pd.DataFrame:
    """Builds the frame column by column: a dictionary for each of millions of points would not fit into memory."""
    common = [curve.common for curve in curves]
    if not curves:
        return _build_frame([], CURVES)
    lengths = [len(curve.points["step"]) for curve in curves]
    points = {name: np.concatenate([curve.points[name] for curve in curves]) for name in curves[0].points}
    frame = pd.DataFrame(common)
    frame = frame.loc[np.repeat(frame.index, lengths)].reset_index(drop=True).assign(**points)
    return _set_dtypes(frame, common, CURVES)


def _build_frame(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Builds a frame with the documented columns and types from rows (see `_set_dtypes`)."""
    return _set_dtypes(pd.DataFrame(rows), rows, columns)


def _set_dtypes(frame: pd.DataFrame, rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Orders the columns (the documented ones, then `hp_*` after `lr`) and sets their types.

    Integers stay integers, and texts are never missing. `rows` hold the hyperparameters with their original types.
    """
    extra = sorted(name for name in frame.columns if name.startswith("hp_"))
    place = columns.index("lr") + 1 if "lr" in columns else len(columns)
    frame = frame.reindex(columns=[*columns[:place], *extra, *columns[place:]])
    for name in columns:
        if name in _INTEGERS:
            frame[name] = frame[name].astype("Int64" if frame[name].isna().any() else "int64")
        elif name in (
            "error", "edge", "sampler", "environment", "timed_in", "problem_version", "others_tuned",
            "constructor", "length_arguments", "search", "base", "ladder",
        ):  # fmt: skip
            frame[name] = frame[name].astype("object").fillna("")
        elif name in ("tuned", "target_reached", "metric_higher_is_better"):
            frame[name] = frame[name].astype("bool")
        elif name not in (*COMMON[:6], "status", "kind", "metric_name", "execution"):
            frame[name] = pd.to_numeric(frame[name])
        elif frame.empty:  # pandas would infer a numeric type
            frame[name] = frame[name].astype("object")
    for name in extra:
        # From the rows: pandas turns integers that some optimizers lack into floats.
        kinds = {type(row[name]) for row in rows if row.get(name) is not None}
        if kinds == {int}:
            frame[name] = frame[name].astype("Int64")
        elif kinds & {list, tuple, str}:
            frame[name] = frame[name].map(lambda value: value if isinstance(value, (str, float)) else str(value))
    return frame
