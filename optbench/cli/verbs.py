"""The verbs of the command line. Each calls a function of the package; torch and pandas are imported when needed."""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from optbench.cli import completion, options, text
from optbench.cli.check import check
from optbench.cli.init import init
from optbench.cli.reference import reference as reference_command
from optbench.cli.tiers import tiers
from optbench.cli.timing import timing
from optbench.errors import UserError

COMPLETE, SOME_FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class _Group(click.Group):
    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        wrong = args and not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None
        if wrong and not args[0].startswith("-"):
            from optbench.errors import unknown

            raise unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Group, invoke_without_command=True, subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
@click.version_option(package_name="optbench")
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Compare neural-network optimizers at equal compute, with statistics that support a conclusion.

    Start with `optbench run`, which runs a small benchmark and writes a report. `optbench COMMAND --help` explains
    the options of a command.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
    return WRONG_USE


@cli.command(short_help="Run or resume a benchmark, and write a report.")
@options.selection
@click.option("--name", metavar="NAME", help="Name of the results directory (default: derived from the configuration).")
@options.results
@options.data_dir
@options.no_download
@options.workers
@options.engine
@click.option("--scheduler", metavar="ADDRESS", help="Address of a running Dask scheduler (with --engine dask).")
@options.execution
@click.option(
    "--cell-timeout", type=float, metavar="SECONDS", help="Stop a cell that takes longer, and record it as failed."
)
@click.option("--retry-failed", is_flag=True, help="Compute failed cells again.")
@click.option("--fresh", is_flag=True, help="Delete the contents of the results directory first.")
@options.rank_by
@options.against
def run(
    name: str | None,
    results: Path,
    data_dir: Path | None,
    no_download: bool,
    workers: int | None,
    engine: str,
    scheduler: str | None,
    execution: str,
    cell_timeout: float | None,
    retry_failed: bool,
    fresh: bool,
    rank_by: str,
    against: str | None,
    **selection: Any,
) -> int:
    """Run a benchmark, or resume one: compute the missing cells, then write tables, plots and a report."""
    from optbench import api
    from optbench.runner.progress import for_stderr

    done = api.run(
        name=name, results=results, data_dir=data_dir, download=not no_download, engine=engine, scheduler=scheduler,
        workers=workers, retry_failed=retry_failed, fresh=fresh, execution=execution, cell_timeout=cell_timeout,
        rank_by=rank_by, against=against, progress=for_stderr(), **options.choices(selection),
    )  # fmt: skip
    states = Counter(done.states().values())
    click.echo(text.run_text(done, states))
    return SOME_FAILED if states["failed"] else COMPLETE


@cli.command(short_help="Print the cells of a benchmark, their cost and time.")
@options.selection
@click.option("--name", metavar="NAME", help="Name of the results directory whose cells are stored already.")
@options.data_dir
@options.no_download
@options.execution
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N",
    help="Worker processes that the time estimate assumes (default: one per core).",
)  # fmt: skip
@options.against
@options.results
def plan(
    name: str | None,
    data_dir: Path | None,
    no_download: bool,
    workers: int | None,
    execution: str,
    against: str | None,
    results: Path,
    **selection: Any,
) -> None:
    """Print the cells of a benchmark, their cost and an estimated time, without computing any.

    It accepts the options of `run` that choose the configuration, the results and the data. It downloads nothing. For
    problems of your own, it takes a few steps to measure their speed.
    """
    from optbench import api

    planned = api.plan(
        name=name, data_dir=data_dir, download=not no_download, execution=execution, against=against, results=results,
        **options.choices(selection),
    )  # fmt: skip
    click.echo(text.plan_text(api.measure_speeds(planned, data_dir), workers))
    if name is not None:
        click.echo(text.stored_text(planned, results / name))


@cli.command(short_help="Show which cells are done, failed or missing.")
@click.argument("name", shell_complete=completion.complete_folders)
@options.results
def status(name: str, results: Path) -> int:
    """Show which cells of a results directory are done, failed, missing or damaged.

    NAME is the name of a results directory, or its path. The exit code is 1 if a file is damaged.
    """
    from optbench.results.load import load

    stored = load(_folder(name, results))
    click.echo(text.status_text(stored))
    return SOME_FAILED if stored.damage else COMPLETE


