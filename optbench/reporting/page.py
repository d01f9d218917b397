"""The report page: tables and figures in, one self-contained HTML text out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, TypedDict

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from optbench.plots.draw import Picture
from optbench.reporting.content import (
    failures_table,
    groups,
    joined,
    plain_table,
    recommendations,
    summary_table,
    tuning_tables,
)
from optbench.reporting.inline import inlined
from optbench.reporting.methods import methods
from optbench.reporting.section import Section
from optbench.tables import FAILURES
from optbench.tabular import cell_text

#: Six pairs are the fewest from which an exact paired test can give p < 0.05 (2/2^6 = 0.03).
ENOUGH_SEEDS = 6


class Meta(TypedDict, total=False):
    """What the page says beside tables and figures; every entry may be left out."""

    #: When the page was made, as text.
    created: str
    #: The configuration as TOML, and as parsed.
    config: str
    settings: dict[str, Any]
    #: By key: what `optbench.environment.describe` gives.
    environments: dict[str, dict[str, Any]]
    #: The command that repeats the results.
    command: str
    #: The column that the leaderboard ranks by.
    rank_by: str


def report_page(
    results: Any,
    tables: Mapping[str, pd.DataFrame],
    pictures: Sequence[Picture],
    rank_by: str = "test_metric",
    sections: Sequence[Section] = (),
) -> str:
    """The page of a results directory (what `optbench.load` gives) with its tables, pictures and further sections."""
    config = results.directory.config()
    name = results.directory.folder.name
    meta = Meta(
        created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        config=config.toml(),
        settings=config.model_dump(mode="json"),
        environments=results.directory.environments(),
        command=f"python -m optbench run --config config.toml --name {shlex.quote(name)}",
        rank_by=rank_by,
    )
    return render(name, tables, pictures, meta, sections)


def render(
    results_name: str,
    tables: Mapping[str, pd.DataFrame],
    pictures: Sequence[Picture],
    meta: Meta,
    sections: Sequence[Section] = (),
) -> str:
    """The page as HTML text, complete in itself: no network, no script; all text escaped.

    `tables` is what `tables.all_tables` gives.
    """
    cells, runs, board = tables["cells"], tables["runs"], tables["leaderboard"]
    metrics = dict(zip(cells["problem"], cells["metric_name"], strict=True))
    package = files("optbench.reporting")
    # Only what is marked as safe here is not escaped: the style sheet and the figures.
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        package.joinpath("template.html.j2").read_text("utf-8")
    )
    drawn = [
        {"title": picture.title, "caption": picture.caption,
         "svg": Markup(inlined(picture.svg, f"f{index}", picture.title) if picture.svg else "")}
        for index, picture in enumerate(pictures)
    ]  # fmt: skip
    return template.render(
        name=results_name,
        css=Markup(package.joinpath("style.css").read_text("utf-8")),
        completeness=_completeness(cells),
        banners=_banners(cells, runs),
        header=_header(cells, runs, meta),
        verdict=_verdict(tables["summary"], runs),
        summary=summary_table(tables["summary"]),
        recommendations=recommendations(tables["recommendation"]),
        groups=list(groups(board, metrics, tables["verdicts"])),
        pictures=drawn,
        tuning=list(tuning_tables(cells)),
        failures=failures_table(cells, runs, tables["trials"]),
        sections=[
            (section, plain_table(section.table, section.caption or section.title), figure(section, f"x{index}"))
            for index, section in enumerate(sections)
        ],
        methods=methods(meta.get("settings", {}), meta.get("rank_by", "test_metric")),
        command=meta.get("command", ""),
        config=meta.get("config", ""),
        environments=[
            (f"Environment {key}", _flat(entry)) for key, entry in sorted(meta.get("environments", {}).items())
        ],
    )


def figure(section: Section, name: str) -> Markup:
    """The figure of a section as an element of the page; empty where it has none."""
    svg = section.svg()
    return Markup(inlined(svg, name, section.reading or section.title) if svg else "")


def _completeness(cells: pd.DataFrame) -> str:
    done, failed = int((cells["status"] == "ok").sum()), int(cells["status"].isin(FAILURES).sum())
    missing = len(cells) - done - failed
    text = f"{done} of {len(cells)} cells complete, {failed} failed"
    return f"{text}, {missing} not run" if missing else text


def _banners(cells: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    texts = []
    unfinished = int((~cells["status"].isin(["ok", *FAILURES])).sum())
    if unfinished:
        texts.append(f"Partial: {unfinished} of {len(cells)} cells have no result yet. Ranks may still change.")
    substitutes = [name for name in cells["problem"].unique() if re.search(r"\bdata=digits\b", name)]
    if substitutes:
        texts.append(
            f"Substitute data: {joined(substitutes)} train on scikit-learn's small digits, which says "
            "little about the data that the problem is named after."
        )
    seeds = runs["seed"].nunique()
    if seeds < ENOUGH_SEEDS:
        texts.append(
            f"{_count(seeds, 'seed')}: too few for a claim that one optimizer beats another. The fewest with which "
            f"an exact paired test can reach p < 0.05 is {ENOUGH_SEEDS}; read differences as hints."
        )
    return texts


def _header(cells: pd.DataFrame, runs: pd.DataFrame, meta: Meta) -> list[tuple[str, str]]:
    budgets = []
    for problem, group in cells.groupby("problem", sort=False):
        run, tuning = (group[name].dropna().max() for name in ("run_budget", "tuning_budget"))
        if pd.notna(run):
            tuned = f", {cell_text('tuning_budget', float(tuning))} for tuning" if pd.notna(tuning) else ""
            budgets.append(f"{problem}: {cell_text('run_budget', float(run))} a run{tuned}")
    machines, versions = [], []
    for entry in meta.get("environments", {}).values():
        devices = [str(name) for name in (entry.get("accelerators") or {}).values()]
        machines.append(", ".join([f"{entry.get('processor', 'unknown')} ({entry.get('cores', '?')} cores)", *devices]))
        packages = {"python": entry.get("python"), **(entry.get("packages") or {})}
        versions.append(", ".join(f"{name} {number}" for name, number in packages.items() if number))
    entries = [
        ("Problems", joined(cells["problem"].unique())),
        ("Optimizers", joined(cells["optimizer"].unique())),
        ("Batch sizes", joined(sorted(cells["batch_size"].unique()))),
        ("Devices", joined(sorted(cells["device"].unique()))),
        ("Schedules", joined(sorted(cells["schedule"].unique()))),
        ("Seeds", str(runs["seed"].nunique())),
        ("Budgets", "; ".join(budgets) + " (example gradients)" if budgets else ""),
        ("Hardware", "; ".join(dict.fromkeys(machines))),
        ("Versions", "; ".join(dict.fromkeys(versions))),
        ("Made", meta.get("created", "")),
    ]
    return [(term, text) for term, text in entries if text]


def _verdict(summary: pd.DataFrame, runs: pd.DataFrame) -> str:
    ranked = summary[summary["mean_rank"].notna()]
    if ranked.empty:
        return "No optimizer has been ranked yet."
    best = ranked[ranked["mean_rank"] == ranked["mean_rank"].min()]
    most = int(best["groups"].max())
    names, rank = joined(best["optimizer"]), cell_text("mean_rank", float(best["mean_rank"].iloc[0]))
    return (
        f"{names} {'has' if len(best) == 1 else 'have'} the best mean rank: {rank} over {_count(most, 'group')}, "
        f"by medians of {_count(runs['seed'].nunique(), 'seed')}. This holds for these problems, sizes and budgets."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _flat(entry: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as (path, text) pairs."""
    pairs = []
    for name, value in entry.items():
        if isinstance(value, Mapping):
            pairs.extend(_flat(value, f"{prefix}{name} "))
        else:
            pairs.append((f"{prefix}{name}".replace("_", " "), "–" if value is None else str(value)))
    return pairs
