"""Data loading: verdicts from made-up speeds, both ways."""

from __future__ import annotations

import pandas as pd
import pytest

from optbench.experiments import data_loading
from optbench.experiments.verdict import FAILS, HOLDS
from tests.support.experiment_tables import noise, verdicts


def speeds(loader: float, files: int) -> dict[str, pd.DataFrame]:
    ways = {"resident": 100, "resident,\naugmented": 50, "loader,\naugmented": loader / 2}
    ways |= {"loader,\n0 workers": 0.8 * loader, "loader,\n1 worker": loader}
    rows = [{"way": way, "repetition": k, "speed": speed * noise()} for way, speed in ways.items() for k in range(5)]
    return {"speed": pd.DataFrame(rows), "memory": pd.DataFrame({"way": ["tensors", "files"], "bytes": [1000, files]})}


def test_data_loading_compares_with_the_fastest_loader() -> None:
    found = data_loading.evaluate(speeds(10, 100))
    assert verdicts(found) == [HOLDS] * 3
    assert found[0].measured == pytest.approx(10, rel=0.05)
    assert "1 worker" in found[0].quantity
    assert verdicts(data_loading.evaluate(speeds(200, 2000))) == [FAILS] * 3
