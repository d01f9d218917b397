"""Every number that the page prints is a value of a table, to the digits that it has there: read without a browser."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import optbench
from optbench.metrics.quotation import quotations
from optbench.plots import style
from optbench.plots.pairwise_profile import _text
from optbench.plots.registry import PLOTS as REGISTERED
from optbench.reporting.figures import FIGURES
from optbench.results.stored import GROUP
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


@dataclass
class Shown:
    """A plot as it is drawn: the labels and places of its ticks, its frame, and the texts of its SVG."""

    name: str
    ticks: list[tuple[str, float]]
    frame: pd.DataFrame
    texts: list[str]


@pytest.fixture(scope="module")
def shown(drawn: Made, tmp_path_factory: pytest.TempPathFactory) -> list[Shown]:
    """Every plot that has something to show, those of each problem for the first one."""
    folder, found = tmp_path_factory.mktemp("shown"), []
    for name, plot in REGISTERED.items():
        for problem in drawn.results.cells["problem"].unique() if plot.each_problem else [""]:
            with suppress(style.NothingToDraw):
                pair = plot.draw(drawn.results, drawn.tables, problem)
                if pair is not None:
                    figure, frame = pair
                    figure.canvas.draw()
                    places = ticks(figure)
                    svg = style.save(figure, folder, name)
                    places += ticks(figure)  # a layout of another size may have other ticks
                    lines = re.findall(r"<text[^>]*>(.*?)</text>", svg, re.S)
                    texts = [unescape(re.sub(r"<[^>]*>", "", line)).strip() for line in lines]
                    found.append(Shown(name, places, frame, texts))
                    break
    return found


def plain(label: str) -> str:
    """A tick's label as it is in an SVG, without the commands of matplotlib's formulas."""
    return re.sub(r"\\mathdefault|[${}^\\ ]|times", "", label).replace("-", "−")


def tick_value(label: str) -> float:
    """The number that a tick's label stands for; NaN if it is a name."""
    power = re.fullmatch(r"\$\\mathdefault\{(?:([\d.]+)\\times)?10\^\{([-−]?\d+)\}\}\$", label)
    if power:
        return float(power[1] or 1) * 10.0 ** int(power[2].replace("−", "-"))
    number = re.fullmatch(r"([-−]?[\d,.]+(?:e[-+]?\d+)?) ?([kM%×]?)", label)
    scale = {"k": 1e3, "M": 1e6, "%": 0.01, "×": 1.0, "": 1.0}
    return float(number[1].replace(",", "").replace("−", "-")) * scale[number[2]] if number else np.nan


def ticks(figure: Figure) -> list[tuple[str, float]]:
    """The labels of all ticks of a figure, with their places."""
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    return [
        (tick.label1.get_text(), float(tick.get_loc()))
        for axis in axes
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        if tick.label1.get_text()
    ]


def values_of(frame: pd.DataFrame) -> np.ndarray:
    """All numbers of a frame, also those in its texts and in the names of its columns."""
    texts = {str(entry) for name in frame.select_dtypes(exclude="number") for entry in frame[name].unique()}
    named = [float(number.replace("−", "-")) for text in {*texts, *map(str, frame)} for number in printed(text)]
    return np.concatenate([numbers({"": frame}, ""), named])


#: Plots and the last character of labels that are names of columns although they look like numbers.
NAMES = [("rank_stability", "%")]  # shares of the run budget


def test_ticks_are_at_the_numbers_of_their_labels(shown: list[Shown]) -> None:
    faults = []
    for one in shown:
        values = values_of(one.frame)
        for label, place in one.ticks:
            value = tick_value(label)
            # The labels of rows and columns are names, with numbers of the frame.
            right = (
                all(same_to_the_last_digit(number, values) for number in printed(label))
                if np.isnan(value) or (one.name, label[-1]) in NAMES
                # Shares may be drawn in percent.
                else np.isclose([value, 100 * value], place, rtol=1e-6, atol=1e-12).any()
            )
            if not right:
                faults.append((one.name, label, place))
    assert not faults, "\n".join(map(str, faults))
    assert len(shown) >= 15


def counts(drawn: Made) -> dict[str, np.ndarray]:
    """How many there are of what titles count."""
    cells, audited = drawn.tables["cells"], drawn.tables["audit"]
    problems, seeds = cells["problem"].nunique(), drawn.tables["runs"]["seed"].nunique()
    board = drawn.tables["leaderboard"]
    profiles, transfer = drawn.tables["performance_profile"], drawn.tables["lr_transfer"]
    outcomes = transfer.groupby(["across", "optimizer"])["outcome"]
    return {
        r"(\d+) of \d+ not tried": outcomes.agg(lambda own: (own == "not tried").sum()).to_numpy(dtype=float),
        r"\d+ of (\d+) not tried": outcomes.size().to_numpy(dtype=float),
        r"(\d+) problems": np.array([problems]),
        r"(\d+) seeds": np.array([seeds]),
        r"(\d+) of \d+ seeds failed": (board["n_runs"] - board["n_ok"]).to_numpy(dtype=float),
        r"(\d+) tasks": np.array([len(cells[GROUP].drop_duplicates())]),
        r"(\d+) of \d+ cells": np.array([audited["cell_id"].nunique()]),
        r"\d+ of (\d+) cells": np.array([len(cells)]),
        r"(\d+) problems × seeds": np.array([problems * seeds]),
        r"(\d+) targets": profiles["units"].unique().astype(float),
    }


#: Texts whose numbers are definitions: the level of intervals, the ends of a scale.
DEFINITIONS = [r"(95) % interval", r"score: (0) untrained", r"score: 0 untrained, (1) at the target"]


