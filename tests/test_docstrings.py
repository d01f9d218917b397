"""What `optbench` exports explains itself: what it is, each parameter, what it raises."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import optbench

PUBLIC = {name: getattr(optbench, name) for name in optbench.__all__}
CLASSES = {name: thing for name, thing in PUBLIC.items() if inspect.isclass(thing)}
FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if not inspect.isclass(thing)}


def own_docstring(thing: Any) -> str:
    """Not that of a base class, nor the one that dataclasses make up of fields."""
    text = inspect.cleandoc(vars(thing).get("__doc__") or "") if inspect.isclass(thing) else inspect.getdoc(thing) or ""
    return "" if text.startswith(f"{getattr(thing, '__name__', '')}(") else text


def said_of_fields(cls: type) -> set[str]:
    """The names of fields with a comment `#:` above them, or a description of pydantic's."""
    commented = re.findall(r"^ +#: .*\n(?: +#.*\n)* +(\w+):", inspect.getsource(cls), re.M)
    described = [name for name, field in getattr(cls, "model_fields", {}).items() if field.description]
    tables = [name for name, field in getattr(cls, "model_fields", {}).items() if _is_documented(field.annotation)]
    return {*commented, *described, *tables}


def _is_documented(annotation: Any) -> bool:
    """A table of settings, each of which is described, or a mapping to such."""
    inner = [annotation, *getattr(annotation, "__args__", ())]
    return any(inspect.isclass(part) and hasattr(part, "model_fields") and part.__doc__ for part in inner)


def explained(thing: Any, seen: tuple[str, ...] = ()) -> set[str]:
    """The words that its docstring has in backquotes, the fields of which something is said, and the same of what is
    exported and named there: "as for `run`".
    """
    quoted = re.findall(r"`([^`]+)`", own_docstring(thing))
    words = {word for text in quoted for word in re.findall(r"\w+", text)}
    words |= set(re.findall(r"^ {4}\*{0,2}(\w+): ", own_docstring(thing), re.M))  # the section Args
    for cls in thing.__mro__ if inspect.isclass(thing) else ():
        if cls.__module__.startswith("optbench."):
            words |= said_of_fields(cls)
    named = [name for name in quoted if name in PUBLIC and name not in seen]
    return words.union(*(explained(PUBLIC[name], (*seen, *named)) for name in named))


def parameters(thing: Any) -> list[inspect.Parameter]:
    return [one for one in inspect.signature(thing).parameters.values() if one.name not in ("self", "cls")]


def function_of(member: Any) -> Any:
    """What a method, a property or a class method calls."""
    found = member.fget if isinstance(member, property) else getattr(member, "func", member)
    return getattr(found, "__func__", found)


def members() -> Iterator[tuple[str, Any]]:
    for name, cls in CLASSES.items():
        for attribute, value in vars(cls).items():
            if not attribute.startswith("_") and inspect.isfunction(function_of(value)):
                yield f"{name}.{attribute}", value


def test_cached_properties_count_as_members() -> None:
    assert isinstance(vars(optbench.Results)["identities"], cached_property)
    assert "Results.identities" in dict(members())


def unannotated(thing: Any) -> list[str]:
    """The parameters without an annotation, and `return`."""
    signature = inspect.signature(thing)
    found = [one.name for one in parameters(thing) if one.annotation is one.empty]
    return found + ["return"] * (signature.return_annotation is signature.empty)


def test_everything_exported_has_a_docstring() -> None:
    assert len(PUBLIC) > 20
    assert [name for name, thing in PUBLIC.items() if len(own_docstring(thing)) <= 20] == []


def test_every_parameter_is_explained() -> None:
    things = {name: thing for name, thing in PUBLIC.items() if name != "UserError"}
    known = {name: explained(thing) for name, thing in things.items()}
    missing = [(name, one.name) for name, thing in things.items() for one in parameters(thing)
               if one.name not in known[name]]  # fmt: skip
    assert missing == []


def test_functions_are_annotated_and_say_what_they_raise() -> None:
    assert {name: found for name, thing in FUNCTIONS.items() if (found := unannotated(thing))} == {}
    assert [name for name, thing in FUNCTIONS.items() if "UserError" not in own_docstring(thing)] == []


def test_methods_are_annotated_and_have_docstrings() -> None:
    """The docstring of the method that is overridden will do."""
    found = dict(members())
    assert len(found) > 20
    assert [name for name, member in found.items() if not inspect.getdoc(member)] == []
    assert {name: missing for name, member in found.items() if (missing := unannotated(function_of(member)))} == {}
