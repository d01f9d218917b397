"""Rules that choose parameters, against Python's own evaluation of the same expressions."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from torch import nn

from optbench.errors import UserError
from optbench.optimizers.parameter_groups import compile_rule, parameter_facts, split_parameters


class Net(nn.Module):
    """Parameters of several kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(3, 4, sparse=True)
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        self.head = nn.Linear(4, 2)
        self.scale = nn.Parameter(self.head.bias.detach()[0].clone())
        self.head.bias.requires_grad_(False)


FACTS = parameter_facts(Net())


def chosen(text: str) -> set[str]:
    return {name for name in FACTS if compile_rule(text)(FACTS[name])}


def test_facts_are_those_of_the_model() -> None:
    expected = {"words.weight", "features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias"}
    assert set(FACTS) == expected | {"head.weight", "scale"}
    assert FACTS["features.0.weight"] == {
        "name": "features.0.weight", "ndim": 4, "numel": 18, "layer": "Conv2d", "sparse": False,
    }  # fmt: skip
    assert (FACTS["scale"]["ndim"], FACTS["scale"]["layer"], FACTS["words.weight"]["sparse"]) == (0, "Net", True)


@pytest.mark.parametrize(
    "text",
    ["ndim >= 2", "ndim == 2 and not sparse", "numel < 5 or layer == 'Conv2d'", "1 < ndim <= 4", "ndim in (0, 4)",
     "ndim not in [0, 4]", "not (ndim == 1 or sparse)", "sparse"],
)  # fmt: skip
def test_a_rule_is_what_python_says(text: str) -> None:
    assert chosen(text) == {name for name, known in FACTS.items() if eval(text, {}, dict(known))}


def test_texts_are_patterns() -> None:
    assert chosen("name == '*.bias'") == {name for name in FACTS if fnmatchcase(name, "*.bias")}
    assert chosen("name != '*.bias'") == set(FACTS) - chosen("name == '*.bias'")
    assert chosen("layer in ('Embedding', 'Batch*')") == {"words.weight", "features.1.weight", "features.1.bias"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "ndim >=",
            "'ndim >=' is not a valid rule (accepted: comparisons of layer, name, ndim, numel, sparse, as in ndim >= 2",
        ),
        ("", "is not a valid rule"),
        ("ndim + 1", "is not a valid rule"),
        ("__import__('os')", "is not a valid rule"),
        ("ndim.real == 1", "is not a valid rule"),
        ("ndim < 'a'", "is not a valid rule"),
        ("name in 'bias'", "is not a valid rule"),
        ("dims == 2", "unknown name in the rule 'dims == 2' 'dims'; did you mean 'ndim'?"),
    ],
)
def test_what_is_no_rule(text: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_rule(text)
    assert line in str(caught.value)


def test_every_parameter_is_in_one_group() -> None:
    model = Net()
    found = split_parameters("mine", {"matrices": "ndim >= 2", "biases": ("*.bias",), "none": "ndim == 7"}, model)
    names = {group: set(parameters) for group, parameters in found.items()}
    assert names["matrices"] == {"words.weight", "features.0.weight", "head.weight"}
    assert names["biases"] == {"features.0.bias", "features.1.bias"}
    assert names["none"] == set()
    assert names[""] == {"features.1.weight", "scale"}
    assert all(dict(model.named_parameters())[name] is p for part in found.values() for name, p in part.items())


def test_a_parameter_in_two_groups() -> None:
    with pytest.raises(UserError, match=r"parameter features.0.bias is in group biases of mine and in another group"):
        split_parameters("mine", {"small": "ndim == 1", "biases": ("*.bias",)}, Net())


class Tied(Net):
    """The head's weight is also that of another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, 2, bias=False)
        self.out.weight = self.head.weight


@pytest.mark.parametrize("patterns", [("out.weight",), ("out.*",), ("words.weight", "out.weight")])
def test_a_tied_parameter_is_known_by_its_first_name(patterns: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"'out.weight' of group last of mine is 'head.weight': they are tied"):
        split_parameters("mine", {"last": patterns}, Tied())


def test_a_frozen_parameter_is_called_frozen() -> None:
    with pytest.raises(UserError, match=r"'head.bias' of group last of mine is frozen"):
        split_parameters("mine", {"last": ("head.bias",)}, Net())


def test_patterns_that_match_some_name_of_a_tied_model_are_accepted() -> None:
    split = split_parameters("mine", {"last": ("head.*", "*.weight")}, Tied())
    assert "head.weight" in split["last"]
    assert not split["last"].keys() & {"out.weight", "head.bias"}
    with pytest.raises(UserError, match=r"unknown parameters of group last of mine 'hed.weight'.*did you mean 'head"):
        split_parameters("mine", {"last": ("hed.weight",)}, Tied())
