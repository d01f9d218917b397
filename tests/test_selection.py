"""The grammar: what is written is read back, sweeps multiply, and nothing but UserError comes out of garbage."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from optbench.errors import UserError
from optbench.selection import Selection, format_value, parse

_PRINTABLE = st.characters(exclude_categories=["C", "Z"])
_names = st.text(_PRINTABLE | st.just(" ") | st.sampled_from('[]()=,"'), min_size=1)
_keys = st.text(_PRINTABLE, min_size=1).filter(lambda t: not set(t) & set('[]()=,"'))
_texts = st.text(_PRINTABLE | st.just(" ")) | st.sampled_from(
    ["True", "NONE", "false", "1e-3", "٣", "inf", "nan", "a.py:B"]
)
_scalars = (
    st.booleans()
    | st.none()
    | st.integers(-(10**300), 10**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts
)
_values = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)


def same(a: Any, b: Any) -> bool:
    """Equal and of the same types throughout: 1, 1.0 and True are three things."""
    return repr(a) == repr(b)


@given(name=_names, parameters=st.dictionaries(_keys, _values, max_size=4))
@example(name='"a" [b],(c)=d.py:E', parameters={"x": 1})
@example(name="/a b/c.py:D", parameters={"x": (), "y": ("", ("[", '"'))})
def test_what_is_written_is_read_back(name: str, parameters: dict[str, Any]) -> None:
    selection = Selection(name, tuple(parameters.items()))
    assert same(parse(str(selection)), [selection])


@given(st.text() | st.text('ab1.e-,=()[]" \t\\', max_size=30).map("adam[".__add__))
@example("adam[" + "(" * 100_000)
@example("adam[x=" + "(" * 100_000)
@example("adam[x=" + "9" * 5000 + "]")
@example("adam[x=1e999]")
@example('adam[x="\\ud800"]')
@example("adam[\ud800=1]")
def test_garbage_is_refused_in_one_line_or_means_something(text: str) -> None:
    try:
        found = parse(text)
    except UserError as error:
        message = str(error)
        assert len(message.splitlines()) == 1
        assert repr(text) in message
        message.encode()
    else:
        assert [parse(str(one)) for one in found] == [[one] for one in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("adam", {}),
        ("adam[]", {}),
        ("adam[eps=1e-8]", {"eps": 1e-8}),
        ("adam[ eps = 1e-8 ,\tamsgrad=True ]", {"eps": 1e-8, "amsgrad": True}),
        ("adam[betas=(0.9,0.99)]", {"betas": (0.9, 0.99)}),
        ("adam[x=none,y=NONE,z=false]", {"x": None, "y": None, "z": False}),
        ("adam[x=3,y=3.0,z=-.5e1,w=+2]", {"x": 3, "y": 3.0, "z": -5.0, "w": 2}),
        ('adam[x="3",y="true",z="a,b]",w=""]', {"x": "3", "y": "true", "z": "a,b]", "w": ""}),
        ('adam[x="caf\\u00e9"]', {"x": "café"}),
        ("adam[x=/data/some-folder.v2]", {"x": "/data/some-folder.v2"}),
        ("adam[x=1_000,y=0x10,z=nan]", {"x": "1_000", "y": "0x10", "z": "nan"}),
    ],
)
def test_values(text: str, expected: dict[str, Any]) -> None:
    [found] = parse(text)
    assert found.name == "adam"
    assert same(dict(found.parameters), expected)


@pytest.mark.parametrize(
    "name", ["file.py:Class", "/some where/file.py:Class", "package.module:Class", "C:\\a\\b.py:C"]
)
def test_a_name_may_be_a_path(name: str) -> None:
    assert parse(f"{name}[a=1]") == [Selection(name, (("a", 1),))]


def test_a_name_may_be_quoted() -> None:
    assert parse('"my [old], (new) rules.py:Class" [x=[1,2]]') == [
        Selection("my [old], (new) rules.py:Class", (("x", x),)) for x in (1, 2)
    ]
    assert parse('"adam"') == parse("adam")
    assert str(Selection("a.py:B", (("x", 1),))) == "a.py:B[x=1]"


def test_lists_sweep_in_the_order_of_writing() -> None:
    found = parse("adam[eps=[1e-8,1e-3],amsgrad=[true,false],betas=[(0.9,0.99)]]")
    expected = [{"eps": e, "amsgrad": a, "betas": (0.9, 0.99)} for e, a in product((1e-8, 1e-3), (True, False))]
    assert [dict(one.parameters) for one in found] == expected


def test_the_text_of_a_float_is_short_and_exact() -> None:
    assert [format_value(x) for x in (1e-8, 1e20, 0.1, 1.0, -2.5e-7)] == ["1e-8", "1e20", "0.1", "1.0", "-2.5e-7"]


@pytest.mark.parametrize(
    ("text", "column", "complaint"),
    [
        ("adam[eps=1e-8", 14, "expected ','"),
        ("adam[eps=1e-8]x", 15, "expected the end of the selection"),
        ("adam[eps]", 9, "expected '='"),
        ("adam[=1]", 6, "expected a parameter name"),
        ("adam[eps=]", 10, "expected a value"),
        ("adam[eps=[]]", 12, "an empty list selects nothing"),
        ("adam[eps=1,eps=2]", 15, "parameter 'eps' is given twice"),
        ("adam[eps=1,]", 12, "expected a parameter name"),
        ("adam[betas=(0.9,)]", 17, "expected a value"),
        ('adam[x="open]', 8, "expected a quoted JSON string"),
        ('"adam', 1, "expected a quoted JSON string"),
        ('"adam"x', 7, "expected the end of the selection"),
        ("adam[x=1e999]", 13, "the preceding number is too large"),
    ],
)
def test_errors_are_located(text: str, column: int, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert f"column {column}: {complaint}" in str(caught.value)
    assert str(caught.value).endswith("(accepted: name[param=value,param=[a,b]])")


@pytest.mark.parametrize("text", ["", " ", "[eps=1]", "adam(eps=1)", "adam,sgd", "adam]", '""', '""[x=1]'])
def test_a_selection_needs_a_name(text: str) -> None:
    with pytest.raises(UserError, match="has no valid name"):
        parse(text)
