"""Results whose reader looks at few of their plots: all of them take ten seconds.

`tests/reporting/test_outputs.py` has all plots of a run, `tests/test_bad_input.py` those of results that lack
something, `tests/plots` each alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from optbench.plots.registry import PLOTS


def only(*names: str) -> AbstractContextManager[Any]:
    """Meanwhile only the plots of these names are drawn, none if there are none."""
    return patch("optbench.plots.draw.PLOTS", {name: PLOTS[name] for name in names})
