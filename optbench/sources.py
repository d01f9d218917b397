"""Finds the code that a user's file or module consists of: its own files, and the packages that it imports.

Imports are read from the source text, without running it: also those inside functions, and `import_module("NAME")`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from optbench.errors import UserError

#: Packages that do not count: optbench versions its own code, and needs the others itself.
_FOUNDATION = frozenset({
    "click", "filelock", "jinja2", "matplotlib", "numpy", "optbench", "optuna", "pandas", "platformdirs", "plotly",
    "pyarrow", "pydantic", "rich", "scipy", "seaborn", "sklearn", "tomli_w", "torch", "torchvision",
})  # fmt: skip


@dataclass(frozen=True)
class Sources:
    """The code behind a file or a module.

    Attributes:
        file: The file itself.
        content: Its content.
        helpers: The other files of the user that it needs, by module name.
        packages: The installed packages that it imports, each with its version.
    """

    file: Path
    content: bytes
    helpers: dict[str, tuple[Path, bytes]]
    packages: tuple[str, ...]

    @property
    def digest(self) -> str:
        """12 hexadecimal digits; of the file alone if it needs nothing else. Folders do not count."""
        own = _hash(self.content)
        others = [f"{name} {_hash(content)}" for name, (_, content) in sorted(self.helpers.items())]
        return _hash("\n".join([own, *others, *self.packages]).encode()) if others or self.packages else own


def find_sources(location: str, related: Iterable[str] = ()) -> Sources | None:
    """Find the code behind a file or a module.

    Args:
        location: `FILE.py`, or the name of a module.
        related: Names of further modules that count, such as those of base classes.

    Returns:
        The code, or None for a module without a source file.

    Raises:
        UserError: If a module beside the file can't be imported, because another one has its name.
        ImportError, ValueError, OSError: If the file or the module can't be found.
    """
    if location.endswith(".py"):
        path, name = Path(location).expanduser().resolve(), ""
    else:
        spec = importlib.util.find_spec(location)
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            return None
        path, name = Path(spec.origin), location
    content = path.read_bytes()
    if name.partition(".")[0] == "optbench":
        return Sources(path, content, {}, ())
    beside = None if name else path.parent
    is_package = path.name == "__init__.py"
    waiting = [*_imported(content, name, is_package), *_parents(name), *related, *([name] if name else [])]
    helpers: dict[str, tuple[Path, bytes]] = {}
    packages: set[str] = set()
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen or _is_foundation(module):
            continue
        seen.add(module)
        root = module.partition(".")[0]
        if beside is not None:
            _check_beside(beside, root, path)
        if installed := _installed_package(root, beside):
            packages.add(installed)
            continue
        file = _find_file(module, beside)
        waiting += _parents(module)
        if file is None or file == path:
            continue
        helpers[module] = file, file.read_bytes()
        waiting += _imported(helpers[module][1], module, file.name == "__init__.py")
    written = {module: found for module, found in helpers.items() if found[1].strip()}  # an empty __init__ does nothing
    return Sources(path, content, written, tuple(sorted(packages)))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _is_foundation(module: str) -> bool:
    root = module.partition(".")[0]
    return root in sys.stdlib_module_names or root in _FOUNDATION or root.startswith(("__", "optbench_file_"))


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _find_root(root: str, beside: Path | None) -> ModuleSpec | None:
    """Find a top-level module as an import would: loaded already, beside the file, or on the path."""
    try:
        if root in sys.modules:
            return getattr(sys.modules[root], "__spec__", None)
        there = None if beside is None else _find_beside(beside, root)
        return there or importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return None


def _find_beside(folder: Path, root: str) -> ModuleSpec | None:
    """Find a module or a package in a folder; a folder without `__init__.py` does not count."""
    spec = PathFinder.find_spec(root, [str(folder)])
    return spec if spec is not None and spec.origin is not None else None


def _check_beside(folder: Path, root: str, path: Path) -> None:
    """Raise UserError if an import of a module beside the file would find another one that is loaded already."""
    there, loaded = _find_beside(folder, root), sys.modules.get(root)
    if there is None or loaded is None or there.origin is None:
        return
    origin = getattr(loaded, "__file__", None)
    if origin is None or Path(origin).resolve() != Path(there.origin).resolve():
        raise UserError(
            f"{path.name} imports {root}, which is {there.origin}, but {origin or 'another module'} has that name and "
            "is imported already; rename one of the two"
        )


def _find_file(module: str, beside: Path | None) -> Path | None:
    """Find the source file of a module without importing it; None if there is none, as for an attribute."""
    root, *parts = module.split(".")
    spec, name = _find_root(root, beside), root
    for part in parts:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        try:
            spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
        except (ImportError, ValueError):
            return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin).resolve()
    return path if path.is_file() else None


def _installed_package(root: str, beside: Path | None) -> str:
    """Return name and version of the installed package that contains a top-level module; "" for own files.

    What was installed from a folder of this machine (also in editable mode) consists of own files: its version stays
    when they are edited.
    """
    spec = _find_root(root, beside)
    places = () if spec is None else ((spec.origin,) if spec.origin else spec.submodule_search_locations or ())
    if not any(part in ("site-packages", "dist-packages") for place in places for part in Path(place).parts):
        return ""
    owners = sorted(set(_owners().get(root, ())))
    return " ".join(f"{owner} {version}" for owner in owners if (version := _remote_version(owner)))


@lru_cache(maxsize=1)
def _owners() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _remote_version(name: str) -> str:
    """Return the version of an installed distribution; "" if it was installed from a folder."""
    found = distribution(name)
    return "" if '"dir_info"' in (found.read_text("direct_url.json") or "") else found.version


@lru_cache(maxsize=4096)
def _imported(content: bytes, name: str, is_package: bool) -> tuple[str, ...]:
    """Return the names of modules that a source text imports, and of attributes that could be modules."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return ()
    package = name if is_package else name.rpartition(".")[0]
    return tuple(dict.fromkeys(found for node in ast.walk(tree) for found in _names(node, package)))


def _names(node: ast.AST, package: str) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            if base := _absolute("." * level + (module or ""), package):
                yield base
                yield from (f"{base}.{alias.name}" for alias in names if alias.name != "*")
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(text)), *_]):
            if name in ("import_module", "__import__") and (base := _absolute(text, package)):
                yield base


def _absolute(name: str, package: str) -> str:
    """Return the absolute name of a module; "" for a relative name that leaves the package."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parts = package.split(".") if package else []
    if level > len(parts):
        return ""
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [name[level:]])])
