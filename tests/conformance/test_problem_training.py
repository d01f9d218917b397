"""The checks of a problem in a worker process, without one."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from optbench.conformance import problem_training
from optbench.conformance.finding import Verdict


@pytest.mark.parametrize(
    ("losses", "same"),
    [((math.nan, math.nan), True), ((1.0, math.nan), False), ((1.0, 2.0), False), ((1.0, 1.0), True)],
)
def test_a_loss_that_is_nan_in_both_processes_is_the_same(
    losses: tuple[float, float], same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(losses)
    monkeypatch.setattr(problem_training, "_compute_loss", lambda *_: next(left))
    monkeypatch.setattr(problem_training, "require_main_guard", lambda: None)
    subject: Any = SimpleNamespace(cell=None, batch=tuple)
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(problem_training, "_worker", lambda: pool)
        if same:
            assert problem_training.workers(subject).startswith("the same loss in a worker process")
        else:
            with pytest.raises(Verdict, match="in this process, but"):
                problem_training.workers(subject)
