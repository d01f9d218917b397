"""Pages of made-up results, and a browser that reads them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import optbench
from optbench.metrics.tables import all_tables
from optbench.plots import style
from optbench.plots.draw import Picture
from optbench.plots.registry import PLOTS
from optbench.reporting.page import report_page
from tests.support.directories import write_directory
from tests.support.tiny import run_tiny

#: What browsers need in a container, and what keeps them from asking the network for anything.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Milliseconds after which something that should happen on a page counts as never happening.
PATIENCE = 120_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that drive a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@dataclass
class Made:
    """Results, their tables, and where their page is."""

    results: Any
    tables: dict[str, pd.DataFrame]
    path: Path

    @property
    def address(self) -> str:
        return self.path.as_uri()


def make_page(folder: Path, plots: tuple[tuple[str, str], ...] = (), **options: Any) -> Made:
    """The page of a made-up results directory; `plots` are drawn for it as (plot, problem), no others."""
    results = optbench.load(write_directory(folder, **options))
    tables = all_tables(results)
    pictures = []
    for plot, problem in plots:
        drawn = PLOTS[plot].draw(results, tables, problem)
        assert drawn is not None
        svg = style.save(drawn[0], folder / "plots", plot)
        pictures.append(Picture(problem, plot, plot, PLOTS[plot].caption, svg, folder / "plots" / f"{plot}.svg"))
    path = folder / "report.html"
    path.write_text(report_page(results, tables, pictures), "utf-8")
    return Made(results, tables, path)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three optimizers on three problems at two batch sizes, six seeds; adam diverges on one problem."""
    plots = (("performance_profile", ""), ("data_profile", ""), ("loss_against_cost", "valley"))
    return make_page(tmp_path_factory.mktemp("results") / "made", plots, failing=[("digits", "adam")])


def recipe_of(base: str, **search: dict[str, Any]) -> dict[str, Any]:
    """A table that tunes the learning rate and more."""
    return {"base": base, "search": {"lr": {"low": 1e-3, "high": 1.0}, **search}}


RECIPES = {
    "adam_recipe": recipe_of(
        "adam",
        weight_decay={"low": 1e-4, "high": 1e-1, "zero": True},
        beta1={"low": 0.5, "high": 0.99, "scale": "log_complement"},
    ),
    "sgd_recipe": recipe_of(
        "sgd",
        momentum={"low": 0.5, "high": 0.99, "scale": "log_complement"},
        nesterov={"values": [False, True]},
        lr_schedule={"values": ["constant", "linear"]},
        lr_warmup={"low": 0.0, "high": 0.2, "scale": "linear", "when": {"lr_schedule": "linear"}},
    ),
}


@pytest.fixture(scope="session")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two optimizers at their defaults, tuned in their rate, and tuned in their recipe, at two batch sizes."""
    folder = tmp_path_factory.mktemp("results") / "recipes"
    optimizers = ["adam", "adam_recipe", "sgd", "sgd_recipe"]
    results = run_tiny(folder, optimizers=optimizers, optimizer=RECIPES, seeds=6, batch_sizes=[10, 100], tuning_worth=6)
    tables = all_tables(results)
    path = folder / "report.html"
    path.write_text(report_page(results, tables, []), "utf-8")
    return Made(results, tables, path)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium on this machine")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, timeout=PATIENCE)
        yield browser
        browser.close()


def new_page(browser: Any, **options: Any) -> Any:
    """A page without an address, in a context of its own, that waits for as long as a slow machine needs."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    return context.new_page()


