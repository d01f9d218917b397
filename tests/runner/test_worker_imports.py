"""What a worker imports before its first cell: not what only tables and plots need."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.support.layout import ROOT

#: Packages that take as long to import as a short training, or longer.
HEAVY = {"matplotlib", "pandas", "pyarrow", "scipy.optimize", "scipy.stats", "seaborn", "sklearn", "torchvision"}


def imported(module: str) -> Iterator[str]:
    """The modules, and names in them, that a module of the package imports when it is imported itself."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    statements = list(ast.parse(file.read_text("utf-8")).body) if file.exists() else []
    while statements:
        statement = statements.pop()
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        elif not isinstance(statement, (ast.FunctionDef, ast.If)):
            statements.extend(node for node in ast.iter_child_nodes(statement) if isinstance(node, ast.stmt))


def reached(*modules: str) -> dict[str, str]:
    """By each imported name the module that imports it, beginning with these modules."""
    found, waiting = dict.fromkeys(modules, ""), list(modules)
    while waiting:
        module = waiting.pop()
        for name in imported(module):
            parts = name.split(".")
            for part in (".".join(parts[:length]) for length in range(1, len(parts) + 1)):
                if part not in found:
                    found[part] = module
                    if parts[0] == "optbench":
                        waiting.append(part)
    return found


def test_a_worker_imports_no_package_that_only_tables_and_plots_need() -> None:
    names = reached("optbench.runner.cell", "optbench.runner.timing_pass")
    assert {name: names[name] for name in HEAVY & names.keys()} == {}


def test_the_search_finds_what_tables_import() -> None:
    names = reached("optbench.metrics.tables")
    assert {"pandas", "scipy.stats"} <= names.keys()
