"""What `optbench` exports explains itself: what it is, each parameter, what it raises."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pytest

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


@pytest.mark.parametrize("name", PUBLIC)
def test_it_says_what_it_is(name: str) -> None:
    assert len(own_docstring(PUBLIC[name])) > 20


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "UserError"])
def test_every_parameter_is_explained(name: str) -> None:
    known = explained(PUBLIC[name])
    assert [one.name for one in parameters(PUBLIC[name]) if one.name not in known] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_annotated_and_say_what_they_raise(name: str) -> None:
    signature = inspect.signature(FUNCTIONS[name])
    assert [one.name for one in signature.parameters.values() if one.annotation is one.empty] == []
    assert signature.return_annotation is not signature.empty
    assert "UserError" in own_docstring(FUNCTIONS[name])


@pytest.mark.parametrize(("name", "member"), list(members()))
def test_methods_say_what_they_do(name: str, member: Any) -> None:
    assert inspect.getdoc(member), name  # that of the method that it overrides will do
    signature = inspect.signature(function_of(member))
    assert [one.name for one in parameters(function_of(member)) if one.annotation is one.empty] == []
    assert signature.return_annotation is not signature.empty
