"""Formats numbers and tables for people: significant digits, and tables as plain text, Markdown and LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def is_missing(value: Any) -> bool:
    """Whether a table entry is missing: None, NA or NaN."""
    import pandas as pd  # imported here because `plan` and `list` must not depend on pandas

    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def format_number(value: Any, digits: int = 4, trim: bool = False) -> str:
    """Format a value for display.

    Floats are rounded to `digits` significant digits, integers get thousands separators, missing values become a dash,
    and all other values are converted by `str`.

    Args:
        value: The value to format.
        digits: Number of significant digits of a float.
        trim: Whether to drop trailing zeros of a float.

    >>> format_number(0.98), format_number(0.98, trim=True), format_number(2.5e-9), format_number(math.nan)
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
    # Round first: 9.99996 is shown as 10.00, so its exponent is 1.
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if -4 <= exponent < 7:
        text = f"{value:,.{max(digits - 1 - exponent, 0)}f}"
        return text.rstrip("0").rstrip(".") if trim and "." in text else text
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    return (mantissa.rstrip("0").rstrip(".") if trim and "." in mantissa else mantissa) + "e" + power


def format_cell(column: str, value: Any) -> str:
    """Format a table entry with a precision that depends on its column.

    Learning rates, hyperparameters and costs are shown as short round numbers; metrics and losses keep four
    significant digits.
    """
    if isinstance(value, (float, np.floating)):
        if column == "lr" or column.startswith(("lr_", "hp_")):
            return format_number(value, digits=3, trim=True)
        if column.endswith("_ms"):
            return format_number(value, digits=3)
        if column == "target_reached":
            return "–" if math.isnan(value) else f"{100 * value:.0f} %"
        if column.endswith("_rank"):
            return "–" if math.isnan(value) else f"{value:.2f}"
        if column.startswith("cost") or column.endswith(("_cost", "_budget")):
            return format_number(round(float(value)) if 1000 <= abs(float(value)) < math.inf else value, trim=True)
    return format_number(value)


def in_words(names: Iterable[object]) -> str:
    """Format a list in words: `a`, `a and b`, `a, b and c`."""
    texts = [str(name) for name in names]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)


def is_numeric(column: pd.Series) -> bool:
    """Whether a column holds numbers and is therefore aligned right."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return bool(is_numeric_dtype(column) and not is_bool_dtype(column))


#: What Markdown would take for markup: HTML, entities, emphasis, code, formulas and links. An underscore within a word
#: (`mean_rank`) and a bracket without a link (`mlp[layers=2]`) are plain text.
_MARKUP = re.compile(r"[\\|<>`*$~]|&(?=#?\w+;)|(?<!\w)_|_(?!\w)|(?<=\])[(\[:]|!(?=\[)")


def escape_markdown(text: str) -> str:
    """Escape a text for one cell of a table in GitHub-flavoured Markdown.

    >>> print(escape_markdown("<b>a|b</b> mean_rank mlp[layers=2]"))
    \\<b\\>a\\|b\\</b\\> mean_rank mlp[layers=2]
    """
    return _MARKUP.sub(r"\\\g<0>", text).replace("\n", " ")


def to_markdown(table: pd.DataFrame) -> str:
    """Format a table as GitHub-flavoured Markdown, with padded columns and numbers aligned right."""
    columns = _pad_columns(table, escape_markdown)
    right = [is_numeric(table[name]) for name in table]
    dashes = [
        "-" * (len(column[0]) + 1) + (":" if flush else "-") for column, flush in zip(columns, right, strict=True)
    ]
    head, *body = (f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True))
    return "\n".join([head, f"|{'|'.join(dashes)}|", *body]) + "\n"


def _pad_columns(table: pd.DataFrame, escape: Callable[[str], str]) -> list[list[str]]:
    """Convert each column to its heading and its entries, all padded to the same width."""
    columns = []
    for name in table:
        texts = [escape(text) for text in [str(name), *(format_cell(str(name), value) for value in table[name])]]
        width = max(map(len, texts))
        flush = str.rjust if is_numeric(table[name]) else str.ljust
        columns.append([flush(text, width) for text in texts])
    return columns


_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\n": " ", "–": "--", "∞": r"$\infty$",
    "−": "$-$", "-": "{-}", "`": "{`}", "'": "{'}",
    '"': r"\textquotedbl{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
})  # fmt: skip


def escape_latex(text: str) -> str:
    """Escape a text for LaTeX, so that special characters are printed."""
    escaped = text.translate(_LATEX)
    # A single hyphen within a text makes no ligature, and after a line break a bracket or star is an argument.
    escaped = re.sub(r"(?<!\})\{-\}(?!\{-\})", "-", escaped)
    return "{}" + escaped if escaped.startswith(("[", "*")) else escaped


def to_latex(table: pd.DataFrame) -> str:
    """Format a table as a LaTeX `tabular` with booktabs rules; special characters are escaped."""
    columns = _pad_columns(table, escape_latex)
    head, *body = (" & ".join(cells) + r" \\" for cells in zip(*columns, strict=True))
    # The last character of the Latin alphabet that pdfLaTeX knows without further packages is ž.
    foreign = sorted({character for row in (head, *body) for character in row if character > "ž"})
    spec = "".join("r" if is_numeric(table[name]) else "l" for name in table)
    lines = [
        "% needs \\usepackage{booktabs}",
        *([f"% needs XeLaTeX or LuaLaTeX, and a font that has {''.join(foreign)}"] if foreign else []),
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        head,
        r"\midrule",
    ]
    return "\n".join([*lines, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def to_text(table: pd.DataFrame) -> str:
    """Format a table as plain text in aligned columns, separated by two spaces."""
    columns = _pad_columns(table, str)
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def guard_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with an apostrophe before each text that a spreadsheet would take for a formula.

    Such a text begins with =, +, -, @, a tab or a carriage return, and is not a number.
    """
    table = table.rename(columns=_guard)
    for name in (name for name in table if not is_numeric(table[name])):
        texts = (text for text in table[name].unique() if isinstance(text, str))
        formulas = {text: _guard(text) for text in texts if _guard(text) != text}
        if formulas:
            table[name] = table[name].map(lambda text, guarded=formulas: guarded.get(text, text))
    return table


def _guard(text: Any) -> Any:
    if not isinstance(text, str) or not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def unify_types(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with one type per column, as file formats require.

    A column of mixed types, such as a hyperparameter that is `auto` or 0.1, is converted to strings. Integers and
    floats together are left as they are.
    """
    from pandas.api.types import is_object_dtype

    table = table.copy(deep=False)
    for name in (name for name, dtype in table.dtypes.items() if is_object_dtype(dtype)):
        kinds = {type(value) for value in table[name] if not is_missing(value)}
        if len(kinds) > 1 and not kinds <= {int, float}:
            table[name] = table[name].map(lambda value: None if is_missing(value) else str(value))
    return table


def align_columns(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Format rows of strings in aligned columns.

    Args:
        rows: Rows of equal length; the first one is the header.
        right: Indices of the columns that are aligned right; all others are aligned left.
    """
    aligned_right = set(right)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        parts = [
            t.rjust(w) if i in aligned_right else t.ljust(w) for i, (t, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
