"""Imports code by name (`module:Attribute` or `file.py:Attribute`) and hashes its sources for cell identities."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from optbench.errors import UserError, one_line, unknown
from optbench.machine.settings import keep_settings, torch_is_loaded
from optbench.sources import Sources, find_sources

#: Loaded modules of users' code: the spec with which each was loaded, and the content of its file then.
_LOADED: dict[str, tuple[object, bytes]] = {}
#: By file or module: the settings of torch that its import changed, and that were put back.
_CHANGED_SETTINGS: dict[str, tuple[str, ...]] = {}


def source_digest(target: str) -> str:
    """Compute a short hash of the code that implements `module:Attribute` or `file.py:Attribute`.

    The hash is part of the identity of all code that optbench does not version itself, so that results of older code
    are not mistaken for results of the current one. It covers the file, the files of base classes, the user's own
    modules that these import, and the versions of the packages that they import.

    Returns:
        12 hexadecimal digits, or "" for a module without a source file.

    Raises:
        UserError: If the file or module can't be found or imported, or if an imported module has changed since.
    """
    sources = target_sources(target)
    if sources is None:
        return ""
    # Until such settings were put back, the code computed other numbers.
    restored = " restored settings" if changed_settings(target) else ""
    return hashlib.sha256(f"{sources.digest}{restored}".encode()).hexdigest()[:12] if restored else sources.digest


def changed_settings(target: str) -> tuple[str, ...]:
    """Return the names of torch's settings that the import of a loaded target changed, and that were put back."""
    location = target.rpartition(":")[0]
    return _CHANGED_SETTINGS.get(_key(location), ())


def target_sources(target: str) -> Sources | None:
    """Find the code that `source_digest` covers.

    Raises:
        UserError: As `source_digest` does.
    """
    location = target.rpartition(":")[0]
    found = _find(target, location)
    if found is None or location.partition(".")[0] == "optbench":
        return found
    implemented = inspect.unwrap(load_attribute(target))
    classes = implemented.__mro__ if isinstance(implemented, type) else (implemented,)
    related = [str(getattr(part, "__module__", None) or "builtins") for part in classes]
    sources = _find(target, location, related)
    assert sources is not None
    modules = dict(sources.helpers)
    if not location.endswith(".py"):
        modules[location] = sources.file, sources.content
    for name, (file, content) in modules.items():
        if _content_loaded(name, content) != content:
            raise UserError(f"{file} has changed since this process imported it; start Python again")
    return sources


def _find(target: str, location: str, related: Iterable[str] = ()) -> Sources | None:
    try:
        return find_sources(location, related)
    except (ImportError, ValueError, OSError) as error:
        raise UserError(f"{target} can't be found: {one_line(error)}") from None


def _content_loaded(name: str, content: bytes) -> bytes:
    """Return the content with which a module was loaded; if that is not known yet, the current one is recorded."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None:
        return content
    if name not in _LOADED or _LOADED[name][0] is not spec:
        _LOADED[name] = spec, content
    return _LOADED[name][1]


def _is_own(value: object, module: ModuleType) -> bool:
    """Whether a file defines a class, a function or an object of optbench: a possible problem or optimizer."""
    if isinstance(value, type) or inspect.isfunction(value):
        return value.__module__ == module.__name__
    return type(value).__module__.startswith("optbench.")


def load_attribute(target: str) -> Any:
    """Import `module:Attribute` or `file.py:Attribute`.

    Raises:
        UserError: If the import fails or the module has no such attribute.
    """
    location, _, attribute = target.rpartition(":")
    try:
        module = load_module(location) if location.endswith(".py") else _import_module(location)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{location} can't be imported: {one_line(error)}") from error
    if not hasattr(module, attribute):
        public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
        own = [name for name, value in public.items() if _is_own(value, module)] if location.endswith(".py") else []
        raise unknown(f"name in {location}", attribute, own or public)
    return getattr(module, attribute)


def _import_module(location: str) -> ModuleType:
    if location not in sys.modules and location.partition(".")[0] != "optbench":
        with _restored_settings(location, find_sources(location)):
            return importlib.import_module(location)
    return importlib.import_module(location)


@contextmanager
def _restored_settings(location: str, sources: Sources | None) -> Iterator[None]:
    """Put torch's settings back that an import changes, because they concern the code of others as well."""
    contents = () if sources is None else (sources.content, *(content for _, content in sources.helpers.values()))
    if not torch_is_loaded() and not any(b"torch" in content for content in contents):
        yield
        return
    with keep_settings() as changed:
        yield
    _CHANGED_SETTINGS[_key(location)] = tuple(changed)


def _key(location: str) -> str:
    return str(Path(location).expanduser().resolve()) if location.endswith(".py") else location


def load_module(location: str) -> ModuleType:
    """Import a Python file as a module, once per content of the file and of the user's modules that it imports.

    It can import modules in its folder.

    Raises:
        UserError: If the file does not exist or can't be imported.
    """
    path = Path(location).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{location} does not exist (accepted: file.py:Class or package.module:Class)")
    sources = find_sources(location)
    assert sources is not None
    # The module is registered in sys.modules so that its classes can be pickled and inspected.
    name = f"optbench_file_{hashlib.sha256(f'{path} {sources.digest}'.encode()).hexdigest()[:16]}"
    if not _forget_changed(sources) and name in sys.modules:
        return sys.modules[name]
    _make_importable(path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Bytecode is not cached: the file may be edited twice within the resolution of its time.
        with _restored_settings(location, sources):
            exec(compile(sources.content, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, UserError) or not isinstance(error, (Exception, SystemExit)):
            raise
        raise UserError(f"{location} can't be imported: {one_line(error)}") from error
    for helper, (_, content) in sources.helpers.items():
        _content_loaded(helper, content)
    return module


def _make_importable(folder: Path) -> None:
    """Add a folder to the path: after the standard library, before installed packages."""
    if str(folder) in sys.path or (folder == Path.cwd() and "" in sys.path):
        return
    installed = (place for place, entry in enumerate(sys.path) if Path(entry).name.endswith("-packages"))
    sys.path.insert(next(installed, len(sys.path)), str(folder))
    importlib.invalidate_caches()


def _forget_changed(sources: Sources) -> bool:
    """Forget the imported modules of a file if one of them has changed, so that they are imported again."""
    changed = any(_content_loaded(name, content) != content for name, (_, content) in sources.helpers.items())
    if changed:
        importlib.invalidate_caches()
        for name in sources.helpers:
            sys.modules.pop(name, None)
    return changed


def plugin_targets(group: str) -> dict[str, str]:
    """Return the entry points of installed packages in a group such as `optbench.problems`: name → target."""
    return {entry.name: entry.value for entry in entry_points(group=group)}


def find_target(what: str, group: str, built_in: Mapping[str, str], name: str) -> str:
    """Look up the target `module:Attribute` of a name, built in or from an entry point.

    Args:
        what: What the name stands for, for the error message.
        group: The entry points' group.
        built_in: Targets of the built-in names, which take precedence.
        name: The name to look up.

    Raises:
        UserError: If the name is unknown.
    """
    if name in built_in:
        return built_in[name]
    plugins = plugin_targets(group)
    if name not in plugins:
        raise unknown(what, name, [*built_in, *plugins])
    return plugins[name]
