"""Imports code by its name, `module:Attribute` or `file.py:Attribute`, and digests its file for identities."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from optbench.errors import UserError, one_line, unknown


def source_digest(target: str) -> str:
    """A short hash of the file that implements `module:Attribute` or `file.py:Attribute`.

    Part of the identity of everything that optbench doesn't version itself, so that results of an
    edited file are not taken for those of the present one.
    """
    location = target.rpartition(":")[0]
    try:
        if not location.endswith(".py"):
            found = importlib.util.find_spec(location)
            if found is None or found.origin is None or not Path(found.origin).is_file():
                return ""
            location = found.origin
        return hashlib.sha256(Path(location).expanduser().read_bytes()).hexdigest()[:12]
    except (ImportError, ValueError, OSError) as error:
        raise UserError(f"{target} can't be found: {one_line(error)}") from None


def load_attribute(target: str) -> Any:
    """Imports `module:Attribute` or `file.py:Attribute`; raises UserError where that fails."""
    location, _, attribute = target.rpartition(":")
    try:
        module = load_module(location) if location.endswith(".py") else importlib.import_module(location)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{location} can't be imported: {one_line(error)}") from error
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise unknown(f"name in {location}", attribute, public)
    return getattr(module, attribute)


def load_module(location: str) -> ModuleType:
    """The module that a file is, imported once for each content; raises UserError where that fails."""
    path = Path(location).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{location} does not exist (accepted: file.py:Class or package.module:Class)")
    # One module a file and content, registered so that its classes can be pickled and inspected.
    name = f"optbench_file_{hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, UserError) or not isinstance(error, (Exception, SystemExit)):
            raise
        raise UserError(f"{location} can't be imported: {one_line(error)}") from error
    return module


def plugin_targets(group: str) -> dict[str, str]:
    """By name what installed packages register under an entry point's group, such as `optbench.problems`."""
    return {entry.name: entry.value for entry in entry_points(group=group)}


def registered_target(what: str, group: str, built_in: Mapping[str, str], name: str) -> str:
    if name in built_in:
        return built_in[name]
    plugins = plugin_targets(group)
    if name not in plugins:
        raise unknown(what, name, [*built_in, *plugins])
    return plugins[name]
