"""Static figures of the page: SVG if it is small, otherwise an image, within the size limit of a page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable
from html import escape

from markupsafe import Markup

from optbench.plots.draw import Picture
from optbench.plots.style import LARGE
from optbench.reporting.inline import inline_svg

#: The space for static figures on a page, in characters: at least this much regardless of other content, and at most.
LEAST, MOST = 900_000, 2_500_000
_DIGITS = re.compile(r"-?\d+\.\d{3,}")
#: A tag; what is between tags is text. And its attributes, except those that are read aloud.
_TAG, _ATTRIBUTE = re.compile(r"<[^<>]*>"), re.compile(r'(?<!aria-label)="[^"]*"')


def static_figures(pictures: Iterable[Picture], most: int = MOST) -> dict[tuple[str, str], Markup]:
    """The static figures as elements of the page, by problem (empty: all problems) and plot.

    Figures are included in the given order as long as they fit into `most` characters; for the others the text names
    the file. A figure that could not be drawn is replaced by its caption, which has the reason.
    """
    elements: dict[tuple[str, str], Markup] = {}
    for index, picture in enumerate(pictures):
        if not picture.svg:
            elements[picture.problem, picture.plot] = Markup("<p>{}</p>").format(picture.caption)
            continue
        # At twice the limit, rounding (which is slow) cannot make the SVG small enough.
        text = _raster(picture) if len(picture.svg) > 2 * LARGE else ""
        if not text:
            text = _round_coordinates(inline_svg(picture.svg, f"f{index}", picture.title))
            text = (len(text) > LARGE and _raster(picture)) or text
        if len(text) > most:
            text = f"<p>This figure is too large for the page; see {escape(picture.plot)} in the folder plots.</p>"
        most -= len(text)
        elements[picture.problem, picture.plot] = Markup(text)
    return elements


def _round_coordinates(svg: str) -> str:
    """Rounds coordinates to a hundredth of a point, which is below the resolution of any screen; labels stay."""

    def rounded(attribute: re.Match[str]) -> str:
        return _DIGITS.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), attribute[0])

    return _TAG.sub(lambda tag: _ATTRIBUTE.sub(rounded, tag[0]), svg)


def _raster(picture: Picture) -> str:
    """The picture as an <img> with WebP data; empty if the picture has no PNG."""
    if picture.file is None or not (png := picture.file.with_suffix(".png")).exists():
        return ""
    from PIL import Image

    with Image.open(png) as image:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "WEBP", quality=60, method=2)
        width, height = image.size
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/webp;base64,{data}" width="{width * 3 // 4}" height="{height * 3 // 4}" '
        f'alt="{escape(picture.title)}">'
    )
