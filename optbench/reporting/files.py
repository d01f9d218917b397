"""Writes tables: each as parquet and csv, some also as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from optbench.formatting import escape_latex, escape_markdown, guard_formulas, to_latex, to_markdown, unify_types
from optbench.metrics.leaderboard import for_paper
from optbench.metrics.quotation import quotations
from optbench.results.atomic import replace_file, write_bytes

#: Rows of a csv file that are converted at a time.
_ROWS = 100_000


def write_tables(tables: Mapping[str, pd.DataFrame], directory: Path, papers: set[str]) -> None:
    """Writes each table as parquet and csv, and those named in `papers` also as Markdown and LaTeX.

    A csv file keeps every digit: each number is the shortest text that reads back as the same number. Texts that a
    spreadsheet would take for formulas begin with an apostrophe. Markdown and LaTeX show significant digits. Those
    of the leaderboard have the columns that papers print (see `for_paper`; in Markdown after the whole table), and end
    with a sentence for each comparison (see `quotation`), in LaTeX as comments, because the file is input as a table.

    Raises:
        OSError: A file cannot be written.
    """
    for name, table in tables.items():
        written = unify_types(table)
        with replace_file(directory / f"{name}.parquet") as file:
            written.to_parquet(file, index=False)
        with replace_file(directory / f"{name}.csv") as file:
            _write_csv(guard_formulas(written), file)
        if name in papers:
            markdown, latex = to_markdown(table), to_latex(table)
            if name == "leaderboard":
                markdown, latex = _print_leaderboard(tables)
            write_bytes(directory / f"{name}.md", markdown.encode())
            write_bytes(directory / f"{name}.tex", latex.encode())


def _print_leaderboard(tables: Mapping[str, pd.DataFrame]) -> tuple[str, str]:
    """Returns the leaderboard as Markdown and as LaTeX."""
    board, judged = tables["leaderboard"], tables.get("verdicts")
    printed = for_paper(board, tables.get("final_metric"), judged)
    quotes = []
    if judged is not None and {"cells", "runs"} <= tables.keys():
        quotes = quotations(judged, tables["cells"], tables["runs"])
    markdown = f"{to_markdown(board)}\nFor a paper:\n\n{to_markdown(printed)}{_quotes_markdown(quotes)}"
    return markdown, to_latex(printed) + _quotes_latex(quotes)


def _quotes_markdown(quotes: Sequence[str]) -> str:
    return "\nTo quote:\n\n" + "".join(f"- {escape_markdown(text)}\n" for text in quotes) if quotes else ""


def _quotes_latex(quotes: Sequence[str]) -> str:
    return "% To quote:\n" + "".join(f"% {escape_latex(text)}\n" for text in quotes) if quotes else ""


def _write_csv(table: pd.DataFrame, file: BinaryIO) -> None:
    """Writes the table in parts: curves may have millions of rows, and their text would not fit into memory."""

    def convert(field: pa.Field) -> pa.Field:
        # Categories and columns without any value are written as text.
        is_text = pa.types.is_dictionary(field.type) or pa.types.is_null(field.type)
        return field.with_type(pa.string()) if is_text else field

    schema = pa.schema([convert(field) for field in pa.Schema.from_pandas(table, preserve_index=False)])
    with pyarrow.csv.CSVWriter(file, schema) as writer:
        for start in range(0, len(table), _ROWS):
            part = table.iloc[start : start + _ROWS]
            writer.write_table(pa.Table.from_pandas(part, schema, preserve_index=False))
