"""The library that draws the figures, as part of a page."""

from __future__ import annotations

import base64
import gzip
from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=1)
def plotly_packed() -> str:
    """plotly.js, minified, as the Python package plotly ships it: gzip in base64.

    So packed it takes 2 MB of the page in place of 5, and the browser parses it when the first figure
    comes into view. The same bytes every time.
    """
    script = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, compresslevel=9, mtime=0)).decode("ascii")
