"""Where a reader is on the page: links into far sections, windows that change, and what is left out meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.reporting.conftest import Made, Opened

Open = Callable[..., Opened]

#: How far the top of a section is from where it should be: below the bar.
OFF = """name => Math.abs(document.getElementById(name).getBoundingClientRect().top
  - parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop))"""
#: Sections that are not laid out.
SKIPPED = """[...document.querySelectorAll("main > section")]
  .filter(one => !one.firstElementChild.checkVisibility({contentVisibilityAuto: true})).map(one => one.id)"""
SMALL: dict[str, Any] = {"viewport": {"width": 1200, "height": 600}, "reduced_motion": "no-preference"}


@pytest.mark.parametrize("section", ["task", "trust"])
def test_an_address_leads_to_its_section(made: Made, opened: Open, section: str) -> None:
    page = opened(f"{made.address}#{section}?x=steps", anew=True, **SMALL)
    assert page.page.evaluate(OFF, section) < 2
    page.all_drawn()
    page.settled()
    assert page.page.evaluate(OFF, section) < 2, "sections above have got their height"


def test_links_and_pasted_addresses_lead_to_their_section(made: Made, opened: Open) -> None:
    page = opened(made.address, **SMALL)
    page.page.click(".contents a[href='#trust']")
    page.page.wait_for_function(f"name => ({OFF})(name) < 2", arg="trust")
    assert page.page.evaluate("document.activeElement.id") == "trust"
    page.page.evaluate("location.hash = 'batch-size?optimizer=sgd'")
    page.all_drawn()
    assert page.page.evaluate(OFF, "batch-size") < 2
    page.page.evaluate("scrollTo(0, 500)")
    page.page.click(".legend button:has-text('sgd')")
    page.page.evaluate("scrollTo(0, 900)")
    page.page.go_back()
    page.page.wait_for_selector(".legend:not(.some)")
    assert page.page.evaluate(OFF, "batch-size") > 500, "going back is no new arrival"


def test_what_is_far_from_view_is_left_out_only_while_figures_are_drawn(made: Made, opened: Open) -> None:
    page = opened(made.address, **SMALL)
    page.all_drawn()
    assert page.page.evaluate(SKIPPED) == []
    height = "document.documentElement.scrollHeight"
    whole = page.page.evaluate(height)
    skipped, meanwhile = page.page.evaluate(
        f"""async () => {{ const select = document.querySelector("#bar select");
        select.value = "sgd"; select.dispatchEvent(new Event("change"));
        await new Promise(requestAnimationFrame); await new Promise(done => setTimeout(done));
        return [{SKIPPED}, {height}]; }}"""
    )
    assert {"trust", "methods"} <= set(skipped)
    assert "answer" not in skipped
    assert abs(meanwhile - whole) < 100, "sections keep the height that they had"
    page.all_drawn()
    assert page.page.evaluate(SKIPPED) == []


def test_figures_fill_a_window_that_is_resized_while_they_are_drawn(made: Made, opened: Open) -> None:
    page = opened(made.address)
    page.all_drawn()
    for width in (800, 700, 1000):
        page.page.click(f".legend button:has-text('{'sgd' if width == 700 else 'adam'}')")
        page.page.set_viewport_size({"width": width, "height": 900})
    page.page.wait_for_function(
        """[...document.querySelectorAll("figure[data-figure]:not([hidden]) .plot")].every(one =>
          !one.matches(".waiting")
          && one.querySelector(".main-svg").getBoundingClientRect().width === one.clientWidth)"""
    )


def test_names_below_an_axis_do_not_overlap_on_a_phone(made: Made, opened: Open) -> None:
    page = opened(made.address, viewport={"width": 330, "height": 800})
    page.drawn("stability")
    places = page.page.locator("#figure-stability .xtick text").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    assert len(places) > 10
    assert all(right <= left + 2 for (_, right), (left, _) in itertools.pairwise(places))
