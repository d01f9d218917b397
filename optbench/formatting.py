"""Tables as people read them: digits, and the forms that are pasted into terminals and papers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def is_missing(value: Any) -> bool:
    """Whether a cell of a table holds nothing."""
    import pandas as pd  # only where there is a frame: plans and lists do without

    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def significant(value: Any, digits: int = 4, trim: bool = False) -> str:
    """A value as people read it: floats to `digits` significant digits, whole numbers with thousands
    separated, a missing one as a dash. `trim` drops trailing zeros.

    >>> significant(0.98), significant(0.98, trim=True), significant(2.5e-9), significant(math.nan)
    ('0.9800', '0.98', '2.500e-09', '–')
    """
    if is_missing(value):
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if not isinstance(value, (float, np.floating)):
        return str(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    # Rounded first, so that 9.99996 is seen as the 10.00 that it is shown as.
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if -4 <= exponent < 7:
        text = f"{value:,.{max(digits - 1 - exponent, 0)}f}"
        return text.rstrip("0").rstrip(".") if trim and "." in text else text
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    return (mantissa.rstrip("0").rstrip(".") if trim and "." in mantissa else mantissa) + "e" + power


def cell_text(column: str, value: Any) -> str:
    """A value as text, with the digits that its column deserves: learning rates and counts of
    examples are read as round numbers, metrics and losses by their digits.
    """
    if isinstance(value, (float, np.floating)):
        if column == "lr" or column.startswith(("lr_", "hp_")):
            return significant(value, digits=3, trim=True)
        if column.endswith("_ms"):
            return significant(value, digits=3)
        if column == "target_reached":
            return "–" if math.isnan(value) else f"{100 * value:.0f} %"
        if column.endswith("_rank"):
            return "–" if math.isnan(value) else f"{value:.2f}"
        if column.startswith("cost") or column.endswith(("_cost", "_budget")):
            return significant(round(float(value)) if 1000 <= abs(float(value)) < math.inf else value, trim=True)
    return significant(value)


def is_numeric(column: pd.Series) -> bool:
    """Whether a column holds numbers, and so is set flush right."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return bool(is_numeric_dtype(column) and not is_bool_dtype(column))


def markdown(table: pd.DataFrame) -> str:
    """The table in GitHub's Markdown, numbers flush right, columns padded to read well as text."""

    def escape(text: str) -> str:
        return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")

    columns = _padded(table, escape)
    right = [is_numeric(table[name]) for name in table]
    dashes = [
        "-" * (len(column[0]) + 1) + (":" if flush else "-") for column, flush in zip(columns, right, strict=True)
    ]
    head, *body = (f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True))
    return "\n".join([head, f"|{'|'.join(dashes)}|", *body]) + "\n"


def _padded(table: pd.DataFrame, escape: Callable[[str], str]) -> list[list[str]]:
    """Each column as its heading and its texts, padded to one width."""
    columns = []
    for name in table:
        texts = [escape(text) for text in [str(name), *(cell_text(str(name), value) for value in table[name])]]
        width = max(map(len, texts))
        flush = str.rjust if is_numeric(table[name]) else str.ljust
        columns.append([flush(text, width) for text in texts])
    return columns


_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\n": " ", "–": "--", "∞": r"$\infty$",
    "−": "$-$", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
})  # fmt: skip


def latex(table: pd.DataFrame) -> str:
    """The table as a LaTeX `tabular` in the manner of booktabs, with every special character escaped."""
    columns = _padded(table, lambda text: text.translate(_LATEX))
    head, *body = (" & ".join(cells) + r" \\" for cells in zip(*columns, strict=True))
    spec = "".join("r" if is_numeric(table[name]) else "l" for name in table)
    lines = [
        "% needs \\usepackage{booktabs}",
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        head,
        r"\midrule",
    ]
    return "\n".join([*lines, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def terminal(table: pd.DataFrame) -> str:
    """The table in aligned columns, two spaces apart."""
    columns = _padded(table, str)
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def uniform(table: pd.DataFrame) -> pd.DataFrame:
    """The table with one type a column, as files have it: one that mixes types (a hyperparameter such as
    `auto` or 0.1) becomes text.
    """
    from pandas.api.types import is_object_dtype

    table = table.copy(deep=False)
    for name in (name for name, dtype in table.dtypes.items() if is_object_dtype(dtype)):
        kinds = {type(value) for value in table[name] if not is_missing(value)}
        if len(kinds) > 1 and not kinds <= {int, float}:
            table[name] = table[name].map(lambda value: None if is_missing(value) else str(value))
    return table


def table(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Rows of texts in aligned columns, the first as the head; columns in `right` end flush."""
    aligned_right = set(right)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        parts = [
            t.rjust(w) if i in aligned_right else t.ljust(w) for i, (t, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
