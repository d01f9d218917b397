"""The command that compares the verdicts of fewer seeds with those of all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.directories import write_directory
from tests.support.fewer_seeds import Agreement, agreement, main
from tests.support.studies import study


def test_each_group_of_seeds_is_compared_with_all_of_them() -> None:
    """Of 24 seeds, the first 8 are better than Adam by 50 %, the next 8 worse, and all together decide nothing."""
    steady = np.exp(np.linspace(-0.1, 0.1, 24))
    turns = np.repeat([0.5, 2.0, 1.0], 8) * steady
    found = study({"adam": steady, "better": 0.5 * steady, "turns": turns})
    assert agreement(found.runs, found.cells, 8) == Agreement(
        8, 3, known=3, found=3, decided=6, contradicted=0, undecided=3
    )
    assert agreement(found.runs, found.cells, 3).decided == 0, "three seeds cannot decide"


def test_a_group_that_says_the_opposite_contradicts() -> None:
    steady = np.exp(np.linspace(-0.1, 0.1, 24))
    turns = np.repeat([2.0, 0.25, 0.25], 8) * steady
    found = study({"adam": steady, "turns": turns})
    result = agreement(found.runs, found.cells, 8)
    assert (result.known, result.decided, result.contradicted) == (3, 3, 1)


def test_a_tie_and_a_small_difference_agree() -> None:
    """Within the margin of 5 %: the first groups see a tie, and all seeds a win as well."""
    random = np.random.default_rng(0)
    steady = np.ones(24)
    found = study({"adam": steady, "slightly": 0.995 * np.exp(0.006 * random.normal(size=24))})
    result = agreement(found.runs, found.cells, 8)
    assert result.known == result.decided == 3
    assert result.contradicted == 0


def test_the_command_reads_a_results_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(str(write_directory(tmp_path / "results", seeds=12, trials=2, points=2)), ["6", "12"])
    first, whole = capsys.readouterr().out.splitlines()
    assert first.startswith("6 seeds, 2 groups: ")
    assert whole.startswith("12 seeds, 1 groups: 100 % of ")
    assert whole.endswith("0 are contradicted and 0 undecided by all")
