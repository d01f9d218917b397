"""The report page: renders tables and figures as one self-contained HTML text."""

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

from optbench.metrics.quotation import quotations
from optbench.metrics.verdicts import choose_reference
from optbench.plots.draw import Picture
from optbench.reporting import header, images, matrices, trust
from optbench.reporting import html_tables as content
from optbench.reporting.bundle import pack, pack_plotly
from optbench.reporting.figures import FIGURES, MORE, SHOWN, Slot
from optbench.reporting.images import static_figures
from optbench.reporting.inline import inline_svg
from optbench.reporting.ladders import ladder_sentences, ladder_tables
from optbench.reporting.methods import methods
from optbench.reporting.page_data import downloads_json, page_json
from optbench.reporting.payload import script_safe
from optbench.reporting.section import Section
from optbench.reporting.standings import standings
from optbench.reporting.tracks import track_sentences, track_tables
from optbench.results.frozen import FrozenResults

#: The scripts of the page, in the order of their dependencies.
SCRIPTS = (
    "format", "frames", "state", "statistics", "standings", "tables", "matrices", "figure", "overview", "drilldown",
    "rates", "coordinates", "batches", "stability", "filters", "downloads", "main",
)  # fmt: skip
#: The intended size of a page without its HTML tables, in characters; static figures use the remaining space.
MOST = 6_500_000


class Meta(TypedDict, total=False):
    """Facts of the page in addition to tables and figures; each entry is optional."""

    #: When the page was created, as text.
    created: str
    #: The configuration as TOML, and as parsed.
    config: str
    settings: dict[str, Any]
    #: The results of `optbench.machine.environment.describe_environment` by key.
    environments: dict[str, dict[str, Any]]
    #: The command that reproduces the results.
    command: str
    #: Which cells come from stored results.
    baseline: str
    #: Further banners.
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
    """The page of results (from `optbench.load`) with their tables, pictures and additional sections, as HTML text."""
    if isinstance(results, FrozenResults):
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
    """The page as self-contained HTML text.

    It needs no network, all text is escaped, and tables and static figures are also there without scripts.

    Args:
        results_name: The name of the results, which is the heading of the page.
        tables: The result of `metrics.tables.all_tables`.
        pictures: The plots as drawn by `plots.draw_all`.
        meta: Facts about the results and their environment.
        sections: Additional sections, in order.
        paths: The trajectories of two-dimensional problems (`Results.trajectories`).
        planes: Their functions on a grid (`Results.planes`).
    """
    cells, board = tables["cells"], tables["leaderboard"]
    names = [str(name) for name in tables["summary"]["optimizer"]]
    reference = choose_reference(cells)
    metrics = dict(zip(cells["problem"], cells["metric_name"], strict=True))
    quotes = quotations(tables["verdicts"], cells, tables["runs"])
    downloads, packed_names, left_out = downloads_json(tables)
    about = {"name": results_name, "packed": packed_names, "left_out": left_out}
    metric = meta.get("rank_by", "test_metric")
    data = page_json(tables, paths if paths is not None else pd.DataFrame(), planes or {}, about, metric)
    room = MOST - len(data) - len(downloads) // 2 - len(pack_plotly())
    shown = (picture for picture in pictures if picture.plot in SHOWN)
    drawn = static_figures(shown, min(max(room, images.LEAST), images.MOST))
    # If a plot is not drawn, the reason already replaces the drawing.
    captions = {picture.plot: picture.caption if picture.svg else "" for picture in pictures if not picture.problem}
    # Everything is escaped except what is marked as safe: style sheet, scripts, packed data and figures.
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
            problem_answers=header.problem_answers(tables["recommendation"]),
            other_budgets=header.other_budgets(tables["recommendation"]),
            standings=content.standings_table(standings(tables, reference), reference),
            reference=reference,
            names=names,
            has_targets=len(tables["target_summary"]) > 0,
            speedup_caption=matrices.TEXTS["speedup"].format(measure="cost", reference=reference),
            improvement_caption=matrices.TEXTS["improvement"],
            speedups=matrices.speedup_rows(tables["target_summary"], names, reference),
            improvements=matrices.improvement_rows(tables["probability_of_improvement"], names),
            groups=list(content.groups(board, metrics, tables["verdicts"], quotes)),
            figures={name: Slot.of(name, figure, drawn, cells) for name, figure in FIGURES.items()},
            more_of={
                section: [(plot, captions[plot], drawn["", plot]) for plot in plots if ("", plot) in drawn]
                for section, plots in MORE.items()
            },
            tuning=list(content.tuning_tables(cells)),
            searched=list(content.hyperparameter_tables(tables["hyperparameters"], cells)),
            tracks=list(track_tables(tables["tracks"], cells)),
            ladders=list(ladder_tables(tables["scaling"], tables["projection"], cells)),
            ladder_sentences=ladder_sentences(tables["scaling_slopes"], tables["projection"]),
            track_sentences=track_sentences(tables["tracks"], tables["track_agreement"]),
            failures=trust.failures_table(tables["failures"]),
            spending=trust.spending_table(cells, tables["trials"]),
            audit=trust.audit_table(tables["audit"]),
            sections=[
                (section, content.plain_table(section.table, section.caption or section.title), _figure(section, index))
                for index, section in enumerate(sections)
            ],
            methods=methods(meta.get("settings", {}), metric, tables["runs"]),
            command=meta.get("command", ""),
            config=meta.get("config", ""),
            environments=[
                (f"Environment {key}", _flat(entry)) for key, entry in sorted(meta.get("environments", {}).items())
            ],
            data=script_safe(data),
            packed_tables=Markup(pack(downloads.encode())),
            plotly=Markup(pack_plotly()),
            script=Markup("\n".join(_asset(f"{name}.js") for name in SCRIPTS)),
        )
    )


@cache
def _templates() -> Environment:
    """The templates, kept from call to call because compiling them may take longer than rendering a page."""
    environment = Environment(
        loader=PackageLoader("optbench.reporting"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["breakable"] = breakable
    return environment


def breakable(text: str) -> Markup:
    """Escaped text with optional line breaks between the parts of a label such as `net[data=digits,depth=8]`."""
    return Markup(re.sub(r"(?<=,)(?=[^\W\d])|(?=\[)", "<wbr>", str(escape(text))))


def _asset(name: str) -> str:
    return files("optbench.reporting").joinpath("assets", name).read_text("utf-8")


def _figure(section: Section, index: int) -> Markup:
    """The figure of a section as an element of the page; empty if it has none."""
    svg = section.svg()
    return Markup(inline_svg(svg, f"x{index}", section.reading or section.title) if svg else "")


def _flat(entry: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as (path, text) pairs."""
    pairs = []
    for name, value in entry.items():
        if isinstance(value, Mapping):
            pairs.extend(_flat(value, f"{prefix}{name} "))
        else:
            pairs.append((f"{prefix}{name}".replace("_", " "), "–" if value is None else str(value)))
    return pairs
