"""What a reader does with the page, in a browser: nothing fails, and nothing is asked of a network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.reporting.conftest import Made, Opened

Open = Callable[..., Opened]


def column(page: Opened, name: str) -> list[Any]:
    return [row[name] for row in page.table("#standings")]


def test_all_figures_are_drawn(made: Made, opened: Open) -> None:
    page = opened(made.address)
    names = page.page.evaluate("[...document.querySelectorAll('figure[data-figure]')].map(one => one.id.slice(7))")
    assert len(names) == 14
    for name in names:
        figure = page.drawn(name)
        assert figure["data"], name
        assert re.search(r"\w", figure["label"]), name
        assert page.page.locator(f"#figure-{name} figcaption").text_content().startswith("How to read this.")


def test_sorting(made: Made, opened: Open) -> None:
    page = opened(made.address)
    button = page.page.locator("#standings th[data-column=step_ratio] button")
    button.click()
    assert column(page, "step_ratio") == sorted(column(page, "step_ratio"))
    assert button.locator("..").get_attribute("aria-sort") == "ascending"
    button.click()
    assert column(page, "step_ratio") == sorted(column(page, "step_ratio"), reverse=True)
    assert button.locator("..").get_attribute("aria-sort") == "descending"
    assert page.page.locator("#standings [aria-sort]").count() == 1
    assert "sort=standings%3Astep_ratio%3Adown" in page.page.url
    page.page.locator("#standings th[data-column=wins] button").click()
    assert column(page, "wins")[-1] is None, "what is missing comes last"
    page.page.reload()
    page.ready()
    assert page.page.locator("#standings th[data-column=wins]").get_attribute("aria-sort") == "ascending"
    group = page.page.locator(".group:visible table")
    group.locator("th[data-column=optimizer] button").click()
    assert group.locator("tbody th").all_text_contents() == ["adam", "momentum", "sgd"]


def test_a_filter_recomputes_or_hides_and_is_in_the_address(made: Made, opened: Open) -> None:
    page = opened(made.address)
    whole = page.table("#standings")
    assert page.page.locator("#answer .lead").is_visible()
    page.page.click("[data-filter=optimizer] summary")
    page.page.uncheck("[data-filter=optimizer] input[value=momentum]")
    assert column(page, "optimizer") == [row["optimizer"] for row in whole if row["optimizer"] != "momentum"]
    assert not page.page.locator("#answer .lead").is_visible()
    assert page.page.locator("#standings-stale").is_visible()
    assert {trace["name"] for trace in page.drawn("profile")["data"]} == {"adam", "sgd"}
    page.page.keyboard.press("Escape")
    page.page.click("[data-filter=problem] summary")
    page.page.uncheck("[data-filter=problem] input[value=digits]")
    assert page.page.locator("#speedup tbody tr").count() == 4
    assert {row["problem"] for row in page.table("#failures")} <= {"valley", "clouds"}
    page.page.wait_for_selector("#figure-stability .plot.empty:has-text('not shown')", state="attached")
    assert "problem=valley&problem=clouds&optimizer=adam&optimizer=sgd" in page.page.url
    page.page.go_back()
    page.page.locator("#speedup tbody tr").nth(5).wait_for(state="attached")
    assert page.page.locator("#speedup tbody tr").count() == 6
    page.page.go_back()
    page.page.wait_for_selector("#answer .lead")
    for row, known in zip(page.table("#standings"), whole, strict=True):
        assert row == {
            name: pytest.approx(value) if isinstance(value, float) else value for name, value in known.items()
        }
    page.page.go_forward()
    page.page.wait_for_selector("#answer .lead", state="hidden")
    assert sorted(column(page, "optimizer")) == ["adam", "sgd"]
    page.page.click("#reset")
    assert len(column(page, "optimizer")) == 3
    assert "optimizer=" not in page.page.url


def test_an_address_brings_its_view_back(made: Made, opened: Open) -> None:
    task = json.dumps({"problem": "clouds", "batch_size": 128, "device": "cpu", "schedule": "constant"})
    page = opened(f"{made.address}#task?optimizer=sgd&lit=sgd&x=steps&y=linear&measure=valid_metric&task={task}")
    assert page.page.locator("#figure-curves .controls select").evaluate_all("all => all.map(one => one.value)") == [
        "valid_metric", "steps", "linear",
    ]  # fmt: skip
    figure = page.drawn("curves")
    assert {trace["name"] for trace in figure["data"]} == {"sgd"}
    assert figure["layout"]["xaxis"]["title"]["text"] == "steps"
    assert figure["layout"]["yaxis"]["type"] != "log"
    assert page.page.locator("#task").evaluate("one => Math.abs(one.getBoundingClientRect().top) < 400")
    assert page.page.locator(".legend button[aria-pressed=true]").inner_text() == "sgd"
    assert "clouds, batch 128" in page.page.locator(".group:visible h3").text_content()


def test_a_click_on_the_heat_map_leads_to_the_task(made: Made, opened: Open) -> None:
    page = opened(made.address)
    row = page.page.locator("#speedup tbody tr", has_text="clouds, batch 128")
    row.locator("td button").nth(1).click()
    page.settled()
    assert "clouds, batch 128" in page.page.locator(".group:visible h3").text_content()
    assert page.page.url.partition("#")[2].startswith("task?")
    assert "128" in page.drawn("curves")["label"]
    page.page.wait_for_function("Math.abs(document.getElementById('task').getBoundingClientRect().top) < 600")


def test_the_slider_follows_the_paths(made: Made, opened: Open) -> None:
    page = opened(made.address)
    longest = max(len(trace["x"]) for trace in page.drawn("paths")["data"][1:-2])
    slider = page.page.locator("#figure-paths input[type=range]")
    slider.evaluate("one => { one.value = 100; one.dispatchEvent(new Event('input')); }")
    page.page.wait_for_selector("#figure-paths .plot[aria-label*='up to step 100.']", state="attached")
    shown = [trace for trace in page.drawn("paths")["data"][1:-2] if trace["mode"] == "lines"]
    paths = made.results.trajectories.query("problem == 'valley' and batch_size == 32 and tuned and seed == 0")
    for trace in shown:
        assert len(trace["x"]) < longest
        known = paths[(paths["optimizer"] == trace["name"]) & (paths["step"] <= 100)].iloc[-1]
        assert trace["x"][-1] == pytest.approx(known["x"], rel=1e-3)
    assert page.page.locator("#figure-paths output").text_content().startswith("100 of ")
    assert "step=100" in page.page.url
    slider.focus()
    page.page.keyboard.press("ArrowRight")
    assert page.page.locator("#figure-paths output").text_content().startswith("101 of ")


def test_highlighting_is_everywhere(made: Made, opened: Open) -> None:
    page = opened(made.address)
    page.page.click(".legend button:has-text('sgd')")
    for name in ("profile", "curves", "rates", "stability"):
        faint = {trace["name"] for trace in page.drawn(name)["data"] if trace.get("opacity", 1) < 0.2}
        assert "sgd" not in faint, name
        assert "adam" in faint, name
    assert page.page.locator("#standings tr.lit th").text_content() == "sgd"
    assert "lit=sgd" in page.page.url


def test_the_theme_follows_the_system_and_a_switch(made: Made, opened: Open) -> None:
    page = opened(made.address, color_scheme="dark").page
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.select_option("#theme", "light")
    assert page.evaluate(paper) == "rgb(255, 255, 255)" != dark
    page.reload()
    assert page.evaluate(paper) == "rgb(255, 255, 255)", "it is remembered"
    page.select_option("#theme", "dark")
    assert page.evaluate(paper) == dark
    page.wait_for_selector(".plot text", state="attached")
    assert page.evaluate("getComputedStyle(document.querySelector('.plot text')).fill") != "rgb(31, 35, 40)"
    page.select_option("#theme", "auto")
    page.emulate_media(color_scheme="light")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"


#: What the focus is in.
WHERE = """() => {
  const place = document.activeElement.closest("[data-filter], .legend, .contents, #standings, #speedup, figure");
  return place?.dataset.filter ?? (place?.id || place?.className);
}"""


def test_the_keyboard_reaches_everything(made: Made, opened: Open) -> None:
    page = opened(made.address, anew=True).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    missing = {"problem", "batch_size", "device", "optimizer", "legend"}
    missing |= {"contents", "standings", "speedup", "figure-profile"}
    for _ in range(90):
        page.keyboard.press("Tab")
        missing.discard(page.evaluate(WHERE))
        if not missing:
            break
    assert missing == set()
    page.locator("#standings th[data-column=score] button").focus()
    page.keyboard.press("Enter")
    assert page.locator("#standings th[data-column=score]").get_attribute("aria-sort") == "ascending"
    page.locator("[data-filter=problem] summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("[data-filter=problem] input").first.is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("[data-filter=problem] input").first.is_visible()


def test_without_scripts_tables_and_figures_are_there(made: Made, opened: Open) -> None:
    page = opened(made.address, scripts=False).page
    assert page.locator("#standings tbody tr").count() == 3
    assert page.locator(".group:visible table").count() == 6
    assert page.locator("#speedup .hatched, #speedup .shade").count() == 18
    assert page.locator("figure noscript svg, figure .static svg, figure .static img").first.is_visible()
    assert not page.locator("#bar").is_visible()
    assert page.locator(".js-only:visible").count() == 0
    page.click("#speedup tbody tr:nth-child(3) th a")
    page.wait_for_url(re.compile("#task-3$"))


def test_printing_gives_a_clean_paper(made: Made, opened: Open) -> None:
    page = opened(made.address, color_scheme="dark")
    page.all_drawn()
    page.page.emulate_media(media="print")
    assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.page.locator(".legend").is_visible(), "colours need their names on paper too"
    for selector in ("#bar .row", ".contents", ".tools", ".controls", "#theme", "#downloads"):
        assert page.page.locator(selector).first.is_hidden(), selector
    assert page.page.evaluate("getComputedStyle(document.querySelector('.plot text')).fill") == "rgb(0, 0, 0)"
    page.page.evaluate("""() => {
      const all = () => [...document.querySelectorAll(".main-svg")].map(one => one.getBoundingClientRect().width);
      window.widest = () => Math.max(...all());
      addEventListener("beforeprint", () => { window.onPaper = widest(); }, { once: true }); }""")
    paper = page.page.pdf(format="A4", page_ranges="1-3")
    assert page.page.evaluate("onPaper") <= 660
    page.page.wait_for_function("widest() > 660")
    assert paper.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 3


def test_printing_while_figures_are_being_drawn(made: Made, opened: Open) -> None:
    """On a slow machine a page is printed before all is drawn; afterwards each figure fills its place again."""
    page = opened(made.address)
    processor = page.page.context.new_cdp_session(page.page)
    processor.send("Emulation.setCPUThrottlingRate", {"rate": 3})
    page.page.reload()
    page.ready()
    page.page.pdf(format="A4", page_ranges="1")
    processor.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    page.page.wait_for_function(
        """() => [...document.querySelectorAll("figure[data-figure] .plot")].every(one => {
          const svg = one.querySelector(".main-svg");
          return svg && !one.matches(".waiting") && svg.getBoundingClientRect().width === one.clientWidth; })"""
    )


def test_a_table_that_goes_on_says_so_at_its_edge(made: Made, opened: Open) -> None:
    """A shade that stays, below one that moves with the rows and covers it at their end; none on paper."""
    page = opened(made.address)
    page.page.wait_for_selector(".tall", state="attached")
    style = "one => { const all = getComputedStyle(one); return [all.backgroundImage, all.backgroundAttachment]; }"
    box = page.page.locator(".tall").first
    image, moves = box.evaluate(style)
    assert image.count("linear-gradient") == 4
    assert moves == "local, local, scroll, scroll"
    assert box.evaluate("one => one.scrollHeight > one.clientHeight")
    page.page.emulate_media(media="print")
    assert box.evaluate(style)[0] == "none"
    assert box.evaluate("one => one.scrollHeight <= one.clientHeight + 1")


def test_a_phone_needs_no_sideways_scrolling(made: Made, opened: Open) -> None:
    page = opened(made.address, anew=True, viewport={"width": 390, "height": 800})
    page.drawn("stability")
    assert page.page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_figure_is_saved_as_svg(made: Made, opened: Open, tmp_path: Path) -> None:
    page = opened(made.address)
    for name in ("#figure-profile button.svg", "[data-matrix=speedup] button.svg"):
        page.drawn("profile")
        with page.page.expect_download() as waiting:
            page.page.click(name)
        waiting.value.save_as(tmp_path / "figure.svg")
        text = (tmp_path / "figure.svg").read_text("utf-8")
        assert text.startswith("<svg")
        assert "momentum" in text, "with a legend"
