"""What is part of a page in a packed form: the library that draws the figures, and tables for download."""

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
    return packed(script)


def packed(content: bytes) -> str:
    """Gzip in base64, which browsers unpack by themselves."""
    return base64.b64encode(gzip.compress(content, compresslevel=9, mtime=0)).decode("ascii")
