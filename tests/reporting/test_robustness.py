"""Pages of strange, partial and failed results, of addresses that can't be read, and in old browsers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.reporting.conftest import Made, Opened, make_page, new_page

Open = Callable[..., Opened]


@pytest.mark.parametrize(
    "address",
    ["#task?task={bad&x=foo&step=NaN&lit=nobody&reference=%E0%A4%A&sort=a:b", "#?problem=gone", "#nowhere?y=&by=%"],
)
def test_an_address_that_cannot_be_read_costs_nothing(made: Made, opened: Open, address: str) -> None:
    page = opened(f"{made.address}{address}")
    if "gone" in address:
        page.page.wait_for_selector("#figure-curves .plot:has-text('No results pass the filters')", state="attached")
        page.page.click("#reset")
    page.drawn("curves")
    assert len(page.table("#standings")) == 3


def test_where_figures_cannot_be_drawn_their_fixed_form_is_there(made: Made, browser: Any) -> None:
    page = new_page(browser)
    page.add_init_script("delete window.DecompressionStream")
    page.goto(made.address)
    page.wait_for_selector("html[data-ready]", state="attached")
    page.wait_for_selector("#figure-profile .plot.fixed svg, #figure-profile .plot.fixed img")
    assert page.locator("#standings tbody tr").count() == 3
    page.click("[data-filter=problem] summary")
    page.uncheck("[data-filter=problem] input[value=digits]")
    page.wait_for_function("document.querySelector('#figure-profile .plot').hidden")
    page.wait_for_selector("#figure-profile .note:has-text('hidden while a filter is active')")
    page.context.close()


def test_data_of_a_figure_that_cannot_be_drawn_are_those_of_the_selection(made: Made, browser: Any) -> None:
    page = new_page(browser)
    page.add_init_script("delete window.DecompressionStream")
    page.goto(made.address)
    page.wait_for_selector("#figure-profile .plot.fixed")
    page.click("#figure-profile details.data summary")
    names = page.locator("#figure-profile details.data tbody th")
    names.nth(2).wait_for(state="attached")  # the table is made after the click
    assert sorted(names.all_text_contents()) == ["adam", "momentum", "sgd"]
    page.click("[data-filter=optimizer] summary")
    page.uncheck("[data-filter=optimizer] input[value=adam]")
    page.wait_for_function("document.querySelector('#figure-profile .plot').hidden")
    names.nth(2).wait_for(state="detached")
    assert sorted(names.all_text_contents()) == ["momentum", "sgd"]
    page.context.close()


def test_a_figure_that_fails_stops_no_other(made: Made, browser: Any) -> None:
    page = new_page(browser)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(made.address)
    page.wait_for_function("!document.querySelector('.plot.waiting')")
    page.evaluate("""() => { const whole = Plotly.react; Plotly.react = (plot, ...rest) => {
      if (plot.closest("#figure-profile")) throw new Error("made up");
      return whole(plot, ...rest); }; }""")
    page.click("[data-filter=optimizer] summary")
    page.uncheck("[data-filter=optimizer] input[value=adam]")
    page.wait_for_function("!document.querySelector('.plot.waiting')")
    assert page.locator("#figure-profile .plot.fixed").is_hidden()
    assert "made up" in " ".join(said)
    assert page.locator(".plot.waiting").count() == 0
    names = """[...document.querySelectorAll(".js-plotly-plot:not(.fixed)")]
      .flatMap(one => (one.data ?? []).map(trace => trace.name))"""
    assert "sgd" in page.evaluate(names)
    assert "adam" not in page.evaluate(names)
    page.context.close()


NAMES = ("<script>alert(1)</script>", "</script><b>", "\"quoted\" & 'so'", "größe–尺寸", "m" * 60)


def test_strange_names_are_shown_and_not_run(opened: Open, tmp_path: Path) -> None:
    made = make_page(
        tmp_path / "results <b>",
        optimizers=NAMES,
        problems=("valley[a=\"<i>\",b='x']", "{{7*7}}"),
        batch_sizes=[32],
        seeds=2,
        trials=3,
    )
    page = opened(made.address)
    page.page.on("dialog", lambda dialog: page.errors.append("a dialog opened"))
    for name in ("profile", "curves", "rates", "gain", "scores", "ends", "paths"):
        page.drawn(name)
    assert sorted(row["optimizer"] for row in page.table("#standings")) == sorted(NAMES)
    page.page.click(f".legend button >> text={NAMES[4]}")
    assert page.page.locator("h1").inner_text() == "results <b>"
    assert page.page.locator("main b:has-text('script'), main i").count() == 0
    page.page.select_option("#bar select", NAMES[0])
    assert NAMES[0] in page.page.locator("#standings caption").text_content()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 1200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"missing": 4}, "Partial results: 4 of 4 cells have no result yet", marks=pytest.mark.slow),
        pytest.param({"missing": 1, "seeds": 1}, "Partial results: 1 of 4 cells", marks=pytest.mark.slow),
        ({"optimizers": ["adam"], "problems": ["clouds"]}, "1 of 1 cells complete, 0 failed"),
        ({"failing": [(problem, name) for problem in ("valley", "clouds") for name in ("adam", "sgd")]},
         "Nothing can be recommended yet"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said(opened: Open, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    small = {
        "optimizers": ["adam", "sgd"],
        "problems": ["valley", "clouds"],
        "batch_sizes": [32],
        "trials": 3,
        "points": 6,
    }
    made = make_page(tmp_path / "part", **(small | options))
    page = opened(made.address)
    page.page.wait_for_function(
        "[...document.querySelectorAll('figure[data-figure] .plot')]"
        ".every(one => one.closest('[hidden]') || one.textContent)"
    )
    text = page.text()
    assert said in text
    assert "NaN" not in text
    assert "undefined" not in text
