"""Conducts an experiment as small as can be, for its tests."""

from __future__ import annotations

from pathlib import Path

import optbench
from optbench.experiments.conduct import Outcome


def conducted(text: str, folder: Path) -> Outcome:
    """The quick setting with smaller parameters, in this process."""
    outcome: Outcome = optbench.experiment(text, quick=True, results=folder, engine="serial", data_dir=folder)
    return outcome
