"""Where things land when nobody says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench.config.load import default_name, load_config
from optbench.config.presets import PRESETS
from optbench.problem.data import default_data_dir
from optbench.reporting.outputs import report_path


@pytest.mark.parametrize("name", PRESETS)
def test_a_plain_preset_gives_its_name(name: str) -> None:
    assert default_name(load_config(name)) == name


def test_anything_else_gets_a_name_of_its_own() -> None:
    found = default_name(load_config(choices={"optimizers": ["sgd"]}))
    assert found.startswith("quick-")
    assert found == default_name(load_config(choices={"optimizers": ["sgd"]}))
    assert found != default_name(load_config(choices={"optimizers": ["adam"]}))


def test_more_seeds_go_where_the_fewer_ones_are() -> None:
    one, two = ({"optimizers": ["sgd"], "seeds": seeds} for seeds in (1, 2))
    assert default_name(load_config(choices=one)) == default_name(load_config(choices=two))
    assert default_name(load_config(choices={"seeds": 9})) == "quick"


def test_reports_lie_beside_the_results() -> None:
    assert report_path(Path("results/quick")) == Path("reports/quick.html")
    assert report_path(Path("/a/results/quick")) == Path("/a/reports/quick.html")
    assert report_path(Path("/a/elsewhere/quick")) == Path("/a/elsewhere/quick/report.html")


def test_data_lies_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if default_data_dir().is_relative_to(tmp_path):  # not on Windows and macOS
        assert default_data_dir() == tmp_path / "optbench" / "data"
    assert default_data_dir().parts[-2:] in {("optbench", "data"), ("Cache", "data")}
