"""Frames as one JSON for the page's scripts: by columns, each in the form that takes the least room.

Numbers are written as the shortest text that reads back as the same number, so what a script shows are the
tables' own figures. A missing value is null, and an infinite one 1e999, which every JSON reader takes for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from optbench.formatting import is_missing, is_numeric

#: What may not stand in a <script>, and what old readers take for the end of a line.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def frames_json(frames: Mapping[str, pd.DataFrame]) -> str:
    """A JSON object of frames by name: `{"rows": n, "columns": {name: column}}`.

    A column is `{"all": value}` where all rows have the same, `{"of": [texts], "at": [places]}` for texts and
    truths (−1 is missing), or `{"is": [numbers]}`.
    """
    return _object((name, frame_json(frame)) for name, frame in frames.items())


def frame_json(frame: pd.DataFrame) -> str:
    """One frame as a JSON object (see `frames_json`)."""
    columns = _object((str(name), _column(frame.iloc[:, place])) for place, name in enumerate(frame.columns))
    return f'{{"rows":{len(frame)},"columns":{columns}}}'


def script_safe(text: str) -> Markup:
    """A JSON text as it may stand in a <script> element: no part of it is seen as markup."""
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
    codes, found = pd.factorize(plain, use_na_sentinel=True)
    if len(found) == 1 and len(column) > 1 and (codes == 0).all():
        return f'{{"all":{json.dumps(found[0], ensure_ascii=False)}}}'
    return f'{{"of":{json.dumps(list(found), ensure_ascii=False)},"at":{numbers(codes)}}}'


def _plain(value: Any) -> Any:
    """A value that isn't in a column of numbers: a truth, a text, or a number among texts."""
    if is_missing(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return value if isinstance(value, str) else str(value)
