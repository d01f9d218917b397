"""`optbench timing record|compare|ab`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from optbench.timing.recording import Recording

#: The exit code of a regression.
REGRESSION = 3

_results = click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True, metavar="DIR",
    help="Recordings lie in its folder timing.",
)  # fmt: skip
_suite = click.option(
    "--suite", type=click.Path(path_type=Path), default=Path("tests/timing"), show_default=True, metavar="PATH",
    help="A file or folder of benchmarks.",
)  # fmt: skip
_expression = click.option("-k", "expression", default="", metavar="EXPR", help="Some of the tests, as for pytest.")
_bound = click.option(
    "--fail-above", "bound", type=click.FloatRange(min=1, min_open=True), default=1.25, show_default=True,
    metavar="RATIO", help="What counts as slower.",
)  # fmt: skip
_markdown = click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also as Markdown, for a pull request.",
)
_plot = click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Draws every visit: FILE.svg, .png and .pdf.",
)  # fmt: skip
_report = click.option("--report", metavar="NAME", help="Results directory to whose page this is added as a section.")


@click.group()
def timing() -> None:
    """Guard against slowdowns: record benchmarks, compare recordings, measure two commits in turn."""


@timing.command()
@click.argument("name")
@_results
@_suite
@_expression
@click.option("--visits", type=click.IntRange(min=1), default=8, show_default=True, metavar="N", help="Processes.")
@click.option("--force", is_flag=True, help="Replace a recording of this name.")
def record(name: str, results: Path, suite: Path, expression: str, visits: int, force: bool) -> None:
    """Run a suite of benchmarks in several processes, and keep the median of each."""
    from optbench.runner.progress import for_stderr
    from optbench.timing.recording import Recording, place, write
    from optbench.timing.visits import visit

    _require_benchmark(suite)
    path = place(_checked(name), results)
    if path.exists() and not force:
        raise UserError(f"there is a recording {name!r} already ({path}); --force replaces it")
    progress, found = for_stderr(), []
    with progress.phase("measuring", visits) as phase:
        for _ in range(visits):
            found.append(visit(suite, expression=expression))
            phase.advance(1.0)
    recording = Recording(name, tuple(found))
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, recording)
    inexact = sum(
        len((entry.get("extra_info") or {}).get("counters") or {}) - len(recording.tests[entry["fullname"]].counters)
        for entry in found[0]["benchmarks"]
    )
    click.echo(f"{len(recording.tests)} tests, {visits} visits  {path}")
    if inexact:
        click.echo(f"note: {inexact} counters differ from visit to visit, and are left out")


@timing.command()
@click.argument("base")
@click.argument("head")
@_results
@_bound
@click.option("--allow-unlike", is_flag=True, help="Of unlike machines compare only ratios within each.")
@_markdown
@_plot
@_report
def compare(
    base: str,
    head: str,
    results: Path,
    bound: float,
    allow_unlike: bool,
    markdown: Path | None,
    plot: Path | None,
    report: str | None,
) -> int:
    """Compare two recordings (names, or files and folders of pytest-benchmark's). Ends with 3 on a regression."""
    from optbench.timing.machine import differences
    from optbench.timing.recording import read
    from optbench.timing.verdict import compare as judge

    sides = read(base, results), read(head, results)
    frame = judge(*sides, bound, allow_unlike=allow_unlike)
    unlike = differences(sides[0].machine, sides[1].machine)
    for line in unlike:
        click.echo(f"unlike machines: {line}; ratios to reference tests are compared")
    new = sorted(sides[1].tests.keys() - sides[0].tests.keys())
    if new:
        click.echo(f"new, with nothing to compare it with: {', '.join(new)}")
    return _told(frame, *sides, bound, "ratio" if unlike else "", markdown, None if unlike else plot, results, report)


@timing.command()
@click.argument("ref1")
@click.argument("ref2")
@_results
@_suite
@_expression
@_bound
@click.option(
    "--pairs", type=click.IntRange(min=5), default=7, show_default=True, metavar="N",
    help="Visits of each; more where so many tests demand it.",
)  # fmt: skip
@_markdown
@_plot
@_report
def ab(
    ref1: str,
    ref2: str,
    results: Path,
    suite: Path,
    expression: str,
    bound: float,
    pairs: int,
    markdown: Path | None,
    plot: Path | None,
    report: str | None,
) -> int:
    """Check out two commits and measure them in turn, with the present suite. Ends with 3 on a regression."""
    from optbench.machine.signals import terminated_as_interrupt
    from optbench.runner.progress import for_stderr
    from optbench.timing.checkout import sides
    from optbench.timing.interleaved import measure

    _require_benchmark(suite)
    progress = for_stderr()
    with terminated_as_interrupt(), sides([ref1, ref2], suite) as (first, second):
        sitting = measure(
            (ref1, ref2),
            (
                lambda select: first.visit(suite, select, "" if select else expression),
                lambda select: second.visit(suite, select, "" if select else expression),
            ),
            pairs,
            bound,
            tell=progress.message,
        )
    return _told(sitting.frame, sitting.base, sitting.head, bound, "", markdown, plot, results, report)


def _told(
    frame: pd.DataFrame,
    base: Recording,
    head: Recording,
    bound: float,
    unit: str,
    markdown: Path | None,
    plot: Path | None,
    results: Path,
    report: str | None,
) -> int:
    from optbench.results.atomic import write_bytes
    from optbench.timing import text
    from optbench.timing.verdict import FAILING

    click.echo(text.as_table(frame, unit))
    click.echo(f"\n{text.summary(frame, base.label, head.label, bound)}")
    if markdown is not None:
        write_bytes(markdown, text.as_markdown(frame, base.label, head.label, bound, unit).encode())
    if plot is not None:
        from optbench.plots.style import save
        from optbench.timing.plot import distributions

        save(distributions(frame, base, head, bound), plot.parent, plot.stem)
    if report is not None:
        click.echo(f"report   {_added(frame, base, head, bound, results / _checked(report), unit)}")
    return REGRESSION if frame["verdict"].isin(FAILING).any() else 0


def _added(frame: pd.DataFrame, base: Recording, head: Recording, bound: float, folder: Path, unit: str) -> Any:
    """The page of a results directory, written again with a section on these timings."""
    from optbench.api import report as write
    from optbench.reporting.section import Section
    from optbench.timing.plot import distributions
    from optbench.timing.text import sorted_rows, summary

    about = (
        f"{summary(frame, base.label, head.label, bound)}.\n\nA test is slower where the ratio of the medians of its "
        "visits exceeds the bound and an exact rank-sum test, with Holm's correction over all tests, tells the two "
        "sides apart; its interval is the one that this test leaves for the ratio."
    )
    figure = None if unit else distributions(frame, base, head, bound)
    caption = "Ratios to a reference test." if unit else "Median seconds of a visit."
    title = f"Timings: {head.label} against {base.label}"
    section = Section(title, about, sorted_rows(frame), caption, figure, "Dots to the right of the dashed line.")
    return write(folder, sections=[section])


def _require_benchmark(suite: Path) -> None:
    if find_spec("pytest_benchmark") is None:
        raise UserError("timings need pytest-benchmark (pip install 'optbench[timing]')")
    if not suite.exists():
        raise UserError(f"there is no suite {suite} here (--suite PATH names one)")


def _checked(name: str) -> str:
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"{name!r} can't be the name of a recording (accepted: a file's name without a folder)")
    return name
