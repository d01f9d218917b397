"""Every relative link of the documents leads somewhere, to the section that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("results/*.md"), *ROOT.glob("reports/*.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.S | re.M)


def _prose(page: Path) -> str:
    return _BLOCK.sub("", page.read_text("utf-8"))


def _anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", _prose(page), re.M):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = sum(1 for one in found if one == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", one))
        found.add(f"{slug}-{number}" if number else slug)
    return found


def test_the_index_has_every_document() -> None:
    listed = _LINK.findall(_prose(ROOT / "docs" / "README.md"))
    there = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".py")}
    assert there - {"README.md"} - set(listed) == set()


def test_links_lead_somewhere() -> None:
    faults = [f"{page.relative_to(ROOT)}: {fault}" for page in PAGES for fault in _faults(page)]
    assert faults == []


def _faults(page: Path) -> Iterator[str]:
    for target in _LINK.findall(_prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists():
            yield f"{target} is not there"
        elif anchor and place.suffix == ".md" and anchor not in _anchors(place):
            yield f"{target}: {place.name} has no such section"
