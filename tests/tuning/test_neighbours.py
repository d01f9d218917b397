"""The command that trains rates beside the chosen ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.neighbours import FACTORS, OPTIMIZERS, compare_with_neighbours


def test_ratios_are_those_of_the_runs(tmp_path: Path) -> None:
    """On a quadratic valley the neighbours are known to be worse: ten times the best rate diverges."""
    import optbench

    table = compare_with_neighbours("quadratic_valley[examples=64]", tmp_path, 2)
    assert table["optimizer"].tolist() == list(OPTIMIZERS)
    assert (table["ratio"] >= 1).all()
    assert table["best"].isin((1.0, *FACTORS)).all()
    tuned, others = (optbench.load(tmp_path / f"quadratic_valley-{name}").runs for name in ("tuned", "neighbours"))
    for row in table.to_dict("records"):
        losses = [tuned.query("tuned and optimizer == @row['optimizer']")["test_loss"].mean()]
        for factor in FACTORS:
            runs = others[others["optimizer"] == f"{row['optimizer']}[lr={row['lr'] * factor:.6g}]"]
            assert len(runs) == 2
            assert set(runs["seed"]) == set(tuned.query("tuned")["seed"])
            if (runs["status"] == "ok").all():
                losses.append(runs["test_loss"].mean())
        assert row["ratio"] == pytest.approx(losses[0] / min(losses))
