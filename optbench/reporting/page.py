"""The report page: tables and figures in, one self-contained HTML text out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, TypedDict

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from optbench.metrics.verdicts import chosen_reference
from optbench.plots.draw import Picture
from optbench.reporting import header, images, matrices, trust
from optbench.reporting import html_tables as content
from optbench.reporting.bundle import packed, plotly_packed
from optbench.reporting.figures import FIGURES, MORE, Slot
from optbench.reporting.images import static_figures
from optbench.reporting.inline import inlined
from optbench.reporting.methods import methods
from optbench.reporting.page_data import handed_on, shared_json
from optbench.reporting.payload import script_safe
from optbench.reporting.section import Section
from optbench.reporting.standings import standings
from optbench.results.frozen import Frozen

#: The scripts of the page, in the order in which they build on each other.
SCRIPTS = (
    "format", "frames", "state", "statistics", "standings", "tables", "matrices", "figure", "overview", "drilldown",
    "rates", "batches", "stability", "filters", "downloads", "main",
)  # fmt: skip
#: What a page should weigh without its fixed tables, in characters; figures that need no script take what is left.
MOST = 6_500_000


class Meta(TypedDict, total=False):
    """What the page says beside tables and figures; every entry may be left out."""

    #: When the page was made, as text.
    created: str
    #: The configuration as TOML, and as parsed.
    config: str
    settings: dict[str, Any]
    #: By key: what `optbench.machine.environment.describe` gives.
    environments: dict[str, dict[str, Any]]
    #: The command that repeats the results.
    command: str
    #: Which cells are those of stored results, and what to know of that.
    baseline: str
    warnings: list[str]
    #: The column that the leaderboard ranks by.
    rank_by: str


def report_page(
    results: Any,
    tables: Mapping[str, pd.DataFrame],
    pictures: Sequence[Picture],
    rank_by: str = "test_metric",
    sections: Sequence[Section] = (),
) -> str:
    """The page of results (what `optbench.load` gives) with their tables, pictures and further sections."""
    if isinstance(results, Frozen):
        config, name, environments, against = results.config(), results.name, results.environments, None
        baseline = f"frozen {results.about['made']} by optbench {results.about['optbench']}, without times"
    else:
        directory = results.directory
        config, name, environments = directory.config(), directory.folder.name, directory.environments()
        against, baseline = directory.against(), getattr(results, "baseline", "")
    meta = Meta(
        created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        config=config.toml(),
        settings=config.model_dump(mode="json"),
        environments=environments,
        command=f"python -m optbench run --config config.toml --name {shlex.quote(name)}",
        baseline=baseline,
        warnings=getattr(results, "warnings", []),
        rank_by=rank_by,
    )
    if against is not None:
        meta["command"] += f" --against {shlex.quote(against)}"
    return render(name, tables, pictures, meta, sections, results.trajectories, results.planes)


def render(
    results_name: str,
    tables: Mapping[str, pd.DataFrame],
    pictures: Sequence[Picture],
    meta: Meta,
    sections: Sequence[Section] = (),
    paths: pd.DataFrame | None = None,
    planes: Mapping[str, Any] | None = None,
) -> str:
    """The page as HTML text, complete in itself: no network; all text escaped; tables and figures without scripts too.

    `tables` is what `tables.all_tables` gives, `paths` and `planes` what `optbench.load` has of two-dimensional
    problems.
    """
    cells, board = tables["cells"], tables["leaderboard"]
    names = [str(name) for name in tables["summary"]["optimizer"]]
    reference = chosen_reference(cells)
    metrics = dict(zip(cells["problem"], cells["metric_name"], strict=True))
    downloads, packed_names, left_out = handed_on(tables)
    about = {"name": results_name, "packed": packed_names, "left_out": left_out}
    metric = meta.get("rank_by", "test_metric")
    data = shared_json(tables, paths if paths is not None else pd.DataFrame(), planes or {}, about, metric)
    wanted = {figure.plot for figure in FIGURES.values()} | {plot for plots in MORE.values() for plot in plots}
    room = MOST - len(data) - len(downloads) // 2 - len(plotly_packed())
    drawn = static_figures(
        (picture for picture in pictures if picture.plot in wanted), min(max(room, images.LEAST), images.MOST)
    )
    captions = {picture.plot: picture.caption for picture in pictures if not picture.problem}
    # Only what is marked as safe is not escaped: style sheet, scripts, packed data and figures.
    return (
        _templates()
        .get_template("page.html.j2")
        .render(
            name=results_name,
            css=Markup(_asset("style.css")),
            completeness=header.completeness(cells),
            banners=[*header.banners(cells, tables["runs"]), *meta.get("warnings", [])],
            facts_of=header.facts(cells, tables["runs"], meta),
            answer=header.answer(tables),
            other_budgets=header.other_budgets(tables["recommendation"]),
            standings=content.standings_table(standings(tables, reference), reference),
            reference=reference,
            names=names,
            speedups=matrices.speedup_rows(tables["target_summary"], names, reference),
            improvements=matrices.improvement_rows(tables["probability_of_improvement"], names),
            groups=list(content.groups(board, metrics, tables["verdicts"])),
            figures={name: Slot.of(name, figure, drawn, cells) for name, figure in FIGURES.items()},
            more_of={
                section: [(plot, captions[plot], drawn["", plot]) for plot in plots if ("", plot) in drawn]
                for section, plots in MORE.items()
            },
            tuning=list(content.tuning_tables(cells)),
            failures=trust.failures_table(tables["failures"]),
            spending=trust.spending_table(cells, tables["trials"]),
            audit=trust.audit_table(tables["audit"]),
            sections=[
                (section, content.plain_table(section.table, section.caption or section.title), _figure(section, index))
                for index, section in enumerate(sections)
            ],
            methods=methods(meta.get("settings", {}), metric),
            command=meta.get("command", ""),
            config=meta.get("config", ""),
            environments=[
                (f"Environment {key}", _flat(entry)) for key, entry in sorted(meta.get("environments", {}).items())
            ],
            data=script_safe(data),
            packed_tables=Markup(packed(downloads.encode())),
            plotly=Markup(plotly_packed()),
            script=Markup("\n".join(_asset(f"{name}.js") for name in SCRIPTS)),
        )
    )


@cache
def _templates() -> Environment:
    """Kept, as templates are compiled: that takes longer than many a page."""
    environment = Environment(
        loader=PackageLoader("optbench.reporting"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["breakable"] = breakable
    return environment


def breakable(text: str) -> Markup:
    """Escaped text that may be broken where a long label such as `net[data=digits,depth=8]` has its parts."""
    return Markup(re.sub(r"(?<=,)(?=[^\W\d])|(?=\[)", "<wbr>", str(escape(text))))


def _asset(name: str) -> str:
    return files("optbench.reporting").joinpath("assets", name).read_text("utf-8")


def _figure(section: Section, index: int) -> Markup:
    """The figure of a section as an element of the page; empty where it has none."""
    svg = section.svg()
    return Markup(inlined(svg, f"x{index}", section.reading or section.title) if svg else "")


def _flat(entry: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as (path, text) pairs."""
    pairs = []
    for name, value in entry.items():
        if isinstance(value, Mapping):
            pairs.extend(_flat(value, f"{prefix}{name} "))
        else:
            pairs.append((f"{prefix}{name}".replace("_", " "), "–" if value is None else str(value)))
    return pairs
