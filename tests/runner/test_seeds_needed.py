"""A run says once, before it computes, that its seeds can decide no verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

import optbench
from optbench.runner.progress import SilentProgress
from tests.support.tiny import CHOICES


class _Messages(SilentProgress):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


@pytest.mark.parametrize(("optimizers", "said"), [(["sgd", "adam"], 1), (["sgd"], 0)])
def test_a_run_says_before_it_computes_that_its_seeds_decide_nothing(
    tmp_path: Path, optimizers: list[str], said: int
) -> None:
    progress = _Messages()
    choices = {**CHOICES, "optimizers": optimizers, "seeds": 1, "tuning_worth": 0}
    optbench.run(results=tmp_path, name="few", engine="serial", outputs=False, progress=progress, **choices)
    few = [place for place, text in enumerate(progress.texts) if "1 seed: too few to conclude" in text]
    assert len(few) == said
    computes = next(place for place, text in enumerate(progress.texts) if "cells to compute" in text)
    assert all(place < computes for place in few)
