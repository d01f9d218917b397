"""Frames as JSON for the page's scripts: by columns, each in its most compact form.

Numbers are written as the shortest text that reads back as the same number, so scripts show exactly the numbers of
the tables. A missing value is null. An infinite value is 1e999, which every JSON reader parses as infinity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from optbench.formatting import is_missing, is_numeric

#: Characters that must not occur in a <script>, and those that old readers treat as line ends.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def frames_json(frames: Mapping[str, pd.DataFrame]) -> str:
    """Frames by name as a JSON object, each `{"rows": n, "columns": {name: column}}`.

    A column is `{"all": value}` if all rows have the same value, `{"of": [values], "at": [indices]}` for texts and
    booleans (index −1: missing), or `{"is": [numbers]}`.
    """
    return _object((name, frame_json(frame)) for name, frame in frames.items())


def frame_json(frame: pd.DataFrame) -> str:
    """One frame as a JSON object (see `frames_json`)."""
    columns = _object((str(name), _column(frame.iloc[:, place])) for place, name in enumerate(frame.columns))
    return f'{{"rows":{len(frame)},"columns":{columns}}}'


def script_safe(text: str) -> Markup:
    """A JSON text for a <script> element, escaped so that no part of it is parsed as markup."""
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return Markup(text)


def numbers(values: np.ndarray) -> str:
    """Numbers as a JSON list."""
    values = np.asarray(values, dtype=float)
    if not np.isfinite(values).all():
        return json.dumps(values.tolist(), separators=(",", ":")).replace("NaN", "null").replace("Infinity", "1e999")
    if (values == np.trunc(values)).all() and (np.abs(values) < 2**53).all():
        return json.dumps(values.astype(np.int64).tolist(), separators=(",", ":"))
    return json.dumps(values.tolist(), separators=(",", ":"))


def _object(entries: Any) -> str:
    return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{value}" for name, value in entries) + "}"


def _column(column: pd.Series) -> str:
    if is_numeric(column):
        values = column.to_numpy(dtype=float, na_value=np.nan)
        if len(values) > 1 and ((values == values[0]) | (np.isnan(values) & np.isnan(values[0]))).all():
            return f'{{"all":{numbers(values[:1])[1:-1]}}}'
        return f'{{"is":{numbers(values)}}}'
    plain = column.map(_plain).astype(object)
    codes, levels = pd.factorize(plain, use_na_sentinel=True)
    if len(levels) == 1 and len(column) > 1 and (codes == 0).all():
        return f'{{"all":{json.dumps(levels[0], ensure_ascii=False)}}}'
    return f'{{"of":{json.dumps(list(levels), ensure_ascii=False)},"at":{numbers(codes)}}}'


def _plain(value: Any) -> Any:
    """A value of a column that is not numeric: a boolean, a text, or a number among texts, which becomes a text."""
    if is_missing(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return value if isinstance(value, str) else str(value)
