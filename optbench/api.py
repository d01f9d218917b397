"""The functions that `optbench` offers to notebooks and scripts; the command line calls them too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.baselines.located import REFERENCE, located, reference_folder, refuse_times
from optbench.config.load import configure, default_name
from optbench.config.schema import Config
from optbench.errors import UserError, out_of_range, unknown
from optbench.metrics import METRICS
from optbench.optimizers.decorator import target
from optbench.planning.matrix import Plan, make_plan
from optbench.problem.data import DataSource, default_data_dir
from optbench.results.directory import ABOUT, ResultsDirectory
from optbench.runner.progress import SilentProgress

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from optbench.conformance.finding import Finding
    from optbench.reporting.comparison import Comparison
    from optbench.reporting.section import Section
    from optbench.results.load import Results
    from optbench.results.stored import StoredResults


def plan(
    config: Config | None = None,
    *,
    execution: str = "auto",
    against: str | Path | None = None,
    results: str | Path = "results",
    **choices: Any,
) -> Plan:
    """The cells of a configuration with their cost in example gradients; computes nothing.

    Args:
        config: What is planned. In its place `preset`, `file` and any field of `Config` may be given as `choices`
            (`problems=["mlp"]`, `tuning_worth=8`, …).
        execution: How trainings are executed: "auto", "eager", "population", "compile" or "cuda_graph".
        against: "reference", or a results directory (its path, or its name in `results`); then only the cells that
            these stored results lack are planned.
        results: The folder of results directories.
        **choices: See `config`.

    Raises:
        UserError: The configuration is not valid, or can't be compared with the stored results.

    Example:
        >>> [cell.id for cell in optbench.plan(problems=["mlp"], optimizers=["adam"]).cells]
    """
    stored = _stored(against, results)
    return _plan(_configuration(config, stored, choices), execution, stored)


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
    """Runs a configuration and returns its `Results`; run again, it resumes.

    Args:
        config: What is run; in its place `choices`, as for `plan`.
        name: The results directory, a folder in `results` (default: a name made from the configuration).
        results: The folder of results directories.
        data_dir: Data sets in torchvision's layout; missing ones are downloaded, unless `download=False`.
        download: See `data_dir`.
        engine: What computes: "processes", "serial" or "dask".
        scheduler: With "dask", the address of a running scheduler.
        workers: Number of worker processes (default: one per core).
        retry_failed: Computes failed cells again.
        fresh: Deletes what the results directory holds first.
        execution: See `plan`.
        cell_timeout: Seconds after which a cell is stopped and recorded as failed.
        outputs: Writes tables, plots and the page; `report` does that later.
        rank_by: The metric that optimizers are compared by, one of `optbench list metrics`.
        against: As for `plan`: only the cells that these stored results lack are computed, and reported with them.
        progress: Receives messages and the share that is done.
        **choices: See `config`.

    Raises:
        UserError: Invalid settings, found before anything is computed. What fails within a cell is a row of the
            results instead.

    A script that uses worker processes needs the usual `if __name__ == "__main__":`.

    Example:
        >>> results = optbench.run(problems=["mlp"], optimizers=["sgd", "adam"], seeds=5, name="first")
    """
    from optbench.reporting.notebook import ShownResults
    from optbench.reporting.outputs import up_to_date, write_outputs
    from optbench.runner.options import RunOptions
    from optbench.runner.run import run as compute
    from optbench.runner.run import unwritable

    stored = _stored(against, results)
    chosen = _configuration(config, stored, choices)
    directory = ResultsDirectory(Path(results) / _folder_name(name or default_name(chosen)))
    _check_metric(rank_by)
    if stored is not None:
        refuse_times(rank_by)
    options = RunOptions(
        _source(data_dir, download), engine, workers, retry_failed, fresh, scheduler, cell_timeout, stored,
        intact=outputs and not fresh and up_to_date(directory, rank_by=rank_by),
    )  # fmt: skip
    planned = _plan(chosen, execution, stored, directory.folder, options.elsewhere)
    outcome = compute(planned, chosen, directory, options, progress)
    if outputs and not outcome.unchanged:
        try:
            with directory.lock():
                write_outputs(directory, rank_by=rank_by)
        except OSError as error:
            raise unwritable(error, directory.folder) from error
    return ShownResults(directory.folder, outcome.states)


def load(folder: str | Path) -> Results:
    """Opens the results directory `folder`.

    Raises UserError where there is none, or one of an unknown schema.
    """
    from optbench.reporting.notebook import ShownResults

    return ShownResults(folder)


def report(
    folder: str | Path,
    output: str | Path | None = None,
    rank_by: str = "test_metric",
    sections: Sequence[Section] = (),
) -> Path:
    """Writes tables, plots and the HTML page of a results directory, also a partial one, and returns the page's path.

    Args:
        folder: A results directory, frozen results, or "reference".
        output: Where the page goes (default: `reports/NAME.html` beside `results`). Tables and plots are in the results
            directory; those of frozen results are in `reports/NAME`, below the current folder.
        rank_by: The metric that optimizers are compared by, one of `optbench list metrics`.
        sections: Further sections of the page, before its methods; see `optbench.reporting.section.Section`.

    Raises:
        UserError: An unknown metric, or no results.
    """
    from optbench.reporting.outputs import write_frozen_outputs, write_outputs

    _check_metric(rank_by)
    place, page = _place(folder), Path(output) if output else None
    if (place / ABOUT).exists():
        return write_frozen_outputs(place, page, rank_by, sections).report
    directory = ResultsDirectory(place)
    directory.check()
    return write_outputs(directory, page, rank_by, force=True, sections=sections).report


def figure(results: StoredResults, name: str, problem: str | None = None) -> tuple[Axes | list[Axes], pd.DataFrame]:
    """A figure of `results` (what `load` gives): its matplotlib axes, and the frame that they show.

    `name` is that of one of the plots (`optbench.plots.registry.PLOTS`), such as "lr_sensitivity"; `problem` a label
    in the results, for figures of one problem (by default the first). Of several axes there is a list. Raises
    UserError for an unknown name or problem, and where the results don't suffice, with what is missing.
    """
    from optbench.metrics.tables import all_tables
    from optbench.plots.registry import PLOTS
    from optbench.plots.style import NothingToDraw

    if name not in PLOTS:
        raise unknown("figure", name, PLOTS)
    problems = [str(label) for label in results.cells["problem"].unique()]
    if problem is not None and problem not in problems:
        raise unknown("problem", problem, problems)
    label = (problem or problems[0]) if PLOTS[name].each_problem else ""
    try:
        drawn = PLOTS[name].draw(results, all_tables(results), label)
    except NothingToDraw as reason:
        raise UserError(f"figure {name} can't be drawn: {reason}") from None
    if drawn is None:
        raise UserError(f"figure {name} has no meaning for {label}, which is no function of the plane")
    axes = drawn[0].axes
    return (axes[0] if len(axes) == 1 else axes), drawn[1]


def compare(
    *folders: str | Path,
    reference: str | None = None,
    metric: str = "test_metric",
    output: str | Path | None = None,
) -> Comparison:
    """Who is better than whom, in one results directory or in several side by side, the `folders`.

    Returns a `Comparison` with `.verdicts`, `.leaderboard`, `.tables` and `.notes`; `print` shows the verdicts. Every
    optimizer is judged against `reference` (default: adam, if it is there) by `metric`, on seeds that both have run.
    With `output`, tables and plots are written below it. Raises UserError for what can't be compared.
    """
    from optbench.reporting.comparison import compare_folders

    return compare_folders([_place(folder) for folder in folders], reference, metric, Path(output) if output else None)


def recommend(
    *folders: str | Path, trials: int | None = None, seconds: float | None = None, memory_mib: float | None = None
) -> pd.DataFrame:
    """Which optimizer to take, from the results directories `folders`: the frame of `metrics.recommendation`.

    The budget is what tuning may take: `trials`, `seconds` of all of them together at the speed measured in isolation,
    and `memory_mib` that a step allocates; without any, those that the results speak of. What was left out in
    joining is in the frame's `attrs["notes"]`. Raises UserError for what can't be joined or is no budget.
    """
    from optbench.metrics.recommendation import MOST_TRIALS, Budget, recommendation
    from optbench.results.frozen import opened
    from optbench.results.join import join

    for what, value in (("trials", trials), ("seconds", seconds), ("memory", memory_mib)):
        if value is not None and not value > 0:
            raise out_of_range(what, value, "above 0")
    if trials is not None and (trials != int(trials) or trials > MOST_TRIALS):
        raise out_of_range("trials", trials, f"a whole number up to {MOST_TRIALS:,}")
    places = [_place(folder) for folder in folders]
    results = opened(places[0]) if len(places) == 1 else join(places)
    memory = None if memory_mib is None else memory_mib * 2**20
    budgets = None if (trials, seconds, memory) == (None, None, None) else [Budget(trials, seconds, memory)]
    table = recommendation(results.trials, results.runs, results.cells, budgets)
    table.attrs["notes"] = list(getattr(results, "notes", ()))
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
    """The findings of the conformance suite on a problem or an optimizer.

    Args:
        thing: A name, `FILE.py:NAME`, or a class.
        config: A TOML file whose optimizers may be named.
        device: Where the checks run: "auto", "cpu", "cuda", ….
        data_dir: As for `run`.
        download: As for `run`.
        only: The names of the checks to run (default: all).

    Returns:
        Findings, each with a `check`, an `outcome` (`ok`, `failed`, `note` or `skipped`), a `reason` and a `fix`.

    Raises:
        UserError: The thing can't be found or isn't installed.
    """
    text = thing if isinstance(thing, str) else target(thing)
    return list(iterate_findings(text, config=config, device=device, data_dir=data_dir, download=download, only=only))


def iterate_findings(
    name: str,
    *,
    config: str | Path | None = None,
    device: str = "cpu",
    data_dir: str | Path | None = None,
    download: bool = True,
    only: Sequence[str] = (),
) -> Iterator[Finding]:
    """The findings of `check` one by one, as soon as each is known."""
    from optbench.config.load import load_config
    from optbench.conformance.suite import check as checked
    from optbench.machine.device import resolve

    tables = load_config(file=Path(config)).model_dump(exclude_none=True, by_alias=True)["optimizer"] if config else {}
    yield from checked(name, device=resolve(device), tables=tables, source=_source(data_dir, download), only=only)


def _configuration(config: Config | None, stored: Path | None, choices: dict[str, Any]) -> Config:
    if stored is None:
        return configure(config, **choices)
    from optbench.baselines.protocol import protocol_of

    return configure(config, base=protocol_of(stored), **choices)


def _plan(
    config: Config, execution: str, stored: Path | None, own: Path | None = None, elsewhere: bool = False
) -> Plan:
    planned = make_plan(config, execution, elsewhere)
    if stored is None:
        return planned
    from optbench.baselines.against import compared_with

    return compared_with(stored, planned, own)


def _stored(against: str | Path | None, results: str | Path) -> Path | None:
    return None if against is None else located(str(against), Path(results))


def _place(folder: str | Path) -> Path:
    """The folder itself, or that of the reference results."""
    path = Path(folder)
    return reference_folder() if str(folder) == REFERENCE and not path.exists() else path


def _folder_name(name: str) -> str:
    if not name or name in (".", "..") or Path(name).name != name:
        raise UserError(f"invalid results name {name!r} (use letters, digits, dots, dashes; no slashes)")
    return name


def _source(data_dir: str | Path | None, download: bool) -> DataSource:
    return DataSource(Path(data_dir).expanduser() if data_dir else default_data_dir(), download)


def _check_metric(name: str) -> None:
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