def explained(text: str, known: dict[str, np.ndarray]) -> str:
    """A text without the numbers that are definitions, or counts that are right."""
    places = [found.span(1) for pattern in DEFINITIONS for found in re.finditer(pattern, text)]
    places += [
        found.span(1)
        for pattern, values in known.items()
        for found in re.finditer(pattern, text)
        if same_to_the_last_digit(found[1].replace(",", ""), values)
    ]
    return "".join(letter for place, letter in enumerate(text) if not any(a <= place < b for a, b in places))


#: The tables from which plots write numbers in addition to those of their frames.
TABLES = {"performance_profile": "performance_profile"}


def test_all_other_texts_of_figures_are_numbers_of_their_frames(drawn: Made, shown: list[Shown]) -> None:
    known, faults = counts(drawn), []
    for one in shown:
        labels = {plain(line) for label, _ in one.ticks for line in label.split("\n")}
        others = [text for text in one.texts if plain(text) not in labels]
        more = numbers(drawn.tables, TABLES[one.name]) if one.name in TABLES else np.zeros(0)
        values = np.concatenate([values_of(one.frame), more])
        for text in others:
            rest = explained(text.replace(f"optbench {optbench.__version__}", "optbench"), known)
            faults += [(one.name, text, n) for n in printed(rest) if not same_to_the_last_digit(n, values)]
    assert not faults, "\n".join(map(str, faults))


class Sentences(HTMLParser):
    """The texts of a page, except tables, figures, code and what is only for scripts."""

    LEFT_OUT = frozenset({"script", "style", "svg", "table", "pre", "code", "select", "title"})
    BLOCKS = frozenset({"p", "li", "caption", "figcaption", "dd", "dt", "summary", "h1", "h2", "h3", "h4", "div"})
    EMPTY = frozenset({"meta", "link", "input", "br", "wbr", "img", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = [""]
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: object) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag in self.BLOCKS:
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass
        if tag in self.BLOCKS:
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if not self.LEFT_OUT & {*self.open}:
            self.texts[-1] += data


def fixed_texts() -> str:
    """Everything that the page says of any results: its template, captions, and rules of the protocol."""
    template = files("optbench.reporting").joinpath("templates", "page.html.j2").read_text("utf-8")
    captions = [figure.reading for figure in FIGURES.values()] + [plot.caption for plot in REGISTERED.values()]
    return " ".join(unescape(re.sub(r"<[^>]*>", "", text)) for text in [template, *captions])


#: Sentences of other origins, with the reason why their numbers are in no table.
EXEMPT = [
    r"python [\d.]+, optbench .*|.*\(\d+ cores\)",  # the environment, as it was recorded
    r"\d{4}-\d\d-\d\d \d\d:\d\d .*",  # when the page was made
    r"Equal compute\. .* count 1, a forward pass alone counts 1/3\..*",  # the definition of the unit
]


def test_every_sentence_with_a_number_has_those_of_its_tables(drawn: Made) -> None:
    page, tables, known = drawn.path.read_text("utf-8"), drawn.tables, counts(drawn)
    cells, judged = tables["cells"], tables["verdicts"]
    quotes = dict(zip(quotations(judged, cells, tables["runs"]), judged.to_dict("records"), strict=True))
    families = judged.groupby([*GROUP, "reference"])["p_holm"].count().to_numpy(dtype=float)
    seeds, worth = np.array([tables["runs"]["seed"].nunique()]), drawn.results.directory.config().tuning.worth
    sizes, budgets = numbers({"": cells[["batch_size"]]}, ""), numbers({"": cells[["run_budget", "tuning_budget"]]}, "")
    done = np.array([len(cells), (cells["status"] == "ok").sum(), (cells["status"] != "ok").sum()])
    allowed = [
        (r"With .* tun.*", numbers(tables, "recommendation")),
        (r".*, batch \d+, .*, schedule .*", sizes),
        (r".*P-values are adjusted for \d+ comparisons?\..*", families),
        (r"\d+ of \d+ cells complete, \d+ failed.*", done),
        (r"[\d, and]+", np.concatenate([sizes, seeds])),
        (r".* per run, .* for tuning \(example gradients\)", budgets),
        (r"Equal compute.*", np.array([worth, 1, 3])),
        (r"Fresh seeds\. Final runs use \d+ seeds.*|.*\d+ seeds: too few.*", seeds),
        (r"Weight decay is 0\..*", np.zeros(1)),
    ]
    fixed, faults, checked = " ".join(fixed_texts().split()), [], 0
    # A whole sentence: a number alone would be found in any text.
    environment = {text for text in Sentences(page[page.index("Environment ") :]).texts if text}
    for text in (" ".join(text.split()).removeprefix("How to read this. ") for text in Sentences(page).texts):
        rest = explained(text.replace(f"optbench {optbench.__version__}", "optbench"), known)
        constant = (text in fixed and " " in text) or text in environment
        if not printed(rest) or constant or any(re.fullmatch(pattern, text) for pattern in EXEMPT):
            continue
        values = next((values for pattern, values in allowed if re.fullmatch(pattern, text)), np.zeros(0))
        if text in quotes:
            row = pd.DataFrame([quotes[text]])
            values = np.concatenate([numbers({"": row}, ""), families, budgets, [1.05, 1.0]])
        faults += [(text, number) for number in printed(rest) if not same_to_the_last_digit(number, values)]
        checked += 1
    assert not faults, "\n".join(map(str, faults))
    assert checked >= 20


def test_a_small_difference_is_neither_zero_nor_rounded_to_hundredths() -> None:
    assert [_text(value) for value in (0.016, -0.0022, 0.0, 0.5, float("nan"))] == [
        "+0.016",
        "−0.0022",
        "0",
        "+0.50",
        "",
    ]
