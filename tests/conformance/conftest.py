"""Fixtures of the tests of the checks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def threads_restored() -> Iterator[None]:
    """One of the optimizers that are checked changes the number of threads, which would slow down all later tests."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
