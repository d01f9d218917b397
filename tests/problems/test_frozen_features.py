"""The network on AlexNet's first layer: its parts, where its weights come from, and what wrong ones are told."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import alexnet

from optbench.cli.verbs import WRONG_USE, _main
from optbench.errors import UserError
from optbench.problem.data import DataSource
from optbench.problem.registry import make_problem
from optbench.problems.alexnet import first_layer
from optbench.problems.frozen_features import FrozenFeatures
from optbench.problems.resnet import Block

NOWHERE = DataSource(Path("/nonexistent"), download=False)
WEIGHT, BIAS = "features.0.weight", "features.0.bias"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    state = {WEIGHT: torch.randn(64, 3, 11, 11), BIAS: torch.randn(64), "classifier.6.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "alexnet.pth")
    return tmp_path / "alexnet.pth"


def test_the_layer_is_that_of_torchvision() -> None:
    whole = alexnet().features[0]
    layer = first_layer("none")
    assert isinstance(whole, nn.Conv2d)
    assert repr(layer) == repr(whole)
    assert [p.shape for p in layer.parameters()] == [p.shape for p in whole.parameters()]


def test_the_parts_are_those_of_the_lecture() -> None:
    model = FrozenFeatures(weights="none", blocks=2, width=8).model()
    assert [name for name, _ in model.named_children()] == ["features", "converter", "blocks", "head"]
    assert isinstance(model.blocks, nn.ModuleList)
    assert all(isinstance(block, Block) for block in model.blocks)
    features, converter = 64 * 3 * 121 + 64, 64 * 8 + 2 * 8
    assert sum(p.numel() for p in model.parameters()) == features + converter + 2 * (2 * 9 * 64 + 4 * 8) + 8 * 10 + 10
    images = torch.randn(5, 3, 32, 32)
    model.eval()
    x = torch.relu(model.features(images))
    x = torch.relu(model.converter[1](model.converter[0](x)))
    for block in model.blocks:
        x = block(x)
    assert torch.allclose(model(images), model.head(x.mean((2, 3))), atol=1e-6)


def test_grey_images_stand_for_all_three_colours() -> None:
    model = FrozenFeatures("digits", weights="none", blocks=1, width=8).model().eval()
    grey = torch.randn(3, 1, 32, 32)
    assert torch.allclose(model(grey), model(grey.repeat(1, 3, 1, 1)), atol=1e-6)


def test_weights_come_from_a_file_and_are_frozen_by_name(weights: Path) -> None:
    problem = make_problem("frozen_features", {"data": "digits", "weights": str(weights), "frozen": 0.25})
    problem.load_data(NOWHERE)
    model, state = problem.model(), torch.load(weights)
    assert torch.equal(model.features.weight, state[WEIGHT])
    assert torch.equal(model.features.bias, state[BIAS])
    assert problem.freezing == {"features.": 0.25}
    assert all(any(name.startswith(part) for name, _ in model.named_parameters()) for part in problem.freezing)
    assert FrozenFeatures(frozen=0).freezing == {}


def test_the_file_is_known_by_its_content_not_by_its_place(weights: Path, tmp_path: Path) -> None:
    def identity(path: Path) -> Any:
        return FrozenFeatures("digits", weights=str(path)).identity()["weights"]

    copy, other = tmp_path / "copy.pth", tmp_path / "other.pth"
    copy.write_bytes(weights.read_bytes())
    torch.save({WEIGHT: torch.zeros(64, 3, 11, 11), BIAS: torch.zeros(64)}, other)
    assert identity(weights) == identity(copy) != identity(other)
    assert FrozenFeatures("digits", weights=str(copy)).display() == {"data": "digits", "weights": "copy.pth"}
    assert FrozenFeatures(weights="none").identity()["weights"] == "none"
    before = FrozenFeatures("digits", weights=str(copy)).model().features.weight.clone()
    copy.write_bytes(other.read_bytes())
    assert not torch.equal(FrozenFeatures("digits", weights=str(copy)).model().features.weight, before)


class Harmful:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("harmed"),)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"weight": torch.zeros(2)}, r"has no features\.0\.weight"),
        ({WEIGHT: torch.zeros(64, 3, 7, 7), BIAS: torch.zeros(64)}, r"of shape \(64, 3, 7, 7\)"),
        ({WEIGHT: torch.zeros(64, 3, 11, 11)}, r"has no features\.0\.bias"),
        (torch.zeros(3), r"has no features\.0\.weight"),
        ({WEIGHT: 3, BIAS: 4}, r"of shape \(\)"),
        (Harmful(), "objects other than tensors"),
    ],
)
def test_wrong_weights_are_refused_in_one_line(content: Any, complaint: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, "wrong.pth")
    with pytest.raises(UserError, match=rf"^weights file wrong\.pth.*{complaint}.*accepted") as caught:
        FrozenFeatures("digits", weights="wrong.pth").load_data(NOWHERE)
    assert "\n" not in str(caught.value)
    assert not Path("harmed").exists()


def test_files_that_torch_did_not_write_are_refused_in_one_line(tmp_path: Path) -> None:
    for name, content in (("text.pth", b"hello"), ("empty.pth", b""), ("pickle.pth", pickle.dumps({"a": 1}))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"^weights file .*{name}.*accepted") as caught:
            FrozenFeatures("digits", weights=str(tmp_path / name)).load_data(NOWHERE)
        assert "\n" not in str(caught.value)


def test_without_network_and_file_one_line_says_so(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(UserError, match=r"downloads are disabled \(accepted: weights=FILE, or weights=none"):
        FrozenFeatures("digits").load_data(NOWHERE)

    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no route to the server\nsecond line")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(UserError, match=r"can't be downloaded: OSError: no route to the server \(accepted: weights"):
        FrozenFeatures("digits").load_data(DataSource(Path("unused")))
    assert capsys.readouterr().out == ""


def test_torchvisions_weights_are_taken_from_its_cache(tmp_path: Path, monkeypatch: Any) -> None:
    import torchvision.models

    class Offered:
        url = "https://example.org/alexnet.pth"

        def get_state_dict(self, **given: Any) -> dict[str, torch.Tensor]:
            assert given["weights_only"]
            assert given["check_hash"]
            return {WEIGHT: torch.full((64, 3, 11, 11), 0.5), BIAS: torch.ones(64)}

    asked = []
    monkeypatch.setattr(torchvision.models, "get_weight", lambda name: asked.append(name) or Offered())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet.pth").touch()
    from optbench.problems import alexnet as module

    module._load_weights.cache_clear()
    assert torch.equal(first_layer("imagenet", download=False).bias, torch.ones(64))
    assert asked == ["AlexNet_Weights.IMAGENET1K_V1"]
    module._load_weights.cache_clear()


@pytest.mark.parametrize(
    ("parameter", "value", "complaint"),
    [
        ("frozen", 1.5, r"frozen_features\[frozen\] = 1.5 is out of range"),
        ("blocks", -1, r"frozen_features\[blocks\] = -1 is out of range"),
        ("width", 0, r"frozen_features\[width\] = 0 is out of range"),
        ("weights", "imagenett", r"unknown frozen_features\[weights\] 'imagenett'; did you mean 'imagenet'"),
        ("weights", "there/is.none", r"frozen_features\[weights\]: there/is.none is not a file"),
    ],
)
def test_settings_out_of_range_are_refused(parameter: str, value: Any, complaint: str) -> None:
    with pytest.raises(UserError, match=f"^{complaint}.*accepted"):
        make_problem("frozen_features", {"data": "digits", parameter: value})


def test_the_command_line_ends_with_2_before_anything_is_computed(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "wrong.pth").write_bytes(b"nothing")
    problem = f"frozen_features[data=digits,weights={tmp_path / 'wrong.pth'}]"
    options = ["--optimizer", "sgd", "--device", "cpu", "--engine", "serial", "--results", str(tmp_path / "results")]
    assert _main(["run", "--problem", problem, *options]) == WRONG_USE
    error = capsys.readouterr().err
    assert error.startswith("optbench: weights file")
    assert error.count("\n") == 1
    assert not list((tmp_path / "results").rglob("cells"))
