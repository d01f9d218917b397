"""The command line: thin verbs over the functions of the package; torch and pandas wait until needed."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any

import click

from optbench.cli import completion, options, text
from optbench.cli.check import check
from optbench.cli.init import init
from optbench.cli.reference import reference as reference_command
from optbench.cli.timing import timing
from optbench.errors import UserError

COMPLETE, SOME_FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class _Group(click.Group):
    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        wrong = args and not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None
        if wrong and not args[0].startswith("-"):
            from optbench.errors import unknown

            raise unknown("verb", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="optbench")
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Benchmarks optimizers: equal compute, tuned learning rates, fresh seeds, honest figures."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
    return WRONG_USE


@cli.command()
@options.selection
@click.option("--name", metavar="NAME", help="Name of the results directory (default: from the configuration).")
@options.results
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Data sets in torchvision's layout.")
@click.option("--no-download", is_flag=True, help="Use only data that is there.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Worker processes (default: one a core).")
@options.engine
@click.option("--scheduler", metavar="ADDRESS", help="Of engine dask: a scheduler whose workers compute.")
@options.execution
@click.option("--cell-timeout", type=float, metavar="SECONDS", help="Kill a cell that takes longer, and go on.")
@click.option("--retry-failed", is_flag=True, help="Compute failed cells again.")
@click.option("--fresh", is_flag=True, help="Forget what is in the results directory.")
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
    """Run a benchmark, or resume it: computes what is missing, writes tables, plots and a report."""
    from optbench import api
    from optbench.runner.progress import for_stderr

    done = api.run(
        name=name, results=results, data_dir=data_dir, download=not no_download, engine=engine, scheduler=scheduler,
        workers=workers, retry_failed=retry_failed, fresh=fresh, execution=execution, cell_timeout=cell_timeout,
        rank_by=rank_by, against=against, progress=for_stderr(), **options.choices(selection),
    )  # fmt: skip
    click.echo(text.run_text(done))
    return SOME_FAILED if "failed" in done.states().values() else COMPLETE


@cli.command()
@options.selection
@options.execution
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="For the estimate of the time.")
@options.against
@options.results
def plan(workers: int | None, execution: str, against: str | None, results: Path, **selection: Any) -> None:
    """Print the cells of a benchmark, their cost and an estimated time; runs nothing."""
    from optbench import api

    planned = api.plan(execution=execution, against=against, results=results, **options.choices(selection))
    click.echo(text.plan_text(planned, workers))


@cli.command()
@click.argument("name", shell_complete=completion.folders)
@options.results
def status(name: str, results: Path) -> None:
    """Show the done, failed and missing cells of a results directory."""
    click.echo(text.status_text(_folder(name, results)))


@cli.command()
@click.argument("name", shell_complete=completion.stored)
@options.results
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Where the HTML page goes.")
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@options.rank_by
def report(name: str, results: Path, output: Path | None, show: bool, rank_by: str) -> None:
    """Write tables, plots and the HTML page of a results directory, also of a partial one, or of the reference."""
    from optbench.api import report as write

    path = write(_folder(name, results), output, rank_by=rank_by)
    click.echo(path)
    if show:
        click.launch(str(path))


@cli.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=completion.stored)
@options.results
@click.option("--reference", metavar="OPTIMIZER", help="Whom all others are judged against (default: adam).")
@options.rank_by
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Writes tables and plots there, too.")
def compare(names: tuple[str, ...], results: Path, reference: str | None, rank_by: str, output: Path | None) -> None:
    """Say who is better than whom, from paired seeds: within a results directory, or over several."""
    from optbench import api

    folders = [_folder(name, results) for name in names]
    click.echo(api.compare(*folders, reference=reference, metric=rank_by, output=output))
    if output is not None:
        click.echo(f"\ntables   {output / 'tables'}\nplots    {output / 'plots'}")


@cli.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=completion.stored)
@options.results
@click.option("--trials", type=int, metavar="N", help="Trials that tuning may take; 1 is the default rate alone.")
@click.option("--seconds", type=float, metavar="S", help="Seconds of all trials together.")
@click.option("--memory", type=float, metavar="MIB", help="MiB that a step may allocate, optimizer's state included.")
def recommend(
    names: tuple[str, ...], results: Path, trials: int | None, seconds: float | None, memory: float | None
) -> None:
    """Say which optimizer to take for a tuning budget, starting at which rate, with the regret to expect."""
    from optbench.api import recommend as rows_of

    folders = [_folder(name, results) for name in names]
    table = rows_of(*folders, trials=trials, seconds=seconds, memory_mib=memory)
    sentences = [str(sentence) for sentence in table["sentence"] if sentence]
    click.echo("\n".join(sentences) or "no trials: nothing to recommend")
    for note in table.attrs["notes"]:
        click.echo(f"note: {note}")


@cli.command("list")
@click.argument("what", metavar="problems|optimizers|presets|metrics", shell_complete=completion.listed)
def list_(what: str) -> None:
    """List what there is, with parameters, defaults and search spaces."""
    click.echo(text.list_text(what))


@cli.command()
@click.argument("names", nargs=-1, metavar="NAME[parameter=value,…]…", shell_complete=completion.experiments)
@click.option("--list", "listed", is_flag=True, help="Name the experiments, with the claim that each tests.")
@click.option("--quick", is_flag=True, help="On embedded data, in less than a minute each.")
@options.results
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Data sets in torchvision's layout.")
@click.option("--no-download", is_flag=True, help="Use only data that is there.")
@click.option("--device", default="cpu", show_default=True, metavar="DEVICE", help="auto, cpu, cuda, …")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Worker processes (default: one a core).")
@click.option("--weights", metavar="FILE|none", help="Pretrained weights, for experiments that start from some.")
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
    """Conduct the lecture's experiments: a claim, what it predicts, what is measured, a verdict and a figure."""
    if listed:
        click.echo(text.experiments_text())
        return
    if not names:
        raise UserError("no experiment is named (accepted: NAME…, or --list)")
    from optbench.api import report as write
    from optbench.experiments.claims import select_experiment
    from optbench.experiments.conduct import experiment as conduct
    from optbench.results.directory import ResultsDirectory
    from optbench.runner.progress import for_stderr

    for name in names:
        select_experiment(name)  # a mistake in the last one is found before the first one starts
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


@cli.command()
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Measure on the real MNIST there.")
@click.option("--pairs", type=click.IntRange(min=1), default=5, show_default=True, help="Paired repetitions.")
def bench(data_dir: Path | None, pairs: int) -> None:
    """Measure step times and throughput against plain torch loops, side by side."""
    from optbench.timing.bench.report import bench_text

    click.echo(bench_text(data_dir, pairs))


cli.add_command(check)
cli.add_command(completion.completion)
cli.add_command(init)
cli.add_command(timing)
cli.add_command(reference_command)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with its code; a user's mistake is one line on stderr."""
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
    """The results directory NAME, or NAME itself where that is a path to one."""
    from optbench.baselines.located import REFERENCE, located

    if name == REFERENCE or Path(name).joinpath("about.json").exists():
        return located(name, results)
    return Path(name) if Path(name).joinpath("format.json").exists() else results / name
