"""One sentence per comparison, which a paper can quote: all that a reader needs to judge a verdict."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pandas as pd

from optbench.formatting import format_cell, format_number
from optbench.metrics.known_length import NOTE
from optbench.metrics.own_schedules import describe_schedule, own_schedules
from optbench.metrics.ranking import name_metric
from optbench.metrics.verdicts import TIE_RATIO, TIE_SHARE, is_small
from optbench.results.stored import CELL, GROUP
from optbench.statistics.paired import EXACT_PAIRS

_WORDS = {
    "win": "is significantly better than",
    "loss": "is significantly worse than",
    "tie": "is equivalent to",
    "inconclusive": "is not shown to differ from",
}


def quotations(verdicts: pd.DataFrame, cells: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Returns a sentence for each verdict, in the order of the table.

    It says who is compared with whom, on which task, by which metric, and the difference or ratio with its 95 %
    interval, the p-value with its test, the number of paired seeds, what the tuning of both was allowed to cost, and
    the version of optbench.

    Args:
        verdicts: The table `verdicts`.
        cells: Frame of cells.
        runs: Frame of runs, which tells the schedules that optimizers bring themselves.
    """
    schedules = own_schedules(runs, cells)
    about = {tuple(cell[name] for name in CELL): cell for cell in reversed(cells.to_dict("records"))}
    families = verdicts.groupby([*GROUP, "reference"], observed=True)["p_holm"].count().to_dict()
    sentences = []
    for row, small in zip(verdicts.to_dict("records"), is_small(verdicts["note"]), strict=True):
        task = tuple(row[name] for name in GROUP)
        both = [about.get((*task, str(row[name])), {}) for name in ("optimizer", "reference")]
        rates = [describe_schedule(schedules.get(cell.get("cell_id"), {})) for cell in both]
        sentences.append(_write(row, both, rates, families[*task, row["reference"]], bool(small)))
    return sentences


def _write(row: dict[Any, Any], cells: list[dict[Any, Any]], rates: list[str], family: int, small: bool) -> str:
    who, other, metric = row["optimizer"], row["reference"], row["metric"]
    names = [str(cell["metric_name"]) for cell in cells if cell]
    rate = _write_rates(who, other, rates) if row["schedule"] == "constant" else f", the schedule {row['schedule']}"
    text = f"On {row['problem']} (batch size {row['batch_size']}, {row['device']}{rate}), {who} "
    by = f"by {name_metric(metric, *names[:1])}"
    if not row["n_pairs"]:
        return f"{text}cannot be compared with {other} {by}: {row['note'] or 'no seed was run by both'}."
    within = ", although by less than the margin," if small else ""
    text += f"{_WORDS[row['verdict']]} {other}{within} {by}: {_write_effect(row)} ({_write_test(row, family)})."
    text += f" {_write_budgets(who, other, cells)} Computed with optbench {version('optbench')}."
    if NOTE in row["note"]:
        text += f" Only the better one knows the length of the training: {NOTE}."
    return text


def _write_rates(who: str, other: str, rates: list[str]) -> str:
    """Returns the learning rates of a matrix without a schedule, in which optimizers may bring their own."""
    first, second = rates
    return f", {first}" if first == second else f"; {who} with {first}, {other} with {second}"


def _write_effect(row: dict[Any, Any]) -> str:
    effect, low, high = (float(row[name]) for name in ("effect", "effect_low", "effect_high"))
    if pd.isna(effect) and not (row["n_failed"] or row["n_failed_reference"]):
        return "values of 0 have no ratio, so there is no mean effect"
    if pd.isna(effect):
        return (
            f"{row['n_failed']} of its runs and {row['n_failed_reference']} of those of {row['reference']} failed, so "
            "there is no mean effect"
        )
    if row["effect_unit"] == "ratio":
        text = f"its value is {format_number(effect, 3)} times that of {row['reference']} in the geometric mean"
    else:
        word = "better" if effect >= 0 else "worse"
        effect, low, high = (effect, low, high) if effect >= 0 else (-effect, -high, -low)
        text = f"{word} by {format_number(effect, 3)} in the mean"
    return text if pd.isna(low) else f"{text}, 95 % interval {format_number(low, 3)} to {format_number(high, 3)}"


def _write_test(row: dict[Any, Any], family: int) -> str:
    exact = "exact " if row["n_pairs"] <= EXACT_PAIRS else ""
    p, test = row["p_holm"], f"{exact}sign-flip test"
    if row["verdict"] == "tie":
        ratio = row["effect_unit"] == "ratio"
        margin = f"a factor of {TIE_RATIO:g}" if ratio else f"{100 * TIE_SHARE:g} % of the median of {row['reference']}"
        p, test = row["p_tie"], f"two one-sided {exact}sign-flip tests with the margin of {margin}"
    seeds = f"{row['n_pairs']} paired seed{'s' * (row['n_pairs'] != 1)}"
    adjusted = f", adjusted by Holm's method for {family} comparisons" if family > 1 else ""
    return f"p = {format_number(float(p), 2)}, {test} on {seeds}{adjusted}"


def _write_budgets(who: str, other: str, cells: list[dict[Any, Any]]) -> str:
    budgets = [[_describe_budget(name, cell) for cell in cells] for name in ("tuning_budget", "run_budget")]
    tuning, run = (
        f"{first} each" if first == second else f"{first} for {who}, {second} for {other}" for first, second in budgets
    )
    return f"Tuning budget: {tuning}; run budget: {run} (in example gradients)."


def _describe_budget(name: str, cell: dict[Any, Any]) -> str:
    if name == "tuning_budget" and cell.get("trials") == 0:
        return "none"
    budget = cell.get(name)
    return "unknown" if budget is None or pd.isna(budget) else format_cell(name, float(budget))
