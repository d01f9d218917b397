"""The tables that metrics give, by the names of their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Table:
    """How a table is made: from the results (what `optbench.load` gives) and the tables before it,
    the leaderboard and summary among them. `paper` writes it as Markdown and LaTeX too.
    """

    make: Callable[[Any, Mapping[str, pd.DataFrame]], pd.DataFrame]
    paper: bool = False


#: In the order in which they are made: an entry may use those above it.
TABLES: dict[str, Table] = {}
