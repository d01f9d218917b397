"""Where things land when nobody says otherwise."""

from __future__ import annotations

import hashlib
from pathlib import Path

from optbench.config import Config, load_config


def default_data_dir() -> Path:
    """The user's cache directory: where downloaded data sets are kept between projects."""
    from platformdirs import user_cache_path

    return user_cache_path("optbench") / "data"


def default_name(config: Config) -> str:
    """The preset's name; with a short hash of the configuration where it isn't the plain preset.

    The number of seeds is left out: more of them extend what is there.
    """
    name = config.preset or "quick"
    preset = load_config(name)
    if config.model_copy(update={"seeds": preset.seeds}) == preset:
        return name
    return f"{name}-{hashlib.sha256(config.model_dump_json(exclude={'seeds'}).encode()).hexdigest()[:6]}"


def frozen_report_path(folder: Path) -> Path:
    """`reports/NAME.html`, here: frozen results may lie among installed packages, where nothing is to be written."""
    return Path("reports") / f"{folder.name}.html"


def report_path(folder: Path) -> Path:
    """`reports/NAME.html` beside a `results` folder; inside of a results directory that lies elsewhere."""
    if folder.parent.name == "results":
        return folder.parent.parent / "reports" / f"{folder.name}.html"
    return folder / "report.html"
