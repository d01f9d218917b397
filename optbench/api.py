"""The functions of `optbench` for notebooks and scripts, which the command line calls as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.baselines.located import SHIPPED, locate, reference_folder, reject_time_metric
from optbench.config.load import configure, default_name
from optbench.config.schema import Config
from optbench.errors import UserError, out_of_range, unknown
from optbench.metrics import METRICS
from optbench.optimizers.decorator import target_name
from optbench.planning.matrix import Plan, make_plan
from optbench.problem.data import DataSource, default_data_dir, reading_from
from optbench.results.directory import ABOUT, ResultsDirectory
from optbench.runner.progress import SilentProgress

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from optbench.conformance.finding import Finding
    from optbench.reporting.comparison import Comparison
    from optbench.reporting.section import Section
    from optbench.reporting.tier_comparison import TierComparison
    from optbench.results.load import Results
    from optbench.results.stored import StoredResults


def plan(
    config: Config | None = None,
    *,
    name: str | None = None,
    results: str | Path = "results",
    data_dir: str | Path | None = None,
    download: bool = True,
    execution: str = "auto",
    against: str | Path | None = None,
    **choices: Any,
) -> Plan:
    """Plans the cells of a configuration, with their cost in example gradients, without computing anything.

    Args:
        config: The configuration. Instead, `preset`, `file` and any field of `Config` can be given as `choices`
            (`problems=["mlp"]`, `tuning_worth=8`, …).
        name: As for `run`; cells that this directory has in addition to `against` are planned as well.
        results: Folder that contains the results directories.
        data_dir: As for `run`.
        download: As for `run`; a plan downloads nothing.
        execution: How trainings are executed: "auto", "eager", "population", "compile" or "cuda_graph".
        against: Stored results to compare with: "reference", "recipe", or a results directory (its path, or its name in
            `results`). Only the cells that these results lack are planned.
        **choices: See `config`.

    Returns:
        The plan; its attribute `cells` lists the cells.

    Raises:
        UserError: The configuration is not valid, or can't be compared with the stored results.

    Example:
        >>> [cell.id for cell in optbench.plan(problems=["mlp"], optimizers=["adam"]).cells]
    """
    stored = _locate_against(against, results)
    own = None if name is None else Path(results) / _check_name(name)
    return _plan(_configure(config, stored, choices), execution, stored, own, source=_source(data_dir, download=False))


def measure_speeds(plan: Plan, data_dir: str | Path | None = None) -> Plan:
    """Returns a plan whose estimates (`plan.seconds(cell)`) for own problems are measured, in a few seconds.

    Args:
        plan: The result of `plan`.
        data_dir: As for `run`; nothing is downloaded.
    """
    if not any(cell.problem.own for cell in plan.cells):
        return plan
    from optbench.runner.speed import with_measured_speeds  # imports torch

    return with_measured_speeds(plan, _source(data_dir, download=False))


def run(
    config: Config | None = None,
    *,
    name: str | None = None,
    results: str | Path = "results",
    data_dir: str | Path | None = None,
    download: bool = True,
    engine: str = "processes",
    scheduler: str | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    fresh: bool = False,
    execution: str = "auto",
    cell_timeout: float | None = None,
    outputs: bool = True,
    rank_by: str = "test_metric",
    against: str | Path | None = None,
    progress: SilentProgress | None = None,
    **choices: Any,
) -> Results:
    """Runs a benchmark, or resumes an interrupted one, and returns its `Results`.

    Args:
        config: The configuration, or `choices` instead, as for `plan`.
        name: Name of the results directory, a folder in `results` (default: derived from the configuration).
        results: Folder that contains the results directories.
        data_dir: Folder with data sets in torchvision's layout.
        download: Whether data sets that are missing in `data_dir` are downloaded.
        engine: How cells are distributed: "processes", "serial" (one after another in this process) or "dask".
        scheduler: Address of a running Dask scheduler (with engine "dask").
        workers: Number of worker processes (default: one per core).
        retry_failed: Whether failed cells are computed again.
        fresh: Whether the contents of the results directory are deleted first.
        execution: See `plan`.
        cell_timeout: Time limit per cell in seconds; a cell that exceeds it is stopped and recorded as failed.
        outputs: Whether tables, the plots of the page (as SVG) and the page are written; `report` writes them later,
            with all plots in all formats.
        rank_by: The metric by which optimizers are compared (see `optbench list metrics`).
        against: Stored results to compare with, as for `plan`. Only the cells that they lack are computed.
        progress: Receives messages and the completed amount of work (default: nothing is shown).
        **choices: See `config`.

    Returns:
        The results, also if some cells have failed.

    Raises:
        UserError: A setting is invalid (raised before anything is computed), or results can't be written. An error
            within a cell is not raised but recorded in the results.

    A script that uses worker processes needs the usual `if __name__ == "__main__":`.

    Example:
        >>> results = optbench.run(problems=["mlp"], optimizers=["sgd", "adam"], seeds=5, name="first")
    """
    from optbench.reporting.notebook import ShownResults
    from optbench.reporting.outputs import up_to_date, write_outputs
    from optbench.runner.options import RunOptions
    from optbench.runner.run import run as compute

    stored = _locate_against(against, results)
    chosen = _configure(config, stored, choices)
    directory = ResultsDirectory(Path(results) / _check_name(default_name(chosen) if name is None else name))
    _check_metric(rank_by)
    if stored is not None:
        reject_time_metric(rank_by)
    options = RunOptions(
        _source(data_dir, download), engine, workers, retry_failed, fresh, scheduler, cell_timeout, stored,
        intact=outputs and not fresh and up_to_date(directory, rank_by=rank_by),
    )  # fmt: skip
    planned = _plan(chosen, execution, stored, directory.folder, options.elsewhere, options.source)
    with compute(planned, chosen, directory, options, progress) as unchanged:
        if outputs and not unchanged:
            write_outputs(directory, rank_by=rank_by, every_plot=False)
    return ShownResults(directory.folder)


def load(folder: str | Path) -> Results:
    """Opens the results directory `folder`; figures and tables are displayed in notebooks.

    Raises:
        UserError: It is not a results directory, or its schema is unknown.
    """
    from optbench.reporting.notebook import ShownResults

    return ShownResults(folder)


def report(
    folder: str | Path,
    output: str | Path | None = None,
    rank_by: str = "test_metric",
    sections: Sequence[Section] = (),
) -> Path:
    """Writes tables, plots and the HTML page of a results directory, and returns the path of the page.

    Each plot is written as SVG, PNG and PDF. The results may be incomplete. Tables and plots are written to the results
    directory, and those of frozen results to `reports/NAME` in the current folder.

    Args:
        folder: A results directory, frozen results, "reference" or "recipe".
        output: Path of the page (default: `reports/NAME.html`, next to the folder `results`).
        rank_by: The metric by which optimizers are compared (see `optbench list metrics`).
        sections: Additional sections of the page, placed before its methods; see `optbench.reporting.section.Section`.

    Raises:
        UserError: The metric is unknown, or the folder does not contain results.
    """
    from optbench.reporting.outputs import write_frozen_outputs, write_outputs

    _check_metric(rank_by)
    place, page = _results_folder(folder), Path(output) if output else None
    if (place / ABOUT).exists():
        return write_frozen_outputs(place, page, rank_by, sections).report
    directory = ResultsDirectory(place)
    directory.check()
    return write_outputs(directory, page, rank_by, force=True, sections=sections).report


def figure(results: StoredResults, name: str, problem: str | None = None) -> tuple[Axes | list[Axes], pd.DataFrame]:
    """Draws a figure of results.

    Args:
        results: The results, such as those that `load` returns.
        name: Name of the figure, such as "lr_sensitivity"; see `optbench.plots.registry.PLOTS`.
        problem: Label of the problem, for figures of a single problem (default: the first problem).

    Returns:
        The figure's matplotlib axes (a list if there are several), and the frame that they show.

    Raises:
        UserError: The figure or the problem is unknown, or the results do not contain what the figure needs.
    """
    from optbench.metrics.tables import all_tables
    from optbench.plots.glyphs import escape_figure, ignore_missing_glyphs
    from optbench.plots.registry import PLOTS
    from optbench.plots.style import NothingToDraw

    if name not in PLOTS:
        raise unknown("figure", name, PLOTS)
    problems = [str(label) for label in results.cells["problem"].unique()]
    if problem is not None and problem not in problems:
        raise unknown("problem", problem, problems)
    label = (problem or problems[0]) if PLOTS[name].each_problem else ""
    try:
        with ignore_missing_glyphs():
            drawing = PLOTS[name].draw(results, all_tables(results), label)
    except NothingToDraw as reason:
        raise UserError(f"figure {name} can't be drawn: {reason}") from None
    if drawing is None:
        raise UserError(f"figure {name} can't be drawn for {label}, which is not a two-dimensional function")
    escape_figure(drawing[0])
    axes = drawing[0].axes
    return (axes[0] if len(axes) == 1 else axes), drawing[1]


def compare(
    *folders: str | Path,
    reference: str | None = None,
    metric: str = "test_metric",
    output: str | Path | None = None,
) -> Comparison:
    """Compares optimizers on paired seeds, within one results directory or across several.

    Args:
        *folders: Results directories, frozen results, "reference" or "recipe".
        reference: The optimizer with which all others are compared, on the seeds that both have run (default: adam, if
            the results contain it).
        metric: The metric of the comparison (see `optbench list metrics`).
        output: Folder to which tables and plots are written (default: none).

    Returns:
        A `Comparison` with the attributes `verdicts`, `leaderboard`, `tables` and `notes`; `print` shows the verdicts.

    Raises:
        UserError: The results can't be compared, or the reference or the metric is unknown.
    """
    from optbench.reporting.comparison import compare_folders

    return compare_folders(
        [_results_folder(folder) for folder in folders], reference, metric, Path(output) if output else None
    )


def tiers(
    small: str | Path,
    large: str | Path,
    *,
    reference: str | None = None,
    metric: str = "test_metric",
    output: str | Path | None = None,
) -> TierComparison:
    """Shows how far the results of small problems predict those of large ones, with the same optimizers.

    Args:
        small: Results directory of the small tier, frozen results, "reference" or "recipe".
        large: The same of the large tier.
        reference: The optimizer of the verdicts (default: as in `compare`).
        metric: The metric of the ranking (see `optbench list metrics`).
        output: Folder to which the tables are written (default: none).

    Returns:
        A `TierComparison` with the attributes `table`, `tasks` and `notes`; `print` shows it in sentences.

    Raises:
        UserError: The results can't be read, have fewer than two optimizers in common, or the reference or the metric
            is unknown.
    """
    from optbench.reporting.tier_comparison import compare_tier_folders

    folders = _results_folder(small), _results_folder(large)
    return compare_tier_folders(*folders, metric, reference, Path(output) if output else None)


def recommend(
    *folders: str | Path, trials: int | None = None, seconds: float | None = None, memory_mib: float | None = None
) -> pd.DataFrame:
    """Recommends an optimizer for a given tuning budget, with its batch size and learning rate, and the evidence.

    Without a budget, those of the results are considered: no tuning and all of it, and half of it unless it raced.

    Args:
        *folders: Results directories, frozen results, "reference" or "recipe".
        trials: Tuning budget in complete trials, each with the compute of one run; 1 means the default learning rate,
            untuned.
        seconds: Time limit for all tuning trials together, at the speed measured in isolation.
        memory_mib: Memory limit in MiB per step, including optimizer state.

    Returns:
        The table of `optbench.metrics.recommendation`. Its `attrs["notes"]` list what was left out of the comparison,
        and `attrs["constructor"]` is the call that constructs the optimizer recommended for the largest budget; it is
        empty if there is none, or if its values differ between tasks.

    Raises:
        UserError: The results can't be joined, a budget is not valid, or `seconds` is given for results that were
            timed on different machines.
    """
    from optbench.metrics.recommendation import (
        MOST_TRIALS,
        Budget,
        explain_large_budget,
        explain_small_budget,
        recommendation,
    )
    from optbench.metrics.recommended_call import write_recommended
    from optbench.results.frozen import open_results
    from optbench.results.join import join
    from optbench.results.machines import check_seconds

    for name, value in (("trials", trials), ("seconds", seconds), ("memory", memory_mib)):
        if value is not None and not value > 0:
            raise out_of_range(name, value, "above 0")
    if trials is not None and (trials != int(trials) or trials > MOST_TRIALS):
        raise out_of_range("trials", trials, f"a whole number up to {MOST_TRIALS:,}")
    places = [_results_folder(folder) for folder in folders]
    results = open_results(places[0]) if len(places) == 1 else join(places)
    memory = None if memory_mib is None else memory_mib * 2**20
    if seconds is not None:
        check_seconds("seconds of tuning", results.machines, "a number of trials, or no limit")
    budgets = None if (trials, seconds, memory) == (None, None, None) else [Budget(trials, seconds, memory)]
    table = recommendation(results.trials, results.runs, results.cells, budgets, results.curves)
    notes = [*results.warnings, *getattr(results, "notes", ())]
    if trials is not None and trials > 1:
        notes += explain_small_budget(trials, results.trials, results.cells)
        notes += explain_large_budget(trials, results.trials, results.cells)
    table.attrs["notes"] = notes
    table.attrs["constructor"] = write_recommended(table, results)
    return table


def check(
    thing: Any,
    *,
    config: str | Path | None = None,
    device: str = "cpu",
    data_dir: str | Path | None = None,
    download: bool = True,
    only: Sequence[str] = (),
) -> list[Finding]:
    """Checks a problem or an optimizer for anything that would make its results unreliable.

    Args:
        thing: A name, `FILE.py:NAME`, `FILE.py` for all that the file defines, or a class.
        config: A TOML file that defines optimizers.
        device: Device on which the checks run: "auto", "cpu", "cuda", ….
        data_dir: As for `run`.
        download: As for `run`.
        only: Names of the checks to run (default: all).

    Returns:
        Findings, each with a `check`, an `outcome` (`ok`, `failed`, `note` or `skipped`), a `reason` and a `fix`.

    Raises:
        UserError: The problem or the optimizer is unknown, or its package is not installed.
    """
    from optbench.config.own_files import list_definitions

    text = thing if isinstance(thing, str) else target_name(thing)
    names = list_definitions(text) if text.endswith(".py") else [text]
    given: dict[str, Any] = {"config": config, "device": device, "data_dir": data_dir, "download": download}
    return [finding for name in names for finding in iterate_findings(name, **given, only=only)]


def iterate_findings(
    name: str,
    *,
    config: str | Path | None = None,
    device: str = "cpu",
    data_dir: str | Path | None = None,
    download: bool = True,
    only: Sequence[str] = (),
) -> Iterator[Finding]:
    """Yields the findings of `check` one by one, each as soon as its check has run.

    Args:
        name: A name or `FILE.py:NAME`.
        config: As for `check`.
        device: As for `check`.
        data_dir: As for `check`.
        download: As for `check`.
        only: As for `check`.

    Raises:
        UserError: As for `check`.
    """
    from optbench.config.load import load_config
    from optbench.conformance.suite import check as run_checks
    from optbench.machine.device import resolve_device

    tables = load_config(file=Path(config)).model_dump(exclude_none=True, by_alias=True)["optimizer"] if config else {}
    source = _source(data_dir, download)
    with reading_from(source):
        yield from run_checks(name, device=resolve_device(device), tables=tables, source=source, only=only)


def _configure(config: Config | None, stored: Path | None, choices: dict[str, Any]) -> Config:
    if stored is None:
        return configure(config, **choices)
    from optbench.baselines.protocol import load_protocol

    return configure(config, base=load_protocol(stored), **choices)


def _plan(
    config: Config,
    execution: str,
    stored: Path | None,
    own: Path | None = None,
    elsewhere: bool = False,
    source: DataSource | None = None,
) -> Plan:
    planned = make_plan(config, execution, elsewhere, source)
    if stored is None:
        return planned
    from optbench.baselines.against import plan_against

    return plan_against(stored, planned, own)


def _locate_against(against: str | Path | None, results: str | Path) -> Path | None:
    return None if against is None else locate(str(against), Path(results))


def _results_folder(folder: str | Path) -> Path:
    """Returns the folder itself, or that of the shipped results of this name."""
    path = Path(folder)
    return reference_folder(str(folder)) if str(folder) in SHIPPED and not path.exists() else path


def _check_name(name: str) -> str:
    if not name or name in (".", "..") or Path(name).name != name:
        raise UserError(f"invalid results name {name!r} (accepted: a folder name without slashes)")
    return name


def _source(data_dir: str | Path | None, download: bool) -> DataSource:
    return DataSource(Path(data_dir).expanduser() if data_dir else default_data_dir(), download)


def _check_metric(name: str) -> None:
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
