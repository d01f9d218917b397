"""Rules that say which parameters of a model belong to a group: `ndim >= 2 and layer != 'Embedding'`.

A rule is a comparison, or several with `and`, `or`, `not`, in Python's notation, of what is known of a parameter:

    ndim    its number of dimensions          name    as the model names it, `features.0.weight`
    numel   its number of weights             layer   the class of the module that holds it, `Conv2d`
    sparse  whether its module makes sparse gradients

Texts are compared with patterns as a shell has them: `name == '*.bias'`, `layer in ('Embedding', 'Conv*')`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from optbench.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

KNOWN = ("layer", "name", "ndim", "numel", "sparse")

Rule = Callable[[Mapping[str, Any]], bool]


@lru_cache(maxsize=256)
def rule(text: str) -> Rule:
    """A function of the facts about a parameter (see `facts`); raises UserError for what is no rule."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        raise _no_rule(text) from None
    evaluate = _compiled(tree, text)
    try:
        evaluate({"ndim": 1, "numel": 1, "name": "weight", "layer": "Linear", "sparse": False})
    except TypeError:
        raise _no_rule(text) from None  # compares numbers with texts
    return lambda facts: bool(evaluate(facts))


def facts(model: nn.Module) -> dict[str, dict[str, Any]]:
    """What rules may ask of every trained parameter of a model, by the parameter's name."""
    modules = dict(model.named_modules())
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            holder = modules[name.rpartition(".")[0]]
            found[name] = {
                "name": name, "ndim": parameter.ndim, "numel": parameter.numel(), "layer": type(holder).__name__,
                "sparse": bool(getattr(holder, "sparse", False)),
            }  # fmt: skip
    return found


def _compiled(node: ast.expr, text: str) -> Callable[[Mapping[str, Any]], Any]:
    match node:
        case ast.BoolOp(op=op, values=parts):
            compiled = [_compiled(part, text) for part in parts]
            together = all if isinstance(op, ast.And) else any
            return lambda of: together(part(of) for part in compiled)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _compiled(operand, text)
            return lambda of: not inner(of)
        case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in _COMPARISONS for op in ops):
            sides = [_compiled(side, text) for side in (left, *comparators)]
            tests = [_COMPARISONS[type(op)] for op in ops]
            return lambda of: all(
                test(a(of), b(of)) for test, a, b in zip(tests, sides, sides[1:], strict=False)
            )  # fmt: skip
        case ast.Name(id=name):
            if name not in KNOWN:
                raise unknown(f"name in the rule {text!r}", name, KNOWN)
            return lambda of: of[name]
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return lambda of: value
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            listed = [_compiled(element, text) for element in elements]
            return lambda of: tuple(element(of) for element in listed)
        case _:
            raise _no_rule(text)


def _equal(value: Any, other: Any) -> bool:
    return fnmatchcase(value, other) if isinstance(value, str) and isinstance(other, str) else bool(value == other)


def _within(value: Any, others: Any) -> bool:
    if isinstance(others, str):
        raise TypeError("a text is no list")
    return any(_equal(value, other) for other in others)


_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: _equal,
    ast.NotEq: lambda value, other: not _equal(value, other),
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: _within,
    ast.NotIn: lambda value, others: not _within(value, others),
}


def _no_rule(text: str) -> UserError:
    return UserError(f"{text!r} is no rule (accepted: comparisons of {', '.join(KNOWN)}, as in ndim >= 2)")


def members(
    label: str, groups: Mapping[str, tuple[str, ...] | str], model: nn.Module
) -> dict[str, dict[str, nn.Parameter]]:
    """The trained parameters by group and name; those of no group first, under an empty name.

    Patterns have to fit some parameter; a rule may find none. Raises UserError where patterns don't, and for a
    parameter that two groups have. `label` is the optimizer, for the message.
    """
    rest = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    known, found = facts(model), {}
    for group, members_are in groups.items():
        if isinstance(members_are, str):
            own = [name for name in known if rule(members_are)(known[name])]
        else:
            own = [name for name in known if any(fnmatchcase(name, pattern) for pattern in members_are)]
            if not own:
                raise unknown(f"parameters of group {group} of {label}", ", ".join(members_are), known)
        shared = [name for name in own if name not in rest]
        if shared:
            raise UserError(f"parameter {shared[0]} is in group {group} of {label} and in another one")
        found[group] = {name: rest.pop(name) for name in own}
    return {"": rest, **found}
