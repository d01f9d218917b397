"""Frames as JSON: nothing is lost, and nothing breaks out of a script."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optbench.reporting.payload import frames_json, script_safe


def values(column: dict[str, Any], rows: int) -> list[Any]:
    if "is" in column:
        return list(column["is"])
    if "all" in column:
        return [column["all"]] * rows
    return [None if at < 0 else column["of"][at] for at in column["at"]]


def test_every_kind_of_column_reads_back() -> None:
    rng = np.random.default_rng(11)
    frame = pd.DataFrame({
        "float": rng.normal(size=4) * 10.0 ** rng.integers(-12, 12, 4), "whole": [1, 2, 3, 2**52],
        "gap": [1.5, math.nan, 2.0, 0.1], "infinite": [math.inf, -math.inf, 1.0, 2.0],
        "text": ["a", "</script>", "", "ü"], "truth": [True, False, True, True],
        "same": ["x"] * 4, "maybe": pd.array([1, None, 3, 4], dtype="Int64"), "mixed": ["auto", 0.5, None, "auto"],
        "category": pd.Categorical(["b", "a", "b", "b"]), "nothing": [None] * 4,
    })  # fmt: skip
    stored = json.loads(frames_json({"frame": frame}))["frame"]
    assert stored["rows"] == 4
    read = {name: values(column, 4) for name, column in stored["columns"].items()}
    assert read["float"] == frame["float"].tolist(), "all digits"
    assert read["whole"] == [1, 2, 3, 2**52]
    assert read["gap"] == [1.5, None, 2.0, 0.1]
    assert read["infinite"] == [math.inf, -math.inf, 1.0, 2.0]
    assert read["text"] == ["a", "</script>", "", "ü"]
    assert read["truth"] == [True, False, True, True]
    assert read["same"] == ["x"] * 4
    assert read["maybe"] == [1, None, 3, 4]
    assert read["mixed"] == ["auto", "0.5", None, "auto"]
    assert read["category"] == ["b", "a", "b", "b"]
    assert read["nothing"] == [None] * 4
    assert "NaN" not in frames_json({"frame": frame})


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--", "]]>", "&lt;", "\u2028\u2029"])
def test_nothing_breaks_out_of_a_script(text: str) -> None:
    safe = script_safe(frames_json({text: pd.DataFrame({text: [text, "b"]})}))
    assert not set("<>&\u2028\u2029") & set(safe)
    assert json.loads(safe)[text]["columns"][text]["of"] == [text, "b"]


def test_empty_frames() -> None:
    stored = json.loads(frames_json({"none": pd.DataFrame(), "bare": pd.DataFrame({"a": []})}))
    assert stored["none"] == {"rows": 0, "columns": {}}
    assert stored["bare"]["rows"] == 0
