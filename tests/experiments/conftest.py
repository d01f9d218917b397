"""Made-up tables are the same whichever tests ran before."""

from __future__ import annotations

import pytest

from tests.support import experiment_tables as made


@pytest.fixture(autouse=True)
def same_noise() -> None:
    made.begin()
