"""`optbench compare`: who is better than whom, in one results directory or in several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from optbench.baselines.against import results_of
from optbench.errors import UserError
from optbench.formatting import significant, terminal
from optbench.metrics import losses
from optbench.metrics.definitions import index
from optbench.metrics.tables import all_tables
from optbench.metrics.verdicts import verdicts
from optbench.results.atomic import write_bytes
from optbench.results.directory import ResultsDirectory
from optbench.results.join import Joined, join
from optbench.results.stored import GROUP


@dataclass(frozen=True)
class Comparison:
    """Joined results, and all tables that are made of them, `leaderboard` and `verdicts` among them."""

    results: Joined
    tables: dict[str, pd.DataFrame]

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row for each optimizer but the reference in each group (see `metrics.verdicts`)."""
        return self.tables["verdicts"]

    @property
    def leaderboard(self) -> pd.DataFrame:
        """One row a cell, ranked within its group."""
        return self.tables["leaderboard"]

    @property
    def notes(self) -> list[str]:
        """What was left out of the comparison, and why."""
        return self.results.notes

    def __str__(self) -> str:
        return _text(self)


def compare_folders(
    folders: Sequence[Path], reference: str | None = None, metric: str = "test_metric", output: Path | None = None
) -> Comparison:
    """Compares results directories by `metric` (one of `metrics.METRICS`), every optimizer against `reference`.

    One alone is compared within itself and, like its page, with the stored results that it was run against.
    With `output`, tables and plots are written below it. Raises UserError for a reference that isn't
    there, for directories that can't be joined (see `results.join.join`), and for times of unlike machines.
    """
    losses.known(metric)
    joined = _joined(folders, metric)
    if metric.startswith("seconds") and len(joined.machines) > 1:
        raise UserError(
            f"{metric} can't be compared between unlike machines: {'; '.join(joined.machines)} (accepted: "
            "cost_to_target, which is the same on all)"
        )
    judged = verdicts(joined.runs, joined.cells, reference, metric)
    comparison = Comparison(joined, all_tables(joined, metric) | {"verdicts": judged})
    if output is not None:
        _write(comparison, output)
    return comparison


def _joined(folders: Sequence[Path], metric: str) -> Joined:
    if len(folders) == 1:
        directory = ResultsDirectory(folders[0])
        if directory.against() is not None and isinstance(compared := results_of(directory, metric), Joined):
            return compared
    return join(folders)


def _write(comparison: Comparison, output: Path) -> None:
    from optbench.metrics.registry import TABLES
    from optbench.plots import draw_all
    from optbench.reporting.files import write_tables
    from optbench.reporting.outputs import PAPER_TABLES

    papers = PAPER_TABLES | {name for name, table in TABLES.items() if table.paper}
    write_bytes(output / "tables" / "README.md", index(comparison.tables, output / "tables", comparison.notes).encode())
    write_tables(comparison.tables, output / "tables", papers)
    draw_all(comparison.results, comparison.tables, output / "plots")


def _text(comparison: Comparison) -> str:
    """What the command line prints: each group with its verdicts, then what was left out."""
    blocks = verdict_blocks(comparison.verdicts)
    if not blocks:
        blocks = ["no two optimizers have run on one problem, batch size, device and schedule: nothing to compare"]
    if comparison.notes:
        blocks.append("\n".join(f"note: {note}" for note in comparison.notes))
    return "\n\n".join(blocks)


def verdict_blocks(table: pd.DataFrame) -> list[str]:
    """Verdicts as people read them, a text for each group; `table` is that of `metrics.verdicts`, or rows of it."""
    blocks = []
    for key, part in table.groupby(GROUP, observed=True, sort=True):
        problem, batch_size, device, schedule = key
        against = f"against {part['reference'].iloc[0]} by {part['metric'].iloc[0]}"
        heading = f"{problem}, batch {batch_size}, {device}, {schedule}: {against}"
        noted = part[part["note"] != ""].groupby("note")["optimizer"]
        reasons = [
            f"  {note}" + ("" if len(names) == len(part) else f" ({', '.join(map(str, names))})")
            for note, names in noted
        ]
        blocks.append("\n".join([heading, terminal(_short(part)), *reasons]))
    return blocks


def _short(part: pd.DataFrame) -> pd.DataFrame:
    """The columns that fit into a terminal."""
    order = part["verdict"].map({"win": 0, "tie": 1, "inconclusive": 2, "loss": 3})
    part = part.assign(order=order).sort_values(["order", "probability"], ascending=[True, False], kind="stable")
    units = [unit for unit in part["effect_unit"].unique() if unit]
    effects = [_with_bounds(*values) for values in _rows(part, "effect")]
    if len(units) > 1:  # which of the two it is then stands beside each
        effects = [
            f"{text} ({unit})" if unit else text for text, unit in zip(effects, part["effect_unit"], strict=True)
        ]
    return pd.DataFrame({
        "optimizer": part["optimizer"],
        "verdict": part["verdict"],
        units[0] if len(units) == 1 else "effect": effects,
        "P(better)": [_with_bounds(*values) for values in _rows(part, "probability")],
        "p (Holm)": [significant(value, 2) for value in part["p_holm"]],
        "pairs": part["n_pairs"],
        "more seeds": part["more_seeds"],
    })  # fmt: skip


def _rows(part: pd.DataFrame, name: str) -> list[tuple[float, float, float]]:
    return list(part[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False, name=None))


def _with_bounds(value: float, low: float, high: float) -> str:
    text = significant(value, 3)
    return text if pd.isna(low) else f"{text} [{significant(low, 3)}, {significant(high, 3)}]"
