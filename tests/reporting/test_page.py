"""The page: complete in itself, escaped, and with the same numbers as the tables."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from optbench.formatting import format_cell
from optbench.metrics.tables import all_tables
from optbench.plots import style
from optbench.plots.draw import Picture
from optbench.plots.loss_against_cost import loss_against_cost
from optbench.plots.style import GRID, INK, PAPER, save
from optbench.reporting.html_tables import in_words
from optbench.reporting.inline import inline_svg
from optbench.reporting.page import Meta, render
from optbench.reporting.section import Section
from tests.support.frames import PROBLEMS, VALLEY, Frames, make

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}


class Page(HTMLParser):
    """Checks that every element is closed, and collects what is of interest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text.append(data)


def tables_of(frames: Frames) -> dict[str, pd.DataFrame]:
    return all_tables(SimpleNamespace(**frames.__dict__))


def page_of(
    tables: dict[str, pd.DataFrame],
    pictures: tuple[Picture, ...] = (),
    sections: Sequence[Section] = (),
    **meta: object,
) -> str:
    return render("quick", tables, pictures, Meta(**meta), sections)


@pytest.fixture(scope="module")
def frames() -> Frames:
    """Of those optimizers in whose cells something fails, and of three others."""
    six = ["adadelta", "adagrad", "adam", "lbfgs", "nadam", "sgd"]
    return make(six, trials=6, points=8)


@pytest.fixture(scope="module")
def small() -> Frames:
    return make(optimizers=["adam", "adagrad"], problems=PROBLEMS[:2], batch_sizes=[32], trials=4, points=6)


@pytest.fixture(scope="module")
def tables(frames: Frames) -> dict[str, pd.DataFrame]:
    return tables_of(frames)


@pytest.fixture(scope="module")
def page_text(tables: dict[str, pd.DataFrame]) -> str:
    return page_of(tables)


@pytest.fixture(scope="module")
def svg(small: Frames, tmp_path_factory: pytest.TempPathFactory) -> str:
    figure, _ = loss_against_cost(small.curves, small.cells, VALLEY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "FORMATS", {"svg": style.FORMATS["svg"]})
        return save(figure, tmp_path_factory.mktemp("plots"), "loss")


def test_it_is_one_file_without_a_network(small: Frames, svg: str) -> None:
    pictures = (
        Picture(VALLEY, "loss_against_cost", "Loss", "How to read it.", svg),
        Picture("", "performance_profile", "Profile", "How to read it.", svg),
    )
    text = page_of(tables_of(small), pictures, command="python -m optbench run", config="seeds = 3\n")
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag in ("iframe", "object", "link")] or all(
        attrs.get("href") == "data:," for tag, attrs in page.tags if tag == "link"
    )
    links = [(tag, attrs[name]) for tag, attrs in page.tags for name in ("href", "src", "xlink:href") if name in attrs]
    assert all(target.startswith(("#", "data:")) for _, target in links), links
    assert len(page.ids) == len(set(page.ids)), "the figures' ids do not clash"
    fixed = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "http" not in fixed
    for target in [target[1:] for _, target in links if target.startswith("#")] + re.findall(r"url\(#([^)]+)\)", fixed):
        assert target in page.ids


def test_all_text_from_results_is_escaped(small: Frames, svg: str) -> None:
    evil = "<script>alert(1)</script>"
    bad = Frames(**{name: frame.copy() for name, frame in small.__dict__.items()})
    for frame in (bad.runs, bad.trials, bad.cells, bad.curves):
        frame["optimizer"] = frame["optimizer"].replace("adam", evil)
        frame["problem"] = frame["problem"].replace(VALLEY, f'"><img src=x>{evil}')
        frame.loc[frame["status"] != "ok", "error"] = evil
    picture = Picture(evil, "loss_against_cost", f'"{evil}', evil, svg)
    text = page_of(tables_of(bad), (picture,), command=evil, config=evil, created=evil,
                   environments={evil: {"processor": evil, "packages": {evil: evil}}})  # fmt: skip
    page = Page(text)
    own = [attrs for tag, attrs in page.tags if tag == "script"]
    assert len(own) == 5, "the page's own scripts and data, and no other"
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert "<script>alert" not in text
    assert evil in "".join(page.text)


def test_the_data_of_the_page_are_the_tables(tables: dict[str, pd.DataFrame], page_text: str) -> None:
    text = page_text
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    packed = text.partition('id="packed-tables">')[2].partition("</script>")[0]
    downloads = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert set(data["frames"]) | set(downloads) >= set(tables)
    assert set(downloads) == set(data["about"]["packed"])
    for name, table in tables.items():
        stored = (data["frames"].get(name) or downloads[name])["columns"]
        assert list(stored) == list(table.columns)
        for column in table:
            assert_same(stored[column], table[column])


