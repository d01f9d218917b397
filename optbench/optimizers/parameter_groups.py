"""Rules that assign the parameters of a model to groups, such as `ndim >= 2 and layer != 'Embedding'`.

A rule is a comparison in Python's notation, or several joined by `and`, `or` and `not`. It refers to these facts about
a parameter:

    ndim    number of dimensions              name    its name in the model, such as `features.0.weight`
    numel   number of elements                layer   class of the module that contains it, such as `Conv2d`
    sparse  whether its gradients are sparse

Strings are compared as shell patterns: `name == '*.bias'`, `layer in ('Embedding', 'Conv*')`.
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

FACTS = ("layer", "name", "ndim", "numel", "sparse")

Rule = Callable[[Mapping[str, Any]], bool]


@lru_cache(maxsize=256)
def compile_rule(text: str) -> Rule:
    """Compile a rule to a function of the facts about a parameter (see `parameter_facts`).

    Raises:
        UserError: If the text is not a valid rule.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        raise _invalid_rule(text) from None
    evaluate = _compile_node(tree, text)
    try:
        evaluate({"ndim": 1, "numel": 1, "name": "weight", "layer": "Linear", "sparse": False})
    except TypeError:
        raise _invalid_rule(text) from None  # it compares numbers with strings
    return lambda facts: bool(evaluate(facts))


def parameter_facts(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Collect the facts about every trained parameter of a model, by the parameter's name."""
    modules = dict(model.named_modules())
    facts = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            module = modules[name.rpartition(".")[0]]
            facts[name] = {
                "name": name, "ndim": parameter.ndim, "numel": parameter.numel(), "layer": type(module).__name__,
                "sparse": bool(getattr(module, "sparse", False)),
            }  # fmt: skip
    return facts


def _compile_node(node: ast.expr, text: str) -> Callable[[Mapping[str, Any]], Any]:
    match node:
        case ast.BoolOp(op=op, values=parts):
            operands = [_compile_node(part, text) for part in parts]
            combine = all if isinstance(op, ast.And) else any
            return lambda facts: combine(operand(facts) for operand in operands)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _compile_node(operand, text)
            return lambda facts: not inner(facts)
        case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in _COMPARISONS for op in ops):
            sides = [_compile_node(side, text) for side in (left, *comparators)]
            tests = [_COMPARISONS[type(op)] for op in ops]
            return lambda facts: all(
                test(a(facts), b(facts)) for test, a, b in zip(tests, sides, sides[1:], strict=False)
            )  # fmt: skip
        case ast.Name(id=name):
            if name not in FACTS:
                raise unknown(f"name in the rule {text!r}", name, FACTS)
            return lambda facts: facts[name]
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return lambda facts: value
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            items = [_compile_node(element, text) for element in elements]
            return lambda facts: tuple(item(facts) for item in items)
        case _:
            raise _invalid_rule(text)


def _equal(value: Any, other: Any) -> bool:
    return fnmatchcase(value, other) if isinstance(value, str) and isinstance(other, str) else bool(value == other)


def _within(value: Any, others: Any) -> bool:
    if isinstance(others, str):
        raise TypeError("a string is not a list")
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


def _invalid_rule(text: str) -> UserError:
    return UserError(f"{text!r} is not a valid rule (accepted: comparisons of {', '.join(FACTS)}, as in ndim >= 2)")


def split_parameters(
    label: str, groups: Mapping[str, tuple[str, ...] | str], model: nn.Module
) -> dict[str, dict[str, nn.Parameter]]:
    """Split the trained parameters of a model into groups.

    Args:
        label: The optimizer's label, for error messages.
        groups: For each group, patterns of parameter names, or a rule. Unlike a rule, patterns must match at least one
            parameter.
        model: The model.

    Returns:
        The parameters by group and name. Parameters outside of all groups come first, under the empty group name.

    Raises:
        UserError: If a group's patterns match no parameter, or if a parameter belongs to two groups.
    """
    rest = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    facts, split = parameter_facts(model), {}
    for group, selector in groups.items():
        if isinstance(selector, str):
            names = [name for name in facts if compile_rule(selector)(facts[name])]
        else:
            names = [name for name in facts if any(fnmatchcase(name, pattern) for pattern in selector)]
            for pattern in selector:
                if not any(fnmatchcase(name, pattern) for name in facts):
                    _refuse_hidden(model, pattern, f"group {group} of {label}")
            if not names:
                raise unknown(f"parameters of group {group} of {label}", ", ".join(selector), facts)
        shared = [name for name in names if name not in rest]
        if shared:
            raise UserError(f"parameter {shared[0]} is in group {group} of {label} and in another group")
        split[group] = {name: rest.pop(name) for name in names}
    return {"": rest, **split}


def _refuse_hidden(model: nn.Module, pattern: str, group: str) -> None:
    """Raises UserError if a pattern matches only tied or frozen parameters, which people know by these names."""
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if fnmatchcase(name, pattern):
            first = known[id(parameter)]
            if not parameter.requires_grad:
                raise UserError(f"parameter {name!r} of {group} is frozen (accepted: trained parameters)")
            raise UserError(f"parameter {name!r} of {group} is {first!r}: they are tied (accepted: {first!r})")
