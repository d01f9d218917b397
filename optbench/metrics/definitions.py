"""Maps each table to its section of docs/methodology.md, and writes the index that is stored next to the tables."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

#: The definitions, if optbench is used from its repository; an installed package does not include them.
METHODOLOGY = Path(__file__).resolve().parents[2] / "docs" / "methodology.md"
#: The anchor of each table's section in docs/methodology.md.
SECTIONS = {
    "trials": "2-trials-tune",
    "runs": "5-final-runs-fresh-seeds-paired-seeds-cell",
    "curves": "7-evaluation-evaluate-train",
    "cells": "3-search-ranges-spec-ranges-optimizers-zoo",
    "leaderboard": "9-divergence-and-failure-train-cell-tables",
    "summary": "9-divergence-and-failure-train-cell-tables",
    "verdicts": "15-verdicts-metricsverdicts-statisticspaired",
    "aggregate": "17-aggregates-over-problems-metricsaggregate-statisticsbootstrap",
    "probability_of_improvement": "18-probability-of-improvement-metricsprobability_of_improvement",
    "critical_difference": "19-critical-differences-metricscritical_difference-statisticsranks",
    "audit": "20-the-undertuning-audit-metricsaudit",
    "rank_stability": "21-stability-of-the-ranking-metricsrank_stability",
    "failures": "22-failures-metricsfailures",
    "recommendation": "23-recommendations-metricsrecommendation",
    "final_metric": "25-what-runs-end-with-metricsfinal",
    "final_loss": "25-what-runs-end-with-metricsfinal",
    "targets": "26-targets-and-when-they-are-reached-targets-metricstime_to_target-metricstarget_summary",
    "time_to_target": "26-targets-and-when-they-are-reached-targets-metricstime_to_target-metricstarget_summary",
    "target_summary": "26-targets-and-when-they-are-reached-targets-metricstime_to_target-metricstarget_summary",
    "performance_profile": "27-profiles-metricsperformance_profile-metricspairwise_profile-metricsdata_profile",
    "pairwise_profile": "27-profiles-metricsperformance_profile-metricspairwise_profile-metricsdata_profile",
    "data_profile": "27-profiles-metricsperformance_profile-metricspairwise_profile-metricsdata_profile",
    "best_of_k": "28-the-best-of-k-trials-metricsbest_of_k-statisticsbest_of",
    "studies": "28-the-best-of-k-trials-metricsbest_of_k-statisticsbest_of",
    "lr_sensitivity": "29-learning-rates-sensitivity-and-transfer-metricslr_sensitivity-metricslr_transfer",
    "lr_transfer": "29-learning-rates-sensitivity-and-transfer-metricslr_sensitivity-metricslr_transfer",
    "hyperparameters": "31-hyperparameters-metricshyperparameters-metricsimportance",
    "importance": "31-hyperparameters-metricshyperparameters-metricsimportance",
    "tracks": "32-tracks-metricstracks-metricstrack_agreement",
    "track_agreement": "32-tracks-metricstracks-metricstrack_agreement",
    "scaling": "35-ladders-metricsladders-metricsscaling-metricsprojection-metricstransfer_rules",
    "scaling_slopes": "35-ladders-metricsladders-metricsscaling-metricsprojection-metricstransfer_rules",
    "projection": "35-ladders-metricsladders-metricsscaling-metricsprojection-metricstransfer_rules",
    "transfer_rules": "35-ladders-metricsladders-metricsscaling-metricsprojection-metricstransfer_rules",
    "batch_scaling": "30-batch-scaling-metricsbatch_scaling",
}


def write_index(tables: Iterable[str], folder: Path, notes: Iterable[str] = ()) -> str:
    """Returns the index of a folder of tables in Markdown, with links to the sections that define their columns.

    The sections are plain text if the methodology is not installed.

    Args:
        tables: Names of the tables.
        folder: The folder of the tables, from which the links are relative.
        notes: Sentences that a reader of the tables needs.
    """
    lines = [
        "# Tables",
        "",
        "Each table is a parquet and a csv file. These sections define the columns, with formulas and sources:",
        "",
    ]
    for name in sorted(tables):
        section = SECTIONS[name]
        text = f"section {section.partition('-')[0]}"
        if METHODOLOGY.is_file():
            text = f"[{text}]({Path(os.path.relpath(METHODOLOGY, folder.resolve())).as_posix()}#{section})"
        lines.append(f"- `{name}`: {text}")
    lines += ["", "The sections are in `docs/methodology.md` of optbench's repository."]
    lines += ["", "## Notes", "", *(f"- {note}" for note in notes)] if notes else []
    return "\n".join(lines) + "\n"
