"""The rooms of the package, what they import, and whether that is in order: `python -m tests.support.layout [PACKAGE]`.

A room is a file or folder directly in the package; functions that import when they are called count as well, imports
for type hints alone don't. A layer is the number of rooms in the longest chain of imports.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Each room may import those before it.
ROOMS = (
    "errors", "formatting", "statistics", "selection", "budget", "machine", "sources", "importing", "problem",
    "problems", "optimizers", "config", "planning", "results", "training", "baselines", "metrics", "tuning",
    "conformance", "plots", "runner", "reporting", "api", "experiments", "timing", "cli",
)  # fmt: skip


def imports(package: Path, problems: Path | None = None) -> dict[str, set[str]]:
    """By module, such as `training.loop`, the modules of the package that it imports."""
    folders = {"": package, **({"problems": problems} if problems else {})}
    files = {
        ".".join(filter(None, (prefix, *file.relative_to(folder).with_suffix("").parts))).removesuffix(
            ".__init__"
        ): file
        for prefix, folder in folders.items()
        for file in folder.rglob("*.py")
    }
    return {
        name: {target for target in _imported(ast.parse(file.read_text("utf-8")), files) if target != name}
        for name, file in files.items()
        if name not in ("__init__", "__main__")
    }


def _imported(tree: ast.AST, known: Mapping[str, object]) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("optbench.") for alias in node.names if "optbench." in alias.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "optbench":
            module = (node.module or "").removeprefix("optbench").removeprefix(".")
            for alias in node.names:
                name = f"{module}.{alias.name}".removeprefix(".")
                yield name if name in known else module
        yield from _imported(node, known)


def rooms(modules: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """By room the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for module, targets in modules.items():
        room = module.partition(".")[0]
        found.setdefault(room, set()).update(target.partition(".")[0] for target in targets if target)
    return {room: targets - {room} for room, targets in found.items()}


def circles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """The sets of rooms of which each imports, by way of others, every other one."""
    reach = {room: _reached(graph, room) for room in graph}
    sets = {frozenset(other for other in reach[room] if room in reach.get(other, ())) for room in graph}
    return [set(one) for one in sorted(sets, key=sorted) if one]


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph.get(waiting.pop(), ()):
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    return reached


def layers(graph: Mapping[str, set[str]]) -> int:
    """The number of rooms in the longest chain of imports, a circle counted as one."""
    one = {room: min(circle) for circle in circles(graph) for room in circle}
    merged: dict[str, set[str]] = {}
    for room, targets in graph.items():
        own = one.get(room, room)
        merged.setdefault(own, set()).update(t for target in targets if (t := one.get(target, target)) != own)

    def depth(room: str) -> int:
        return 1 + max((depth(target) for target in merged.get(room, ())), default=0)

    return max(map(depth, merged))


def upward(modules: Mapping[str, set[str]]) -> list[str]:
    """Each import of a room that comes later in `ROOMS`, as `module imports module`."""
    place = {room: number for number, room in enumerate(ROOMS)}
    return [
        f"{module} imports {target}"
        for module, targets in sorted(modules.items())
        for target in sorted(targets)
        if target and place[target.partition(".")[0]] > place[module.partition(".")[0]]
    ]


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "optbench"
    modules = imports(folder, folder.parent / "problems")
    graph = rooms(modules)
    print(f"{len(graph)} rooms, {layers(graph)} layers, {len(circles(graph))} circles")
    for circle in circles(graph):
        print("circle:", ", ".join(sorted(circle)))
    if set(graph) <= set(ROOMS):
        print(f"{len(upward(modules))} imports point upwards", *upward(modules), sep="\n")