def assert_same(stored: dict[str, Any], column: pd.Series) -> None:
    """Whether a column as the page has it reads back as what it was."""
    if "all" in stored:
        values = [stored["all"]] * len(column)
    else:
        values = stored["is"] if "is" in stored else [None if at < 0 else stored["of"][at] for at in stored["at"]]
    assert len(values) == len(column)
    for value, known in zip(values, column, strict=True):
        if value is None:
            assert known is None or pd.isna(known)
        else:
            assert value == known if isinstance(value, (int, float)) else str(value) == str(known)


def test_a_section_says_what_its_tables_say(tables: dict[str, pd.DataFrame], page_text: str) -> None:
    text = " ".join("".join(Page(page_text).text).split())
    overall = tables["recommendation"].query("scope == 'all tasks' and recommended").sort_values("trials").iloc[-1]
    assert overall["sentence"] in text
    sentences = (
        tables["recommendation"].query("scope == 'all tasks' and sentence != ''").sort_values("trials")["sentence"]
    )
    assert len(sentences) == 3
    assert all(sentence in text for sentence in sentences[:-1])
    judged = tables["verdicts"].groupby(["problem", "batch_size"])
    assert text.count("Verdicts come from an exact test on paired seeds against adam. ") == judged.ngroups
    marked = tables["leaderboard"]["audit"].str.contains("default_not_beaten").sum()
    assert marked
    assert text.count("default not beaten") >= marked


def test_tables_are_semantic_and_hold_the_numbers_of_the_leaderboard(
    tables: dict[str, pd.DataFrame], page_text: str
) -> None:
    text = page_text
    tags = Page(text).tags
    # The leaderboard, two matrices, a group a task, rates by problem, failures, spending, audit.
    assert text.count("<table") == text.count("<caption>") == 1 + 2 + 6 + 3 + 1 + 1 + 1
    assert all("scope" in attrs for tag, attrs in tags if tag == "th")
    board = tables["leaderboard"]
    for row in board.to_dict("records"):
        if row["n_ok"]:
            value = f"{row['test_metric']!r}".removesuffix(".0")
            assert f'class="number" data-v="{value}">{format_cell("test_metric", row["test_metric"])}</td>' in text


def test_what_is_lacking_is_said(frames: Frames, page_text: str) -> None:
    text = "".join(Page(page_text).text)
    assert "34 of 36 cells complete, 2 failed" in text
    assert "Partial" not in text
    assert "Substitute data: mnist_cnn[data=digits] and cifar_resnet[data=digits,depth=8]" in text
    assert "agreed little with that on MNIST (Kendall's τ 0.21" in text
    assert "3 seeds: too few" in text
    assert "out of memory: 9.1 GB of 8.0 GB" in text
    assert "loss not finite at step 40" in text
    assert re.search(r"\d, \S+, ∞", text), "how losses went before a failure"
    left = {"cells": frames.cells.assign(status="missing", trials=0), "runs": frames.runs.iloc[:0]}
    part = Frames(**{**frames.__dict__, **left, "trials": frames.trials.iloc[:0]})
    text = "".join(Page(page_of(tables_of(part))).text)
    assert "0 of 36 cells complete, 0 failed, 36 not run" in text
    assert "Partial results: 36 of 36 cells" in text
    assert "Nothing can be recommended yet" in text


def test_nothing_to_warn_of_has_no_banner() -> None:
    frames = make(optimizers=["adam", "sgd"], problems=[VALLEY], batch_sizes=[128], seeds=6, trials=6, points=8)
    text = page_of(tables_of(frames))
    assert 'class="banner"' not in text
    assert "2 of 2 cells complete, 0 failed" in text


def test_a_figure_takes_the_colours_of_the_page(svg: str) -> None:
    text = inline_svg(svg, "f1", 'a "label"')
    assert text.startswith('<svg role="img" aria-label="a &quot;label&quot;" style="--width: ')
    assert not any(color in text for color in (INK, PAPER, GRID, "<metadata", "<style", "<?xml"))
    assert "currentColor" in text
    assert {match[:3] for match in re.findall(r'id="([^"]+)"', text)} == {"f1-"}
    with pytest.raises(ValueError, match="no <svg>"):
        inline_svg("nothing", "f1", "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_style_sheet_has_enough_contrast(scheme: str) -> None:
    css = (Path(__file__).parents[2] / "optbench" / "reporting" / "assets" / "style.css").read_text("utf-8")
    blocks = {"light": [":root"], "dark": [':root:not([data-theme="light"])', ':root[data-theme="dark"]']}[scheme]
    found = [css.partition(f"{block} {{")[2].partition("}")[0] for block in blocks]
    assert len({" ".join(text.split()) for text in found}) == 1, "the system's dark and the switch's are one"
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", found[0]))

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for ink, paper in [(ink, paper) for ink in ("ink", "faint", "link", "bad") for paper in ("paper", "raised")] + [
        ("warn", "warn-paper")
    ]:
        dark, light = sorted((luminance(colors[ink]), luminance(colors[paper])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


def test_lists_in_words() -> None:
    assert [in_words(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert PROBLEMS[0] == VALLEY
