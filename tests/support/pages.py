"""What the documents tell a reader to type: fenced blocks by language, and commands in blocks and in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md", "reports/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
#: How a command begins that stands in the text. Anything else in backquotes is a name, an option, a formula.
_INLINE = re.compile(
    r"`((?:optbench|python -m|python docs/|make|pytest|pip install|dask|py-spy|\.venv/bin/\S+) [^`]+)`", re.S
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that it is, where its first line says so."""
        named = re.match(r"# (\S+\.\w+)\n", self.text)
        return named[1] if named else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command, as it is typed, and what the page shows of its output."""

    page: str
    line: int
    text: str
    shown: str = ""

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def blocks(*languages: str, page: str | None = None) -> list[Block]:
    """The fenced blocks in these languages, of all pages or of one."""
    return [block for path in PAGES if page in (None, _name(path)) for block in _blocks(path)
            if block.language in languages]  # fmt: skip


def commands() -> list[Command]:
    """Every command of every page, those of blocks and those in the text."""
    found = [command for block in blocks("sh", "console", "yaml") for command in commands_of(block)]
    return found + [command for path in PAGES for command in _inline(path)]


def commands_of(block: Block) -> list[Command]:
    """The commands of a block: lines of a shell, those after a prompt, or the steps of a workflow."""
    if block.language == "console":
        parts = re.split(r"^\$ ", block.text, flags=re.M)[1:]
        return [Command(block.page, block.line, *_typed_and_shown(part)) for part in parts]
    lines = block.text
    if block.language == "yaml":
        jobs = yaml.safe_load(block.text)["jobs"].values()
        lines = "\n".join(step["run"] for job in jobs for step in job["steps"] if "run" in step)
    whole = re.sub(r"\\\n\s*", "", lines)
    return [
        Command(block.page, block.line, re.sub(r"\s+#\s.*", "", line.strip()))
        for line in whole.splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]


def _typed_and_shown(part: str) -> tuple[str, str]:
    typed, _, shown = part.partition("\n")
    return typed.strip(), shown


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(path: Path) -> list[Block]:
    text = path.read_text("utf-8")
    return [
        Block(_name(path), text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in _FENCE.finditer(text)
    ]


def _inline(path: Path) -> list[Command]:
    text = path.read_text("utf-8")
    prose = _FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    return [
        Command(_name(path), prose.count("\n", 0, found.start()) + 1, re.sub(r"\s+", " ", found[1]))
        for found in _INLINE.finditer(prose)
    ]
