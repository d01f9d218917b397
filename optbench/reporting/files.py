"""Writes tables: every one as parquet and csv, some as Markdown and LaTeX too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from optbench.formatting import latex, markdown, uniform
from optbench.results.atomic import replacing, write_bytes

#: Rows of a csv that are made at a time.
_ROWS = 100_000


def write_tables(tables: Mapping[str, pd.DataFrame], directory: Path, papers: set[str]) -> None:
    """Writes each table as parquet and csv, and those named in `papers` as Markdown and LaTeX too.

    A csv holds every digit: the shortest text that reads back as the same number; Markdown and LaTeX show
    significant digits. Raises OSError where the disk does not take them.
    """
    for name, table in tables.items():
        written = uniform(table)
        with replacing(directory / f"{name}.parquet") as file:
            written.to_parquet(file, index=False)
        with replacing(directory / f"{name}.csv") as file:
            _write_csv(written, file)
        if name in papers:
            write_bytes(directory / f"{name}.md", markdown(table).encode())
            write_bytes(directory / f"{name}.tex", latex(table).encode())


def _write_csv(table: pd.DataFrame, file: BinaryIO) -> None:
    """Writes in parts, by Arrow: curves may be millions of rows, whose text would not fit into memory."""

    def written(field: pa.Field) -> pa.Field:
        # Categories are written as their texts, and so is a column of which nothing is known.
        is_text = pa.types.is_dictionary(field.type) or pa.types.is_null(field.type)
        return field.with_type(pa.string()) if is_text else field

    schema = pa.schema([written(field) for field in pa.Schema.from_pandas(table, preserve_index=False)])
    with pyarrow.csv.CSVWriter(file, schema) as writer:
        for start in range(0, len(table), _ROWS):
            part = table.iloc[start : start + _ROWS]
            writer.write_table(pa.Table.from_pandas(part, schema, preserve_index=False))
