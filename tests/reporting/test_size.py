"""How large a page gets, and what it does before it answers a choice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import optbench
from optbench.metrics.tables import all_tables
from optbench.plots import draw_all, style
from optbench.plots.draw import Picture
from optbench.reporting import page_data as shared
from optbench.reporting.images import static_figures
from optbench.reporting.page import report_page
from tests.reporting.conftest import Made, Opened
from tests.support.directories import TEN, write_directory

#: What the page of 10 optimizers × 10 problems × 3 batch sizes × 5 seeds may weigh.
BYTES = 8_000_000

#: Unchecks a problem. How many rows the leaderboard of the speed-ups has and how many figures have been drawn: at once,
#: in the next frame, and when all figures in view are drawn; milliseconds to the last two.
CHOOSE = """async value => {
  const whole = Plotly.react;
  let drawn = 0;
  Plotly.react = (...given) => { drawn += 1; return whole(...given); };
  const seen = () => [document.querySelectorAll("#speedup tbody tr:not([hidden])").length, drawn];
  const frame = () => new Promise(requestAnimationFrame);
  const box = document.querySelector(`[data-filter=problem] input[value=${value}]`);
  const start = performance.now();
  box.checked = false;
  box.dispatchEvent(new Event("change"));
  const found = [seen()];
  await frame();
  found.push(seen());
  const times = [performance.now() - start];
  while (document.querySelector("figure.near .plot.waiting")) await frame();
  found.push(seen());
  Plotly.react = whole;
  return [found, [...times, performance.now() - start]];
}"""


def test_coordinates_are_rounded_and_labels_are_not() -> None:
    svg = (
        '<svg width="9.0000pt" height="9pt"><path d="M 1.23456 -0.0022"/><g transform="translate(0.016 7)">'
        "<text>+0.016</text></g><text>-0.0022 of 0.1234</text></svg>"
    )
    text = static_figures([Picture("", "a", "up to 0.9876", "", svg)])["", "a"]
    assert "1.23 -0" in text
    assert "translate(0.02 7)" in text
    for label in (">+0.016<", ">-0.0022 of 0.1234<", 'aria-label="up to 0.9876"'):
        assert label in text


def test_the_tables_of_a_choice_come_a_frame_before_its_figures(made: Made, opened: Callable[..., Opened]) -> None:
    page = opened(made.address)
    page.drawn("profile")
    page.all_drawn()
    page.settled()
    (at_once, next_frame, at_last), _ = page.page.evaluate(CHOOSE, "digits")
    assert at_once == next_frame == [4, 0], "two batch sizes of two problems"
    assert at_last[1] > 0, "a figure is in view"


@pytest.mark.slow
def test_a_large_page_is_within_its_bounds(tmp_path: Path, opened: Callable[..., Opened]) -> None:
    """Times are printed and not judged: they are those of this machine and of what else it does."""
    problems = ["valley", *(f"problem_{place}" for place in range(9))]
    folder = write_directory(tmp_path / "large", TEN, problems, (32, 64, 128), seeds=5, trials=10, points=41)
    start = time.perf_counter()
    results = optbench.load(folder)
    tables = all_tables(results)
    before = time.perf_counter()
    pictures = draw_all(results, tables, folder / "plots")
    drawing = time.perf_counter() - before
    text = report_page(results, tables, pictures)
    building = time.perf_counter() - start - drawing
    path = tmp_path / "large.html"
    path.write_text(text, "utf-8")
    assert path.stat().st_size <= BYTES
    begun = time.perf_counter()
    page = opened(path.as_uri())
    ready = time.perf_counter() - begun
    page.drawn("profile")
    page.all_drawn()
    page.settled()
    filters = []
    for chosen, problem in enumerate(problems[:5], 1):
        (at_once, next_frame, at_last), times = page.page.evaluate(CHOOSE, problem)
        assert at_once == next_frame == [3 * (10 - chosen), 0], "the tables come before all figures"
        assert at_last[1] > 1, "several figures are in view"
        assert page.page.locator("figure.near .plot.js-plotly-plot").count() > 1
        filters.append("/".join(f"{time:.0f}" for time in times))
        page.all_drawn()
        page.settled()
    print(
        f"{path.stat().st_size / 1e6:.2f} MB, {building:.1f} s to build, {drawing:.1f} s to draw all plots as files, "
        f"{ready:.2f} s until interactive, filter {', '.join(filters)} ms"
    )


def test_fixed_figures_keep_to_their_share(tmp_path: Path) -> None:
    svg = '<svg width="72pt" height="72pt"><path d="{}"/></svg>'
    pictures = [Picture("", f"plot{place}", "A title", "", svg.format("M0 0" * 5000)) for place in range(10)]
    found = static_figures(pictures, 70_000)
    assert sum(map(len, found.values())) <= 70_000 + 10 * 100
    assert [("svg" in text) for text in found.values()] == [True] * 3 + [False] * 7
    assert "see plot9 in the folder plots" in found["", "plot9"]
    assert static_figures([Picture("", "a", "A", "Not drawn: <b>.", "")])["", "a"] == "<p>Not drawn: &lt;b&gt;.</p>"


def test_a_large_figure_is_a_picture(tmp_path: Path) -> None:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "plot.png")
    large = '<svg width="72pt" height="72pt"><path d="' + "M0 0" * style.LARGE + '"/></svg>'
    text = static_figures([Picture("", "plot", 'A "title"', "", large, tmp_path / "plot.svg")])["", "plot"]
    assert text.startswith('<img src="data:image/webp;base64,')
    assert text.endswith('width="90" height="67" alt="A &#34;title&#34;">') or 'alt="A &quot;title&quot;"' in text
    assert len(text) < len(large) / 4


def test_coordinates_are_rounded_and_nothing_else() -> None:
    svg = '<svg width="72pt" height="72pt"><path d="M1.23456 -0.00049L300.1 2"/><text>v1.2345.6 a</text></svg>'
    text = static_figures([Picture("", "a", "A", "", svg)])["", "a"]
    assert 'd="M1.23 -0L300.1 2"' in text


def test_tables_that_are_too_large_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {name: pd.DataFrame({"number": np.random.default_rng(1).normal(size=20)}) for name in shared.DOWNLOADS}
    tables["runs"] = pd.DataFrame({"number": np.random.default_rng(2).normal(size=2000)})
    monkeypatch.setattr(shared, "MOST", 30_000)
    text, names, left_out = shared.downloads_json(tables)
    assert left_out == ["runs"]
    assert set(json.loads(text)) == set(names) == set(shared.DOWNLOADS) - {"runs"}
