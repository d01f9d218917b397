"""The verbs `optbench timing record`, `compare` and `ab`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from optbench.timing.recording import Recording

#: The exit code of a regression.
REGRESSION = 3

_results = click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True, metavar="DIR",
    help="Folder that contains the results directories; recordings are in its subfolder `timing`.",
)  # fmt: skip
_suite = click.option(
    "--suite", type=click.Path(path_type=Path), default=Path("tests/timing"), show_default=True, metavar="PATH",
    help="File or folder with benchmarks (pytest-benchmark).",
)  # fmt: skip
_expression = click.option(
    "-k", "expression", default="", metavar="EXPR", help="Run only tests that match this expression (as for pytest)."
)
_bound = click.option(
    "--fail-above", "bound", type=click.FloatRange(min=1, min_open=True), default=1.25, show_default=True,
    metavar="RATIO", help="Ratio of medians above which a test counts as slower.",
)  # fmt: skip
_markdown = click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the comparison to this file as Markdown, for a pull request.",
)
_plot = click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Draw every visit to FILE.svg, FILE.png and FILE.pdf.",
)  # fmt: skip
_report = click.option(
    "--report", metavar="NAME", help="Results directory to whose page the comparison is added as a section."
)


@click.group(short_help="Detect slowdowns between recordings or commits.")
def timing() -> None:
    """Detect slowdowns: record benchmarks, compare recordings, or measure two commits side by side."""


@timing.command(short_help="Run benchmarks and record their times.")
@click.argument("name")
@_results
@_suite
@_expression
@click.option(
    "--visits", type=click.IntRange(min=1), default=8, show_default=True, metavar="N",
    help="Number of visits: each runs the whole suite in a fresh process.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace an existing recording of this name.")
def record(name: str, results: Path, suite: Path, expression: str, visits: int, force: bool) -> None:
    """Run a suite of benchmarks in several fresh processes, and record the time of each test under NAME."""
    from optbench.runner.progress import for_stderr
    from optbench.timing.recording import Recording, place, write
    from optbench.timing.visits import visit

    _require_benchmark(suite)
    path = place(_check_name(name), results)
    if path.exists() and not force:
        raise UserError(f"recording {name!r} already exists ({path}); --force replaces it")
    progress, documents = for_stderr(), []
    with progress.phase("measuring", visits) as phase:
        for _ in range(visits):
            documents.append(visit(suite, expression=expression))
            phase.advance(1.0)
    recording = Recording(name, tuple(documents))
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, recording)
    inexact = sum(
        len((entry.get("extra_info") or {}).get("counters") or {}) - len(recording.tests[entry["fullname"]].counters)
        for entry in documents[0]["benchmarks"]
    )
    click.echo(f"{len(recording.tests)} tests, {visits} visits  {path}")
    if inexact:
        click.echo(f"note: {inexact} counters differ between visits and are left out")


@timing.command(short_help="Compare two recordings.")
@click.argument("base")
@click.argument("head")
@_results
@_bound
@click.option(
    "--allow-unlike", is_flag=True,
    help="Compare recordings of unlike machines, by each machine's ratios to its reference tests.",
)  # fmt: skip
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
    """Compare two recordings: is HEAD slower than BASE?

    BASE and HEAD are names of recordings, or files or folders that pytest-benchmark has written. The exit code is 3
    if a test is slower, otherwise 0.
    """
    from optbench.timing.machine import differences, unknown_facts
    from optbench.timing.recording import read
    from optbench.timing.verdict import compare as judge

    sides = read(base, results), read(head, results)
    frame = judge(*sides, bound, allow_unlike=allow_unlike)
    unlike = differences(sides[0].machine, sides[1].machine)
    for line in unlike:
        click.echo(f"unlike machines: {line}; only ratios to reference tests are compared")
    if unknown := unknown_facts(sides[0].machine, sides[1].machine):
        click.echo(f"note: not recorded on both sides, and taken to be equal: {', '.join(unknown)}")
    new = sorted(sides[1].tests.keys() - sides[0].tests.keys())
    if new:
        click.echo(f"new tests, not in {sides[0].label}: {', '.join(new)}")
    return _report_comparison(
        frame, *sides, bound, "ratio" if unlike else "", markdown, None if unlike else plot, results, report
    )


@timing.command(short_help="Measure two commits in turn.")
@click.argument("ref1")
@click.argument("ref2")
@_results
@_suite
@_expression
@_bound
@click.option(
    "--pairs", type=click.IntRange(min=5), default=7, show_default=True, metavar="N",
    help="Number of visits per commit; raised if the correction for many tests needs more.",
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
    """Check out two commits and measure them in turn: is REF2 slower than REF1?

    Both are measured with the benchmarks of the current checkout. The exit code is 3 if a test is slower, otherwise 0.
    """
    from optbench.machine.signals import endings_as_interrupts
    from optbench.runner.progress import for_stderr
    from optbench.timing.checkout import sides
    from optbench.timing.interleaved import measure

    _require_benchmark(suite)
    progress = for_stderr()
    with endings_as_interrupts(), sides([ref1, ref2], suite) as (first, second):
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
    return _report_comparison(sitting.frame, sitting.base, sitting.head, bound, "", markdown, plot, results, report)


def _report_comparison(
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
        click.echo(f"report   {_add_section(frame, base, head, bound, results / _check_name(report), unit)}")
    return REGRESSION if frame["verdict"].isin(FAILING).any() else 0


def _add_section(frame: pd.DataFrame, base: Recording, head: Recording, bound: float, folder: Path, unit: str) -> Path:
    """Writes the page of a results directory with a section on these timings, and returns its path."""
    from optbench.api import report as write
    from optbench.reporting.section import Section
    from optbench.timing.plot import distributions
    from optbench.timing.text import sort_rows, summary

    about = (
        f"{summary(frame, base.label, head.label, bound)}.\n\nA test is slower if the ratio of the medians over its "
        "visits exceeds the bound and an exact rank-sum test, with Holm's correction over all tests, rejects the "
        "hypothesis that both sides are equally fast. The interval of the ratio is obtained by inverting this test."
    )
    figure = None if unit else distributions(frame, base, head, bound)
    caption = "Ratios to a reference test." if unit else "Seconds of each visit."
    title = f"Timings: {head.label} against {base.label}"
    section = Section(title, about, sort_rows(frame), caption, figure, "Dots to the right of the dashed line.")
    return write(folder, sections=[section])


def _require_benchmark(suite: Path) -> None:
    if find_spec("pytest_benchmark") is None:
        raise UserError("timings need pytest-benchmark (pip install 'optbench[timing]')")
    if not suite.exists():
        raise UserError(f"suite {suite} does not exist (--suite PATH chooses another one)")


def _check_name(name: str) -> str:
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"invalid recording name {name!r} (use letters, digits, dots, dashes; no slashes)")
    return name
