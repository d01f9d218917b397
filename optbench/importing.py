"""Imports code by name (`module:Attribute` or `file.py:Attribute`) and hashes its source file for cell identities."""

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
    """Compute a short hash of the file that implements `module:Attribute` or `file.py:Attribute`.

    The hash is part of the identity of all code that optbench does not version itself, so that results of an older
    version of the file are not mistaken for results of the current one.

    Returns:
        12 hexadecimal digits, or "" for a module without a source file.

    Raises:
        UserError: If the file or module can't be found.
    """
    location = target.rpartition(":")[0]
    try:
        if not location.endswith(".py"):
            spec = importlib.util.find_spec(location)
            if spec is None or spec.origin is None or not Path(spec.origin).is_file():
                return ""
            location = spec.origin
        return hashlib.sha256(Path(location).expanduser().read_bytes()).hexdigest()[:12]
    except (ImportError, ValueError, OSError) as error:
        raise UserError(f"{target} can't be found: {one_line(error)}") from None


def load_attribute(target: str) -> Any:
    """Import `module:Attribute` or `file.py:Attribute`.

    Raises:
        UserError: If the import fails or the module has no such attribute.
    """
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
    """Import a Python file as a module, once per content of the file.

    Raises:
        UserError: If the file does not exist or can't be imported.
    """
    path = Path(location).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{location} does not exist (accepted: file.py:Class or package.module:Class)")
    # The module is registered in sys.modules so that its classes can be pickled and inspected.
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
