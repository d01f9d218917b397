"""Comparisons of timings as text: tables for a terminal, and Markdown for a pull request."""

from __future__ import annotations

import pandas as pd

from optbench.formatting import align_columns, escape_markdown
from optbench.timing.verdict import FAILING, UNDECIDED

_HEAD = ("test", "base", "head", "ratio", "95 %", "verdict", "")
#: The verdicts in order of interest.
_ORDER = ("slower", "more work", UNDECIDED, "faster", "same")


def sort_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows sorted by verdict, then by ratio, the largest first."""
    rank = frame["verdict"].map(_ORDER.index)
    return frame.assign(rank=rank).sort_values(["rank", "ratio"], ascending=[True, False]).drop(columns="rank")


def summary(frame: pd.DataFrame, base: str, head: str, bound: float) -> str:
    """One sentence on all tests."""
    counts = {verdict: int((frame["verdict"] == verdict).sum()) for verdict in _ORDER}
    parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    result = f"{head} does more work than {base}" if counts["more work"] else f"no slowdown of {head} against {base}"
    if counts["slower"]:
        result = f"{head} is slower than {base}"
    return f"{result} (bound {bound:g}×): {', '.join(parts)}"


def as_table(frame: pd.DataFrame, unit: str = "") -> str:
    """The comparison as aligned columns; `unit` is empty for seconds, `ratio` for ratios to a reference test."""
    return align_columns((_HEAD, *map(tuple, _cells(frame, unit))), right=(1, 2, 3, 4))


def as_markdown(frame: pd.DataFrame, base: str, head: str, bound: float, unit: str = "") -> str:
    """The comparison as Markdown: a summary, the notable tests, and the others in a folded section."""
    failing = any(frame["verdict"].isin(FAILING))
    notable, rest = frame[frame["verdict"] != "same"], frame[frame["verdict"] == "same"]
    parts = [f"### Timings: {'❌' if failing else '✅'} {summary(frame, f'`{base}`', f'`{head}`', bound)}"]
    if len(notable):
        parts.append(_markdown(_cells(notable, unit)))
    if len(rest):
        parts.append(
            f"<details><summary>{len(rest)} the same</summary>\n\n{_markdown(_cells(rest, unit))}\n\n</details>"
        )
    return "\n\n".join(parts) + "\n"


def _cells(frame: pd.DataFrame, unit: str) -> list[list[str]]:
    rows = []
    for row in sort_rows(frame).itertuples():
        base, head = (f"{value:.3g}" if unit else _seconds(float(value)) for value in (row.base, row.head))  # type: ignore[arg-type,str-bytes-safe]
        span = f"{row.low:.2f} – {row.high:.2f}"
        rows.append([str(row.test), base, head, f"{row.ratio:.2f}", span, str(row.verdict), str(row.note)])
    return rows


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def _markdown(rows: list[list[str]]) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(escape_markdown(cell) for cell in cells) + " |"

    head = [*_HEAD[:-1], "counters"]
    return "\n".join([line(head), line(["---", *["---:"] * 4, "---", "---"]), *map(line, rows)])
