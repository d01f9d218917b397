"""The page under axe-core, and what its rules don't see."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.reporting.conftest import Made, Opened

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_axe_finds_nothing_serious(made: Made, opened: Callable[..., Opened], scheme: str, width: int) -> None:
    page = opened(made.address, color_scheme=scheme, viewport={"width": width, "height": 900})
    if scheme == "light":
        page.page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true; })")
        page.page.wait_for_function("!document.querySelector('figure[data-figure] details.data > div:empty')")
    for name in ("profile", "curves", "paths", "stability"):
        page.drawn(name)
    page.page.click(".legend button:has-text('sgd')")
    page.settled()
    # What figures are drawn of are images to a screen reader: their parts have no roles of their own.
    found = axe.Axe().run(page.page, {"exclude": [[".main-svg"], [".still svg"]]}).response["violations"]
    serious = [
        (one["id"], one["help"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_tables_are_semantic(made: Made, opened: Callable[..., Opened]) -> None:
    page = opened(made.address).page
    bare = page.evaluate(
        "[...document.querySelectorAll('main table')].filter(table => !table.caption?.textContent.trim() "
        "|| [...table.querySelectorAll('th')].some(head => !head.scope)).length"
    )
    assert bare == 0
    assert page.locator("main section").count() == page.locator("main section[aria-labelledby]").count() == 9
    assert page.locator("h1").count() == 1
