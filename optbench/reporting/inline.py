"""Converts SVG files to elements of a page, with the page's colours and ids that are unique on the page."""

from __future__ import annotations

import re
from html import escape

from optbench.plots import style

#: The figure's ink, paper and grid are replaced by the page's colours, so that it is readable in light and dark mode.
_COLORS = {style.INK: "currentColor", style.PAPER: "var(--paper)", style.GRID: "var(--line)"}
#: Parts that only a file needs. Namespaces are implied in HTML, and the page's style sets the fonts.
_FILE_ONLY = re.compile(
    r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|\s+xmlns(:\w+)?=\"[^\"]*\"| font-family: [^;\"]*;",
    re.DOTALL,
)
_ID = re.compile(r'(\bid="|url\(#|href="#)')
_SIZE = re.compile(r'<svg width="([0-9.]+)pt" height="[0-9.]+pt"')


def inline_svg(svg: str, name: str, label: str) -> str:
    """An SVG file of `plots.style.save` as an element of an HTML page.

    `name` prefixes its ids, so that figures on one page do not refer to each other's parts; `label`
    is its text alternative. Raises ValueError if there is no <svg> element.
    """
    start, end = svg.find("<svg"), svg.rfind("</svg>")
    if start < 0 or end < 0:
        raise ValueError(f"figure {name} has no <svg> element")
    text = _ID.sub(lambda match: f"{match[1]}{name}-", _FILE_ONLY.sub("", svg[start:end] + "</svg>"))
    for color, variable in _COLORS.items():
        text = text.replace(color, variable)
    about = f'<svg role="img" aria-label="{escape(label)}"'
    return _SIZE.sub(lambda match: f'{about} style="--width: {float(match[1]) * 4 / 3:.0f}px"', text, count=1)
