"""`optbench compare`: which optimizer is better, in one results directory or across several."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from optbench.baselines.against import load_with_baseline
from optbench.errors import UserError
from optbench.formatting import format_number, in_words, to_text
from optbench.metrics import losses
from optbench.metrics.definitions import write_index
from optbench.metrics.tables import all_tables
from optbench.metrics.verdicts import choose_reference, is_small, verdicts
from optbench.results.atomic import write_bytes
from optbench.results.directory import ResultsDirectory
from optbench.results.join import JoinedResults, join
from optbench.results.stored import GROUP


@dataclass(frozen=True)
class Comparison:
    """Joined results and all tables made from them, including `leaderboard` and `verdicts`."""

    results: JoinedResults
    tables: dict[str, pd.DataFrame]
    metric: str = "test_metric"

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row for each optimizer except the reference on each task (see `metrics.verdicts`)."""
        return self.tables["verdicts"]

    @property
    def leaderboard(self) -> pd.DataFrame:
        """One row per cell, ranked within its task."""
        return self.tables["leaderboard"]

    @property
    def notes(self) -> list[str]:
        """The results that were left out of the comparison, with the reasons."""
        return self.results.notes

    def __str__(self) -> str:
        return _text(self)


def compare_folders(
    folders: Sequence[Path], reference: str | None = None, metric: str = "test_metric", output: Path | None = None
) -> Comparison:
    """Compares every optimizer of some results directories with a reference.

    Args:
        folders: The results directories. A single one is compared within itself and, like its page, with the stored
            results that it was run against.
        reference: The optimizer to compare with; by default Adam if it was run.
        metric: The column to compare by, one of `metrics.METRICS`.
        output: Folder below which tables and plots are written, if given.

    Raises:
        UserError: The reference was not run, the directories cannot be joined (see `results.join.join`), or `metric`
            is a time and the results come from different machines.
    """
    losses.check_metric(metric)
    joined = _join_folders(folders, metric)
    try:
        choose_reference(joined.cells, reference)
    except UserError as error:  # the notes may say why it is not there
        raise UserError("; ".join([str(error), *joined.notes])) from None
    tables = all_tables(joined, metric)
    judged = verdicts(joined.runs, joined.cells, reference, metric)
    comparison = Comparison(joined, tables | {"verdicts": judged}, metric)
    if output is not None:
        _write(comparison, output)
    return comparison


def _join_folders(folders: Sequence[Path], metric: str) -> JoinedResults:
    if len(folders) == 1:
        directory = ResultsDirectory(folders[0])
        if directory.against() is not None and isinstance(
            compared := load_with_baseline(directory, metric), JoinedResults
        ):
            return compared
    return join(folders)


def _write(comparison: Comparison, output: Path) -> None:
    from optbench.metrics.registry import TABLES
    from optbench.plots import draw_all
    from optbench.reporting.files import write_tables
    from optbench.reporting.outputs import PAPER_TABLES

    papers = PAPER_TABLES | {name for name, table in TABLES.items() if table.paper}
    write_bytes(
        output / "tables" / "README.md", write_index(comparison.tables, output / "tables", comparison.notes).encode()
    )
    write_tables(comparison.tables, output / "tables", papers)
    draw_all(comparison.results, comparison.tables, output / "plots")


def _text(comparison: Comparison) -> str:
    """The output of the command line: each task with its verdicts, then the notes."""
    blocks = verdict_blocks(comparison.verdicts, comparison.leaderboard)
    if not blocks:
        blocks = [f"nothing to compare: {_explain_nothing(comparison)}"]
    if comparison.notes:
        blocks.append("\n".join(f"note: {note}" for note in comparison.notes))
    return "\n\n".join(blocks)


