"""Fixtures of the tests of problems."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in every run, whichever tests were run before."""
    torch.manual_seed(0)
