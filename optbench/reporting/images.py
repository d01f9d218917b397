"""Figures that need no script: SVG where that is small, else a picture, within what a page may weigh."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable
from html import escape

from markupsafe import Markup

from optbench.plots.draw import Picture
from optbench.reporting.inline import inlined

#: What static figures may take of a page, in characters: at least, whatever else there is, and at most.
LEAST, MOST = 900_000, 2_500_000
#: An SVG with more characters than this is replaced by a picture of it.
_LARGE = 90_000
_DIGITS = re.compile(r"-?\d+\.\d{3,}")


def static_figures(pictures: Iterable[Picture], most: int = MOST) -> dict[tuple[str, str], Markup]:
    """By problem (empty: all) and plot an element of the page, in the order given until `most` characters are full;
    of those beyond it is said in which file they are.
    """
    found: dict[tuple[str, str], Markup] = {}
    for index, picture in enumerate(pictures):
        if not picture.svg:
            found[picture.problem, picture.plot] = Markup("<p>{}</p>").format(picture.caption)
            continue
        # One of twice the size needs no rounding, which takes a while, to be seen to be too large.
        text = _raster(picture) if len(picture.svg) > 2 * _LARGE else ""
        if not text:
            text = _rounded(inlined(picture.svg, f"f{index}", picture.title))
            text = (len(text) > _LARGE and _raster(picture)) or text
        if len(text) > most:
            text = f"<p>This figure is in the folder plots, as {escape(picture.plot)}.</p>"
        most -= len(text)
        found[picture.problem, picture.plot] = Markup(text)
    return found


def _rounded(svg: str) -> str:
    """Coordinates to a hundredth of a point: less than any screen shows."""
    return _DIGITS.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), svg)


def _raster(picture: Picture) -> str:
    """The picture as WebP in place; empty where there is no file of it."""
    if picture.file is None:
        return ""
    from PIL import Image

    with Image.open(picture.file.with_suffix(".png")) as image:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "WEBP", quality=60, method=2)
        width, height = image.size
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/webp;base64,{data}" width="{width * 3 // 4}" height="{height * 3 // 4}" '
        f'alt="{escape(picture.title)}">'
    )
