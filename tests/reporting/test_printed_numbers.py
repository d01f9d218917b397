"""Every number that the page prints is a value of a table, to the digits that it has there: read without a browser."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

from optbench.plots.pairwise_profile import _text
from tests.reporting.conftest import Made, make_page

PLOTS = (("pairwise_profile", ""), ("verdicts", ""))
NUMBER = re.compile(r"[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The optimizers of the second problem are close to each other: small differences are printed."""
    return make_page(tmp_path_factory.mktemp("page") / "printed", PLOTS, seeds=7, batch_sizes=(32,))


def printed(text: str) -> list[str]:
    return [found.replace(",", "") for found in NUMBER.findall(text)]


def same_to_the_last_digit(text: str, values: np.ndarray) -> bool:
    """Whether a printed number is one of the values, rounded to the digits that are printed."""
    number = text.replace("−", "-")
    mantissa, _, power = number.partition("e")
    unit = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    # A half may be rounded either way.
    return bool((np.abs(values - float(number)) <= 0.5 * unit * (1 + 1e-6)).any())


def numbers(tables: dict[str, pd.DataFrame], *names: str) -> np.ndarray:
    """All numbers of the tables of these names, and their hundredfold (percent)."""
    parts = [tables[name].select_dtypes("number").to_numpy(dtype=float, na_value=np.nan).ravel() for name in names]
    values = np.concatenate(parts)
    return np.concatenate([values, -values, 100 * values])


def svg_texts(page: str, title: str) -> list[str]:
    """The texts of a static figure in the page."""
    found = re.search(rf'<svg role="img" aria-label="{title}".*?</svg>', page, re.S)
    assert found is not None, title
    lines = re.findall(r"<(?:text|tspan)[^>]*>([^<]+)<", found[0])
    return [unescape(line).strip() for line in lines if line.strip()]


@pytest.mark.parametrize(
    ("plot", "table", "field"),
    [
        ("pairwise_profile", "pairwise_profile", r"\(?[+−]?[\d.e-]+\)?"),
        ("verdicts", "verdicts", r"(?:×|\+|−).*\d|\d+ more seeds"),
    ],
)
def test_fields_of_fixed_figures_are_numbers_of_their_tables(drawn: Made, plot: str, table: str, field: str) -> None:
    fields = [text for text in svg_texts(drawn.path.read_text("utf-8"), plot) if re.fullmatch(field, text)]
    assert len(fields) >= 4
    values = numbers(drawn.tables, table)
    for text in fields:
        for number in printed(text):
            assert same_to_the_last_digit(number, values), text
            assert float(number.replace("−", "-")) or not number.startswith(("+", "−", "-")), (
                f"{text}: a zero has no sign"
            )


def test_entries_of_tables_are_the_values_that_they_carry(drawn: Made) -> None:
    entries = re.findall(r'<td[^>]*data-v="([^"]*)"[^>]*>(.*?)</td>', drawn.path.read_text("utf-8"), re.S)
    shown = [(float(value), unescape(re.sub(r"<[^>]*>", "", text))) for value, text in entries if value]
    assert len(shown) > 100
    for value, text in shown:
        if found := printed(text):
            assert any(same_to_the_last_digit(one, np.array([value, 100 * value])) for one in found), (value, text)


def test_sentences_of_the_answer_have_numbers_of_the_recommendation(drawn: Made) -> None:
    page = drawn.path.read_text("utf-8")
    section = page[page.index('<section id="answer"') : page.index('id="standings"')]
    texts = [unescape(text) for text in re.findall(r'(?:<p class="lead">|<li>)(.*?)(?:</p>|</li>)', section, re.S)]
    values = np.append(numbers(drawn.tables, "recommendation"), 95)
    assert len(texts) >= 4
    for text in texts:
        for number in printed(text):
            assert same_to_the_last_digit(number, values), (number, text)


def test_a_small_difference_is_neither_zero_nor_rounded_to_hundredths() -> None:
    assert [_text(value) for value in (0.016, -0.0022, 0.0, 0.5, float("nan"))] == [
        "+0.016",
        "−0.0022",
        "0",
        "+0.50",
        "",
    ]
