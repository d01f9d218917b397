"""Tables are made in the registry's order, from the results and the tables before them."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from optbench.metrics import registry
from optbench.tables import all_tables
from tests.frames import VALLEY, make


def test_tables_are_made_in_order_from_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = make(optimizers=["adam"], problems=[VALLEY])
    results = SimpleNamespace(**frames.__dict__)
    first = registry.Table(lambda results, tables: tables["leaderboard"].head(1))
    second = registry.Table(lambda results, tables: pd.concat([tables["first"], tables["first"]]))
    monkeypatch.setattr("optbench.tables.TABLES", {"first": first, "second": second})
    tables = all_tables(results)
    assert list(tables)[-2:] == ["first", "second"]
    assert len(tables["second"]) == 2


def test_naming_the_metrics_imports_no_pandas() -> None:
    code = "import sys, optbench.metrics; sys.exit('pandas' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