def _explain_nothing(comparison: Comparison) -> str:
    """Why there is no verdict: no task has two optimizers, or the metric needs a target or times that are missing."""
    runs, cells = comparison.results.runs, comparison.results.cells
    if not (runs.groupby(GROUP, observed=True)["optimizer"].nunique() > 1).any():
        return "no two optimizers were run on the same problem, batch size, device and schedule"
    if comparison.metric.endswith("_to_target") and cells["target"].isna().all():
        names = in_words(sorted(map(str, cells["problem"].unique())))
        return f"{comparison.metric} needs a target, and {names} declare{'s' * (cells['problem'].nunique() == 1)} none"
    return f"no two optimizers have a known {comparison.metric} on the same task"


def verdict_blocks(
    table: pd.DataFrame, board: pd.DataFrame | None = None, only: Collection[str] | None = None
) -> list[str]:
    """The verdicts as text, one block for each task.

    Args:
        table: The table `verdicts`.
        board: The leaderboard, for the hyperparameters that were tuned besides the learning rate.
        only: The optimizers to show (default: all).
    """
    tuned = {} if board is None else {key: _tuned(rows) for key, rows in board.groupby(GROUP, observed=True)}
    blocks = []
    for key, part in table.groupby(GROUP, observed=True, sort=True):
        family = int(part["p_holm"].notna().sum())
        part = part if only is None else part[part["optimizer"].isin(only)]
        if part.empty:
            continue
        problem, batch_size, device, schedule = key
        against = f"against {part['reference'].iloc[0]} by {part['metric'].iloc[0]}"
        heading = f"{problem}, batch {batch_size}, {device}, {schedule}: {against}"
        noted = part[part["note"] != ""].groupby("note")["optimizer"]
        reasons = [
            f"  {note}" + ("" if len(names) == len(part) else f" ({', '.join(map(str, names))})")
            for note, names in noted
        ]
        chosen = [tuned[key]] if tuned.get(key) else []
        adjusted = [f"  p adjusted for {family} comparisons"] if family > 1 else []
        blocks.append("\n".join([heading, to_text(_short(part)), *adjusted, *chosen, *reasons]))
    return blocks


def _tuned(rows: pd.DataFrame) -> str:
    """The chosen hyperparameters of the optimizers that tune more than the learning rate."""
    several = rows[rows["others_tuned"].ne("")].to_dict("records")
    texts = [f"{row['optimizer']} lr={format_number(row['lr'], 3, True)}, {row['others_tuned']}" for row in several]
    return f"  chosen: {'; '.join(texts)}" if texts else ""


def _short(part: pd.DataFrame) -> pd.DataFrame:
    """The columns of one task that fit into a terminal."""
    order = part["verdict"].map({"win": 0, "tie": 1, "inconclusive": 2, "loss": 3})
    part = part.assign(order=order).sort_values(["order", "probability"], ascending=[True, False], kind="stable")
    units = [unit for unit in part["effect_unit"].unique() if unit]
    effects = [_with_bounds(*values) for values in _rows(part, "effect")]
    if len(units) > 1:  # then each effect has its own unit
        effects = [
            f"{text} ({unit})" if unit else text for text, unit in zip(effects, part["effect_unit"], strict=True)
        ]
    return pd.DataFrame({
        "optimizer": part["optimizer"],
        "verdict": part["verdict"].where(~is_small(part["note"]), part["verdict"] + ", small"),
        units[0] if len(units) == 1 else "effect": effects,
        "P(better)": [_with_bounds(*values) for values in _rows(part, "probability")],
        "p (Holm)": [format_number(value, 2) for value in part["p_holm"]],
        "pairs": part["n_pairs"],
        "more seeds": part["more_seeds"],
    })  # fmt: skip


def _rows(part: pd.DataFrame, name: str) -> list[tuple[float, float, float]]:
    return list(part[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False, name=None))


def _with_bounds(value: float, low: float, high: float) -> str:
    text = format_number(value, 3)
    return text if pd.isna(low) else f"{text} [{format_number(low, 3)}, {format_number(high, 3)}]"
