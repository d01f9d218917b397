"""Made-up tables are the same whichever tests ran before."""

from __future__ import annotations

import pytest

from tests.experiments import made


@pytest.fixture(autouse=True)
def same_noise() -> None:
    made.begin()