@cli.command(short_help="Write tables, plots and the HTML page.")
@click.argument("name", shell_complete=completion.complete_stored_results)
@options.results
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Path of the HTML page (default: reports/NAME.html).",
)
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@options.rank_by
def report(name: str, results: Path, output: Path | None, show: bool, rank_by: str) -> None:
    """Write tables, plots and the HTML page of a results directory.

    Each plot is written as SVG, PNG and PDF; `run` writes those of the page as SVG. NAME is the name of a results
    directory, its path, `reference` or `recipe`. The directory may be incomplete.
    """
    from optbench.api import report as write

    path = write(_folder(name, results), output, rank_by=rank_by)
    click.echo(path)
    if show:
        click.launch(str(path))


@cli.command(short_help="Compare optimizers on paired seeds.")
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=completion.complete_stored_results)
@options.results
@click.option(
    "--reference",
    metavar="OPTIMIZER",
    help="Optimizer with which all others are compared (default: adam, adamw, sgd, or the first one that was run).",
)
@options.rank_by
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="DIR", help="Folder to which tables and plots are written."
)
def compare(names: tuple[str, ...], results: Path, reference: str | None, rank_by: str, output: Path | None) -> None:
    """Compare optimizers on paired seeds, within one results directory or across several.

    NAME is the name of a results directory, its path, `reference` or `recipe`.
    """
    from optbench import api

    folders = [_folder(name, results) for name in names]
    click.echo(api.compare(*folders, reference=reference, metric=rank_by, output=output))
    if output is not None:
        click.echo(f"\ntables   {output / 'tables'}\nplots    {output / 'plots'}")


@cli.command(short_help="Recommend an optimizer for a given tuning budget.")
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=completion.complete_stored_results)
@options.results
@click.option(
    "--trials",
    type=int,
    metavar="N",
    help="Tuning budget in complete trials, each with the compute of one run; 1 means untuned.",
)
@click.option("--seconds", type=float, metavar="S", help="Time limit in seconds for all tuning trials together.")
@click.option("--memory", type=float, metavar="MIB", help="Memory limit in MiB per step, including optimizer state.")
def recommend(
    names: tuple[str, ...], results: Path, trials: int | None, seconds: float | None, memory: float | None
) -> None:
    """Recommend an optimizer for a given tuning budget, with its batch size, learning rate and evidence.

    NAME is the name of a results directory, its path, or `reference`. Without a budget, those of the results are
    considered: no tuning and all of it, and half of it unless it raced.
    """
    from optbench import api

    folders = [_folder(name, results) for name in names]
    table = api.recommend(*folders, trials=trials, seconds=seconds, memory_mib=memory)
    notes = table.attrs["notes"]
    if table["scope"].nunique() == 2:  # a single task would be answered twice
        table = table[table["scope"] == table["scope"].iloc[0]]
    sentences = [str(sentence) for sentence in table["sentence"] if sentence]
    click.echo("\n".join(sentences) or "no cell has been run: nothing to recommend")
    if (table["recommended"] & table["rests_on"].eq("single trials") & table["regret_high"].isna()).any():
        click.echo("note: trials on a single problem give no interval, so a difference may be due to chance")
    for note in notes:
        click.echo(f"note: {note}")
    if table.attrs["constructor"]:
        click.echo(f"\nin your own script: {table.attrs['constructor']}")


@cli.command("list", short_help="List problems, optimizers, schedules, presets or metrics.")
@click.argument(
    "what", metavar="problems|optimizers|schedules|presets|metrics", shell_complete=completion.complete_lists
)
def list_(what: str) -> None:
    """List what is available, with parameters, defaults and search spaces."""
    click.echo(text.list_text(what))


