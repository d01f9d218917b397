"""What `optbench tiers` prints and writes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import optbench
from optbench.baselines.located import reference_folder
from optbench.cli.verbs import cli
from optbench.metrics.tiers import compare_tiers
from optbench.reporting.tier_comparison import TierComparison
from tests.metrics.test_tiers import LARGE, LEVELS, tier


def comparison(levels: dict[str, float], metric: str = "test_metric") -> TierComparison:
    return TierComparison("digits", "real", *compare_tiers(tier(LEVELS), tier(levels, (LARGE,), seed=1), metric))


def test_sentences_of_equal_orders() -> None:
    text = str(comparison(LEVELS))
    assert "The rankings of 4 optimizers by digits and by real have τ = 1.0" in text
    assert "The best of digits, adam, has rank 1.00 in real." in text
    assert "Of 3 verdicts against adam that digits decides, in real: 3 the same." in text
    assert "change sides" not in text


def test_sentences_name_who_changes_sides_and_the_regret() -> None:
    changed = LEVELS | {"sgd": 0.97}
    text, row = str(comparison(changed)), comparison(changed).table.iloc[0]
    assert "These change sides: sgd at batch size 10 (loss, then win)." in text
    assert f"whose best is sgd. Its regret is at most {row['regret']:.3g}"[:60] in text
    assert "% [" in str(comparison(changed, "test_loss"))


def test_the_command_writes_its_tables(tmp_path: Path) -> None:
    folder = str(reference_folder())
    done = CliRunner().invoke(cli, ["tiers", "reference", folder, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "τ = 1" in done.output
    table = pd.read_csv(tmp_path / "tiers.csv")
    assert (table["tau"] == 1).all()
    assert (table["rank_other"] == 1).all()
    assert {path.name for path in tmp_path.iterdir()} >= {"tiers.md", "tiers.tex", "tier_tasks.csv"}


def test_unknown_results_are_named() -> None:
    with pytest.raises(optbench.UserError, match="unknown stored results 'nothing'"):
        CliRunner().invoke(cli, ["tiers", "reference", "nothing"], catch_exceptions=False, standalone_mode=False)
