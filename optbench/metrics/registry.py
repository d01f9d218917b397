"""The registry of tables, by the names of their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from optbench.metrics.aggregate import aggregate
from optbench.metrics.batch_scaling import batch_scaling
from optbench.metrics.best_of_k import best_of_k
from optbench.metrics.critical_difference import critical_difference
from optbench.metrics.data_profile import data_profile
from optbench.metrics.failures import failures
from optbench.metrics.final import final_loss, final_metric
from optbench.metrics.hyperparameters import hyperparameters
from optbench.metrics.importance import importance
from optbench.metrics.lr_sensitivity import lr_sensitivity
from optbench.metrics.lr_transfer import lr_transfer
from optbench.metrics.pairwise_profile import pairwise_profile
from optbench.metrics.performance_profile import performance_profile
from optbench.metrics.probability_of_improvement import probability_of_improvement
from optbench.metrics.projection import projection
from optbench.metrics.rank_stability import rank_stability
from optbench.metrics.recommendation import recommendation
from optbench.metrics.scaling import scaling, scaling_slopes
from optbench.metrics.target_summary import select_times, target_summary
from optbench.metrics.targets import list_targets
from optbench.metrics.time_to_target import time_to_target
from optbench.metrics.track_agreement import track_agreement
from optbench.metrics.tracks import tracks
from optbench.metrics.transfer_rules import transfer_rules
from optbench.metrics.verdicts import verdicts
from optbench.results.stored import StoredResults


@dataclass(frozen=True)
class Table:
    """How a table is computed.

    Attributes:
        make: Maps results (see `optbench.load`) and the tables before it to a frame; with `by_metric`, also the metric.
        paper: Whether the table is also written as Markdown and LaTeX.
        by_metric: Whether `make` takes the metric by which optimizers are compared.
    """

    make: Callable[..., pd.DataFrame]
    paper: bool = False
    by_metric: bool = False


def _select_times(results: StoredResults, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return select_times(tables["time_to_target"], results.runs, results.cells)


#: In the order of computation: a table may use those above it.
TABLES: dict[str, Table] = {
    "final_metric": Table(
        lambda results, tables: final_metric(results.runs, results.curves, results.cells), paper=True
    ),
    "final_loss": Table(lambda results, tables: final_loss(results.runs, results.curves, results.cells), paper=True),
    "targets": Table(lambda results, tables: list_targets(results.cells), paper=True),
    "time_to_target": Table(
        lambda results, tables: time_to_target(results.runs, results.curves, results.cells, tables["targets"])
    ),
    "target_summary": Table(
        lambda results, tables: target_summary(tables["time_to_target"], results.runs, results.cells), paper=True
    ),
    "performance_profile": Table(
        lambda results, tables: performance_profile(_select_times(results, tables)), paper=True
    ),
    "pairwise_profile": Table(lambda results, tables: pairwise_profile(_select_times(results, tables)), paper=True),
    "data_profile": Table(lambda results, tables: data_profile(_select_times(results, tables)), paper=True),
    "best_of_k": Table(lambda results, tables: best_of_k(results.trials, results.cells, results.studies)),
    "lr_sensitivity": Table(
        lambda results, tables: lr_sensitivity(results.trials, results.runs, results.cells), paper=True
    ),
    "hyperparameters": Table(
        lambda results, tables: hyperparameters(results.trials, results.runs, results.cells), paper=True
    ),
    "importance": Table(lambda results, tables: importance(results.trials, results.cells), paper=True),
    "lr_transfer": Table(lambda results, tables: lr_transfer(results.trials, results.cells)),
    "batch_scaling": Table(lambda results, tables: batch_scaling(tables["target_summary"], results.cells), paper=True),
    "aggregate": Table(lambda results, tables: aggregate(results.runs, results.curves, results.cells), paper=True),
    "probability_of_improvement": Table(
        lambda results, tables, metric: probability_of_improvement(results.runs, results.cells, metric),
        paper=True,
        by_metric=True,
    ),
    "critical_difference": Table(
        lambda results, tables: critical_difference(results.runs, results.curves, results.cells), paper=True
    ),
    "verdicts": Table(
        lambda results, tables, metric: verdicts(results.runs, results.cells, metric=metric),
        paper=True,
        by_metric=True,
    ),
    "tracks": Table(
        lambda results, tables, metric: tracks(results.runs, results.cells, metric), paper=True, by_metric=True
    ),
    "track_agreement": Table(
        lambda results, tables, metric: track_agreement(results.runs, results.cells, metric),
        paper=True,
        by_metric=True,
    ),
    "scaling": Table(lambda results, tables: scaling(results.runs, results.cells), paper=True),
    "scaling_slopes": Table(lambda results, tables: scaling_slopes(results.runs, results.cells), paper=True),
    "projection": Table(lambda results, tables: projection(results.runs, results.cells), paper=True),
    "transfer_rules": Table(lambda results, tables: transfer_rules(results.trials, results.cells), paper=True),
    "rank_stability": Table(
        lambda results, tables, metric: rank_stability(
            results.runs, results.curves, results.cells, tables["time_to_target"], metric
        ),
        paper=True,
        by_metric=True,
    ),
    "failures": Table(
        lambda results, tables: failures(results.trials, results.runs, results.curves, results.cells), paper=True
    ),
    "recommendation": Table(
        lambda results, tables, metric: recommendation(
            results.trials, results.runs, results.cells, curves=results.curves, metric=metric
        ),
        paper=True,
        by_metric=True,
    ),
}