@cli.command(short_help="Run the lecture's experiments.")
@click.argument("names", nargs=-1, metavar="NAME[parameter=value,…]…", shell_complete=completion.complete_experiments)
@click.option("--list", "listed", is_flag=True, help="List the experiments with the claim that each tests.")
@click.option("--quick", is_flag=True, help="Use embedded data; takes less than a minute per experiment.")
@options.results
@options.data_dir
@options.no_download
@options.device
@options.workers
@click.option(
    "--weights", metavar="FILE|none", help="Pretrained weights, for experiments that start from pretrained networks."
)
@click.option("--report", metavar="NAME", help="Results directory to whose page the experiments are added as sections.")
def experiment(
    names: tuple[str, ...],
    listed: bool,
    quick: bool,
    results: Path,
    data_dir: Path | None,
    no_download: bool,
    device: str,
    workers: int | None,
    weights: str | None,
    report: str | None,
) -> None:
    """Run the lecture's experiments: each tests a claim and gives its prediction, a verdict and a figure.

    NAME is the name of an experiment (--list shows them all), with parameters in brackets.
    """
    if listed:
        click.echo(text.experiments_text())
        return
    if not names:
        raise UserError("missing the name of an experiment (accepted: NAME…, or --list)")
    from optbench.api import report as write
    from optbench.experiments.conduct import experiment as conduct
    from optbench.experiments.conduct import select_experiment
    from optbench.results.directory import ResultsDirectory
    from optbench.runner.progress import for_stderr

    for name in names:
        select_experiment(name)  # a mistake in the last name is reported before the first experiment starts
    if report is not None:
        ResultsDirectory(_folder(report, results)).check()
    sections = []
    for name in names:
        outcome = conduct(
            name, quick=quick, results=results, data_dir=data_dir, download=not no_download, device=device,
            workers=workers, weights=weights, progress=for_stderr(),
        )  # fmt: skip
        click.echo(text.outcome_text(outcome))
        sections.append(outcome.page_section)
    if report is not None:
        click.echo(f"report   {write(_folder(report, results), sections=sections)}")


@cli.command(short_help="Measure step times against plain torch training loops.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder with MNIST in torchvision's layout (default: measure on scikit-learn's digits).",
)  # fmt: skip
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    metavar="N",
    help="Number of paired repetitions.",
)
def bench(data_dir: Path | None, pairs: int) -> None:
    """Measure optbench's step times and throughput against plain torch training loops."""
    from optbench.timing.bench.report import bench_text

    click.echo(bench_text(data_dir, pairs))


cli.add_command(check)
cli.add_command(completion.completion)
cli.add_command(init)
cli.add_command(tiers)
cli.add_command(timing)
cli.add_command(reference_command)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with its code.

    A user's mistake is reported as one line on stderr, with exit code 2.
    """
    sys.exit(_main(arguments))


def _main(arguments: list[str] | None) -> int:
    try:
        code = cli.main(args=arguments, prog_name="optbench", standalone_mode=False)
        return code if isinstance(code, int) else COMPLETE
    except UserError as error:
        return _complain(str(error))
    except click.NoSuchOption as error:
        near = difflib.get_close_matches(error.option_name, error.possibilities or [], n=1)
        return _complain(f"no such option {error.option_name}" + (f"; did you mean {near[0]}?" if near else ""))
    except click.ClickException as error:
        return _complain(error.format_message())
    except (KeyboardInterrupt, click.exceptions.Abort):
        with suppress(OSError):  # the terminal is gone after SIGHUP
            click.echo("optbench: interrupted; the same command resumes", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        return COMPLETE
    except OSError as error:  # a full disk, a file where a folder should be, …
        return _complain(f"{error.filename or 'the disk'}: {error.strerror or error}")


def _complain(message: str) -> int:
    click.echo(f"optbench: {' '.join(message.split())}", err=True)
    return WRONG_USE


def _folder(name: str, results: Path) -> Path:
    """Returns `results / name`, or the path `name` itself if it points to a results directory."""
    from optbench.baselines.located import SHIPPED, locate

    if name in SHIPPED or Path(name).joinpath("about.json").exists():
        return locate(name, results)
    return Path(name) if Path(name).joinpath("format.json").exists() else results / name
