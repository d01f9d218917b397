"""Writes tables: each as parquet and csv, some also as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

#: The columns that papers print of tables with many.
_IN_PAPERS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {"leaderboard": for_paper}


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    return table


def write_tables(tables: Mapping[str, pd.DataFrame], directory: Path, papers: set[str]) -> None:
    """Writes each table as parquet and csv, and those named in `papers` also as Markdown and LaTeX.

    A csv file keeps every digit: each number is the shortest text that reads back as the same number. Texts that a
    spreadsheet would take for formulas begin with an apostrophe. Markdown and LaTeX show significant digits. Those
    of the leaderboard end with a sentence for each comparison (see `quotation`), in LaTeX as comments, because the file
    is input as a table.

    Raises:
        OSError: A file cannot be written.
    """
    quoted = {"verdicts", "cells", "runs"} <= tables.keys()
    for name, table in tables.items():
        written = unify_types(table)
        with replace_file(directory / f"{name}.parquet") as file:
            written.to_parquet(file, index=False)
        with replace_file(directory / f"{name}.csv") as file:
            _write_csv(guard_formulas(written), file)
        if name in papers:
            sources = [tables[source] for source in ("verdicts", "cells", "runs")] if quoted else []
            quotes = quotations(*sources) if name == "leaderboard" and quoted else []
            write_bytes(directory / f"{name}.md", (to_markdown(table) + _quotes_markdown(quotes)).encode())
            latex = to_latex(_IN_PAPERS.get(name, _whole)(table)) + _quotes_latex(quotes)
            write_bytes(directory / f"{name}.tex", latex.encode())


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
