"""The functions that `optbench` offers to notebooks and scripts: what the command line does."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.config import Config, load_config
from optbench.declare import target
from optbench.errors import UserError, out_of_range, unknown
from optbench.locations import default_data_dir, default_name
from optbench.matrix import Plan, make_plan
from optbench.metrics import METRICS
from optbench.problem import DataSource
from optbench.progress import SilentProgress

if TYPE_CHECKING:
    from optbench.conformance.finding import Finding
    from optbench.reporting.section import Section


def configure(
    config: Config | None = None,
    *,
    preset: str | None = None,
    file: Path | None = None,
    against: Path | None = None,
    **choices: Any,
) -> Config:
    """A configuration from a `preset`, a TOML `file` and `choices` such as `optimizers=["adam"]`, `seeds=5`, of which
    the later wins; or `config` as it is, where there is nothing else.

    Where no preset is named, that is `quick`, or what the stored results in the folder `against` were computed with.
    Choices have the names of the TOML keys, the fields of `Config`; `tuning_worth` stands for `tuning.worth`.
    Optimizers and problems may be classes, if these are in a file. Raises UserError for what is no configuration.
    """
    if config is not None and not (choices or preset or file):
        return config
    named = {key.replace("tuning_", "tuning.", 1): value for key, value in choices.items()}
    named = {key: list(value) if isinstance(value, (tuple, set)) else value for key, value in named.items()}
    for key in ("problems", "optimizers"):
        if key in named and not isinstance(named[key], str):
            named[key] = [target(item) if callable(item) else item for item in named[key]]
    if against is None:
        return load_config(preset, file, named)
    from optbench.baselines.protocol import protocol_of

    return load_config(preset, file, named, protocol_of(against))


def plan(
    config: Config | None = None,
    *,
    execution: str = "auto",
    against: str | Path | None = None,
    results: str | Path = "results",
    **choices: Any,
) -> Plan:
    """The cells of a configuration with their cost in example gradients; computes nothing.

    `config` is a `Config`; in its place `preset`, `file` and any field of it may be given (`problems=["mlp"]`,
    `tuning_worth=8`, …), the `choices`. `execution` says how trainings are executed: "auto", "eager", "population",
    "compile" or "cuda_graph". With `against`, "reference" or a results directory (by its path, or its name in
    `results`), only the cells that aren't there. Raises UserError for what is no configuration.
    """
    if against is None:
        return make_plan(configure(config, **choices), execution)
    from optbench.baselines.against import compared_with
    from optbench.baselines.located import located

    stored = located(str(against), Path(results))
    return compared_with(stored, make_plan(configure(config, against=stored, **choices), execution))[0]


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
    against: str | Path | None = None,
    progress: SilentProgress | None = None,
    **choices: Any,
) -> Any:
    """Runs a configuration and returns its `Results`; run again, it resumes.

    What is run: `config`, or in its place the `choices`, with `execution`, as for `plan`. Where: the folder `name`
    (default: one made of the configuration) in `results`; with `fresh`, what is there is forgotten first. On which
    data: that in `data_dir`, in torchvision's layout, which is fetched where it isn't there, but for `download=False`.

    Who computes: `engine`, "processes", "serial" or "dask", with so many `workers` (default: one a core), for dask
    optionally those of a `scheduler` by its address. `progress` is told how far it is. A cell that takes longer than
    `cell_timeout` seconds is killed, and recorded; `retry_failed` computes failed cells again. Without `outputs` no
    tables, plots and page are written: `report` does that later. With `against`, "reference" or a results directory,
    only cells that aren't there are computed, and tables, plots and page compare with those that are.

    Raises UserError for what can't work. What fails within a cell is a row of the results instead. A script that uses
    worker processes needs the usual `if __name__ == "__main__":`.
    """
    from optbench.baselines.located import located
    from optbench.results.load import load
    from optbench.run_options import RunOptions
    from optbench.runner import run as execute

    stored = None if against is None else located(str(against), Path(results))
    chosen = configure(config, against=stored, **choices)
    folder = Path(results) / (name or default_name(chosen))
    source = DataSource(Path(data_dir).expanduser() if data_dir else default_data_dir(), download)
    options = RunOptions(
        source, engine, workers, retry_failed, fresh, execution=execution, outputs=outputs, scheduler=scheduler,
        cell_timeout=cell_timeout, against=stored,
    )  # fmt: skip
    execute(chosen, folder, options, progress)
    return load(folder)


def report(
    folder: str | Path,
    output: str | Path | None = None,
    rank_by: str = "test_metric",
    sections: Sequence[Section] = (),
) -> Path:
    """Writes tables, plots and the HTML page of the results directory `folder`, also a partial one, or a frozen one.

    Returns where the page is: `output`, or by default `reports/NAME.html` beside `results`. Tables and plots are in the
    results directory; of frozen results, such as the reference, they are in `reports/NAME`, and `reports` is here.
    `rank_by`, one of `optbench list metrics`, is what optimizers are compared by. `sections` (see
    `optbench.reporting.section.Section`) are added to the page, before its methods. Raises UserError for an unknown
    metric, and where there are no results.
    """
    from optbench.outputs import write_frozen_outputs, write_outputs
    from optbench.results.directory import ABOUT, ResultsDirectory

    if rank_by not in METRICS:
        raise unknown("metric", rank_by, METRICS)
    place, page = Path(folder), Path(output) if output else None
    if (place / ABOUT).exists():
        return write_frozen_outputs(place, page, rank_by, sections).report
    directory = ResultsDirectory(place)
    directory.check()
    return write_outputs(directory, page, rank_by, force=True, sections=sections).report


def figure(results: Any, name: str, problem: str | None = None) -> tuple[Any, Any]:
    """A figure of `results` (what `load` gives): its matplotlib axes, and the frame that they show.

    `name` is that of one of the plots (`optbench.plots.registry.PLOTS`), such as "lr_sensitivity"; `problem` a label
    in the results, for figures of one problem (by default the first). Of several axes there is a list. Raises
    UserError for an unknown name or problem, and where the results don't suffice, with what is missing.
    """
    from optbench.plots.registry import PLOTS
    from optbench.plots.style import NothingToDraw
    from optbench.tables import all_tables

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
) -> Any:
    """Who is better than whom, in one results directory or in several side by side, the `folders`.

    Returns a `Comparison` with `.verdicts`, `.leaderboard`, `.tables` and `.notes`; `print` shows the verdicts. Every
    optimizer is judged against `reference` (default: adam, if it is there) by `metric`, on seeds that both have run.
    With `output`, tables and plots are written below it. Raises UserError for what can't be compared.
    """
    from optbench.comparison import compare_folders

    return compare_folders([Path(folder) for folder in folders], reference, metric, Path(output) if output else None)


def recommend(
    *folders: str | Path, trials: int | None = None, seconds: float | None = None, memory_mib: float | None = None
) -> Any:
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
    results = opened(folders[0]) if len(folders) == 1 else join(folders)
    memory = None if memory_mib is None else memory_mib * 2**20
    budgets = None if (trials, seconds, memory) == (None, None, None) else [Budget(trials, seconds, memory)]
    table = recommendation(results.trials, results.runs, results.cells, budgets)
    table.attrs["notes"] = list(getattr(results, "notes", ()))
    return table


def check(
    thing: Any,
    *,
    device: str = "cpu",
    data_dir: str | Path | None = None,
    download: bool = True,
    only: Sequence[str] = (),
) -> list[Finding]:
    """The findings of the conformance suite on a problem or an optimizer, `thing`: a name, `FILE.py:NAME`, a class.

    Each has a `check`, an `outcome` (`ok`, `failed`, `note` or `skipped`), a `reason` and a `fix`. `only` names some of
    the checks. They are done on `device` ("cpu", "cuda", …), on data in `data_dir` that is fetched where it isn't
    there, but for `download=False`. Raises UserError for what can't be found or isn't installed.
    """
    from optbench.conformance.suite import check as findings

    source = DataSource(Path(data_dir).expanduser() if data_dir else default_data_dir(), download)
    text = thing if isinstance(thing, str) else target(thing)
    return list(findings(text, device=device, source=source, only=only))


def experiment(
    text: str,
    *,
    quick: bool = False,
    results: str | Path = "results",
    data_dir: str | Path | None = None,
    download: bool = True,
    device: str = "cpu",
    engine: str = "processes",
    workers: int | None = None,
    weights: str | None = None,
    progress: SilentProgress | None = None,
) -> Any:
    """Conducts one of the lecture's experiments; conducted again, it resumes.

    `text` is `NAME` or `NAME[parameter=value,…]`. `device`, `data_dir`, `download`, `engine`, `workers` and `progress`
    are as for `run`; `weights` is a file of pretrained ones, or "none", for experiments that start from some.

    Returns an `Outcome` with `.verdict`, `.summary`, `.tables` and `.figure`, all of which is also written to
    `experiments` in `results` (`experiments-quick` with `quick`, which needs no network and less than a minute). Raises
    UserError for what can't be measured.
    """
    from optbench.device import resolve
    from optbench.experiments.conduct import conduct
    from optbench.experiments.experiment import Setting
    from optbench.experiments.registry import experiment as named

    found = named(text)
    folder = Path(results) / ("experiments-quick" if quick else "experiments") / found.name
    source = DataSource(Path(data_dir).expanduser() if data_dir else default_data_dir(), download and not quick)
    setting = Setting(
        folder, found.size(quick), source, resolve(device), workers, engine, weights, progress or SilentProgress()
    )
    command = f"python -m optbench experiment {shlex.quote(text)}" + (" --quick" if quick else "")
    return conduct(found, setting, command)