@dataclass
class Opened:
    """A page in the browser, with what it complained of and asked for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def ready(self) -> None:
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def show(self, choices: str, view: dict[str, Any]) -> None:
        """Brings the page to what its address would say after #, at the top, as it was before tests looked at it."""
        self.page.emulate_media(media="null", **{name: view[name] for name in ("color_scheme", "reduced_motion")})
        if self.page.viewport_size != view["viewport"]:
            self.page.set_viewport_size(view["viewport"])
            self.page.wait_for_function(
                "({width, height}) => innerWidth === width && innerHeight === height", arg=view["viewport"]
            )
            self.settled()  # its figures are drawn anew from the next frame on
        self.page.evaluate(
            """async choices => {
              document.querySelectorAll("details[open]").forEach(one => { one.open = false; });
              const before = location.href;
              const read = new Promise(done => addEventListener("hashchange", done, { once: true }));
              location.hash = choices;
              if (location.href !== before) await read;
              scrollTo(0, 0);
            }""",
            choices or "answer",
        )
        self.settled()

    def all_drawn(self) -> None:
        self.page.wait_for_function("!document.querySelector('.plot.waiting')")

    def text(self) -> str:
        """What a reader can see of the whole page; sections that the browser hasn't laid out yet would have none."""
        self.all_drawn()
        self.page.wait_for_selector("html:not(.busy)", state="attached")
        return " ".join(self.page.locator("body").inner_text().split())

    def drawn(self, name: str) -> dict[str, Any]:
        """The figure of this name, once it is drawn: its data and layout as plotly has them."""
        self.page.locator(f"#figure-{name}").scroll_into_view_if_needed()
        self.page.wait_for_selector(f"#figure-{name} .plot.js-plotly-plot:not(.waiting) .main-svg", state="attached")
        found: dict[str, Any] = self.page.evaluate(
            """name => { const plot = document.querySelector(`#figure-${name} .plot`);
            return {data: plot.data, layout: plot.layout, label: plot.getAttribute("aria-label")}; }""",
            name,
        )
        return found

    def settled(self) -> None:
        """Waits until the browser has nothing left to draw, or is kept from saying so by other programs."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestIdleCallback(done, {timeout: 1000})))"
        )

    def shown(self, name: str) -> list[dict[str, Any]]:
        """The data of a figure as its table has them: numbers with all digits."""
        self.drawn(name)
        details = self.page.locator(f"#figure-{name} details.data")
        if details.get_attribute("open") is None:
            details.locator("summary").click()
        self.page.wait_for_selector(f"#figure-{name} details.data table", state="attached")
        rows: list[dict[str, Any]] = self.page.evaluate(READ, f"#figure-{name} details.data table")
        return rows

    def table(self, selector: str) -> list[dict[str, Any]]:
        """The visible rows of a table: numbers where cells have them, else texts; missing is None."""
        rows: list[dict[str, Any]] = self.page.evaluate(READ, selector)
        return rows


READ = """selector => {
  const table = document.querySelector(selector);
  const names = [...table.tHead.rows[0].cells].map(cell => cell.dataset.column);
  const shown = [...table.tBodies[0].rows].filter(row => !row.hidden);
  return shown.map(row => Object.fromEntries([...row.cells].map((cell, place) => {
    const text = cell.textContent;
    return [names[place], cell.dataset.v !== undefined ? Number(cell.dataset.v) : text === "–" ? null : text];
  })));
}"""


@pytest.fixture(scope="session")
def shared(browser: Any) -> Iterator[dict[str, Opened]]:
    """Pages that stay open from one test to the next, by their address without what is chosen in them."""
    pages: dict[str, Opened] = {}
    yield pages
    for one in pages.values():
        one.page.context.close()


#: How a reader looks at a page where a test says nothing else.
VIEW = {"viewport": {"width": 1200, "height": 900}, "color_scheme": "light", "reduced_motion": "reduce"}


@pytest.fixture
def opened(browser: Any, shared: dict[str, Opened]) -> Iterator[Callable[..., Opened]]:
    """Opens an address; afterwards there must be no error, and no request but for the file.

    A page that is open already is brought to the address by its part after #, which holds all that a reader can
    choose, and to the view that is asked for; `anew` loads it again, for tests of how it begins.
    """
    pages: list[Opened] = []
    own: list[Opened] = []

    def fresh(address: str, **options: Any) -> Opened:
        found = Opened(new_page(browser, **options))
        found.page.on("pageerror", lambda error: found.errors.append(str(error)))
        found.page.on("console", lambda message: found.errors.append(message.text) if message.type == "error" else None)
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.goto(address)
        if options.get("java_script_enabled", True):
            found.ready()
        return found

    def open_page(address: str, anew: bool = False, scripts: bool = True, **view: Any) -> Opened:
        document, _, choices = address.partition("#")
        view = VIEW | view
        if not scripts:
            own.append(fresh(address, java_script_enabled=False, **view))
            pages.append(own[-1])
            return pages[-1]
        if anew and document in shared:
            shared.pop(document).page.context.close()
        if document not in shared:
            shared[document] = fresh(address, **view)
        else:
            shared[document].errors.clear()
            shared[document].requests.clear()
            shared[document].show(choices, view)
        pages.append(shared[document])
        return pages[-1]

    yield open_page
    for one in pages:
        assert one.errors == []
        assert {url for url in one.requests if not url.startswith(("file:", "data:", "blob:"))} == set()
        assert len([url for url in one.requests if url.startswith("file:")]) <= 2  # again after a reload
    for one in own:
        one.page.context.close()
