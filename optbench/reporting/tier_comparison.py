"""`optbench tiers`: how far the results of a small tier of problems predict those of a large one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from optbench.formatting import format_number, in_words
from optbench.metrics.agreement import describe
from optbench.metrics.tiers import ALL, CHANGED, HELD, REVERSED, UNDECIDED, compare_tiers
from optbench.reporting.files import write_tables
from optbench.results.frozen import open_results


@dataclass(frozen=True)
class TierComparison:
    """What two tiers say of the same optimizers; `print` shows it in sentences."""

    #: Names of the two results.
    small: str
    large: str
    #: One row per family of problems, and one for all tasks (see `metrics.tiers.compare_tiers`).
    table: pd.DataFrame
    #: One row per optimizer and pair of tasks.
    tasks: pd.DataFrame
    #: What is not in the results, with the reasons.
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        blocks = ["\n".join(self._block(row)) for row in self.table.to_dict("records")]
        return "\n\n".join([*blocks, *(f"note: {note}" for note in self.notes)])

    def _block(self, row: dict[Any, Any]) -> list[str]:
        scope = f"all {row['tasks']} and {row['tasks_other']} tasks" if row["scope"] == ALL else row["scope"]
        lines = [f"{scope}: {describe(row, self.small, self.large)}", f"  {self._regret(row)}"]
        if row["decided"]:
            lines += [f"  {self._verdicts(row)}"]
        return lines + self._sides(row)

    def _regret(self, row: dict[Any, Any]) -> str:
        text = (
            f"The best of {self.small}, {row['winner']}, has rank {format_number(row['rank_other'], 3)} in {self.large}"
        )
        if row["best_other"] == row["winner"]:
            return text + "."
        text += f", whose best is {row['best_other']}"
        if pd.isna(row["regret"]):
            return f"{text}. Its regret is unknown: {row['note'] or 'no seeds are paired'}."
        if row["regret_unit"] == "ratio":
            value, low, high = (format_number(100 * row[name], 3) for name in ("regret", "regret_low", "regret_high"))
            return f"{text}. Its regret is at most {value} % [{low}, {high}] of the best loss of a task."
        value, low, high = (format_number(row[name], 3) for name in ("regret", "regret_low", "regret_high"))
        return f"{text}. Its regret is at most {value} [{low}, {high}] in {row['metric']} on a task."

    def _verdicts(self, row: dict[Any, Any]) -> str:
        counts = [f"{number} {words}" for name, words in _FARES.items() if (number := row[f"verdicts_{name}"])]
        verdicts = f"{row['decided']} verdict{'s' * (row['decided'] != 1)} against {row['reference']}"
        return f"Of {verdicts} that {self.small} decides, in {self.large}: {in_words(counts)}."

    def _sides(self, row: dict[Any, Any]) -> list[str]:
        """Returns a line with the optimizers whose verdict is reversed, if there are any."""
        own = self.tasks if row["scope"] == ALL else self.tasks[self.tasks["scope"] == row["scope"]]
        changed = own[own["outcome"] == REVERSED]
        if row["scope"] == ALL or changed.empty:
            return []
        names = [
            f"{one['optimizer']} at batch size {one['batch_size']} ({one['verdict']}, then {one['verdict_other']})"
            for one in changed.to_dict("records")
        ]
        return [f"  These change sides: {in_words(names)}."]


_FARES = {HELD: "the same", REVERSED: "the opposite", CHANGED: "to or from a tie", UNDECIDED: "undecided"}


def compare_tier_folders(
    small: Path,
    large: Path,
    metric: str = "test_metric",
    reference: str | None = None,
    output: Path | None = None,
) -> TierComparison:
    """Compares the results of two tiers.

    Args:
        small: Results directory, or frozen results, of the small tier.
        large: The same of the large tier.
        metric: One of `metrics.METRICS`.
        reference: The optimizer of the verdicts (default: as in `compare`).
        output: Folder to which the tables `tiers` and `tier_tasks` are written, if given.

    Raises:
        UserError: Results can't be read, have fewer than two optimizers in common, or the metric or the reference is
            unknown.
    """
    results = [open_results(folder) for folder in (small, large)]
    frames = [(one.runs, one.cells) for one in results]
    table, tasks = compare_tiers(frames[0], frames[1], metric, reference)
    if output is not None:
        write_tables({"tiers": table, "tier_tasks": tasks}, output, {"tiers"})
    names = [one.folder.name for one in results]
    if names[0] == names[1]:
        names = [str(one.folder) for one in results]
    notes = tuple(note for one in results for note in one.warnings)
    return TierComparison(names[0], names[1], table, tasks, notes)
