"""Figures as part of a page: SVG that takes the page's colours and shares its ids with nobody."""

from __future__ import annotations

import re

from optbench.plots import style

_COLORS = {style.INK: "currentColor", style.PAPER: "var(--paper)", style.GRID: "var(--line)"}
_ID = re.compile(r'\bid="([^"]+)"|url\(#([^)]+)\)|href="#([^"]+)"')


def inlined(svg: str, name: str, label: str) -> str:
    """An SVG file of `plots.style.save` as an element of an HTML page.

    Ink, paper and grid become the page's; ids get the prefix `name`, so that figures on one page do
    not refer to each other's parts; what only a file needs (prologue, metadata, namespaces) goes.
    `label` is its text alternative. Raises ValueError where there is no <svg> element.
    """
    start = svg.find("<svg")
    if start < 0:
        raise ValueError("no <svg> element")
    svg = svg[start : svg.rindex("</svg>") + len("</svg>")]
    svg = re.sub(
        r"<metadata>.*?</metadata>|<defs>\\s*<style.*?</style>\\s*</defs>|<!--.*?-->", "", svg, flags=re.DOTALL
    )
    svg = re.sub(r'\\s+xmlns(:\\w+)?="[^"]*"', "", svg)
    svg = _ID.sub(
        lambda match: match[0].replace(
            next(filter(None, match.groups())), f"{name}-{match[1] or match[2] or match[3]}"
        ),
        svg,
    )
    for color, variable in _COLORS.items():
        svg = svg.replace(color, variable)
    width = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', svg)
    return svg
