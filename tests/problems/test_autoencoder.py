"""The deep autoencoder against NumPy's, and what its data is."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from optbench.errors import UserError
from optbench.problem.data import DataSource
from optbench.problem.registry import make_problem
from optbench.problems.autoencoder import Autoencoder
from optbench.problems.logistic_regression import LogisticRegression
from tests.problem.datasets.test_datasets import make_folder

NOWHERE = DataSource(Path("/nonexistent"), download=False)
ACTIVATIONS = {"sigmoid": lambda v: 1 / (1 + np.exp(-v)), "tanh": np.tanh, "relu": lambda v: np.maximum(v, 0)}


@pytest.mark.parametrize(
    ("parameters", "widths"),
    [
        ({}, (64, 32, 16, 8, 16, 32, 64)),
        ({"code": 2, "layers": 1}, (64, 2, 64)),
        ({"data": "mnist", "code": 30, "layers": 4}, (784, 347, 153, 68, 30, 68, 153, 347, 784)),
        ({"code": 64, "layers": 2}, (64,) * 5),
    ],
)
def test_widths_fall_by_equal_factors_and_rise_again(parameters: dict[str, object], widths: tuple[int, ...]) -> None:
    problem = make_problem("autoencoder", parameters)
    assert isinstance(problem, Autoencoder)
    assert problem.widths == widths
    layers = [layer for layer in problem.model() if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == list(itertools.pairwise(widths))


def test_images_are_the_brightness_of_those_that_others_classify() -> None:
    data, others = Autoencoder().load_data(NOWHERE), LogisticRegression().load_data(NOWHERE)
    for name, count in (("train", 1200), ("valid", 300), ("test", 297)):
        [images] = getattr(data, name)
        assert images.shape == (count, 64)
        assert images.dtype == torch.float32
        assert (images.min(), images.max()) == (0, 1)
        same = torch.corrcoef(torch.stack([images.flatten(), getattr(others, name)[0].flatten()]))
        assert same[0, 1].item() == pytest.approx(1.0, abs=1e-5)
    # 17 shades of grey, to the nearest of a byte's 256.
    shades = data.train[0].unique().numpy()
    assert shades == pytest.approx(np.arange(17) / 16, abs=0.51 / 255)


def test_images_of_a_folder_are_grey_and_28_pixels_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTBENCH_CACHE", str(tmp_path / "cache"))
    problem = Autoencoder(str(make_folder(tmp_path / "animals", size=28)))
    assert problem.widths[0] == 784
    data = problem.load_data(NOWHERE)
    assert [len(split[0]) for split in (data.train, data.valid, data.test)] == [problem.training_examples(), 2, 6]
    files = sorted((tmp_path / "animals" / "test").rglob("*.png"))
    expected = [np.asarray(Image.open(file).convert("L")).ravel() / 255 for file in files]
    assert data.test[0].numpy() == pytest.approx(np.array(expected), abs=1e-6)
    assert problem.display() == {"data": "animals"}


@pytest.mark.parametrize("error", ["cross_entropy", "squared"])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_loss_and_metric_are_what_numpy_finds(activation: str, error: str) -> None:
    problem, random = Autoencoder(activation=activation, error=error), np.random.default_rng(0)
    model, images = problem.model().double(), random.uniform(size=(9, 64))
    values = images
    linear = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    for place, layer in enumerate(linear, 1):
        values = values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        if place not in (3, 6):
            values = ACTIVATIONS[activation](values)
    said = 1 / (1 + np.exp(-values))
    squared = ((said - images) ** 2).sum(axis=1).mean()
    entropy = -(images * np.log(said) + (1 - images) * np.log(1 - said)).sum(axis=1).mean()
    batch = (torch.from_numpy(images),)
    with torch.no_grad():
        loss, metric = problem.evaluate(model, batch)
        assert loss.item() == problem.loss(model, batch).item()
        assert metric.item() == problem.metric(model, batch).item()
    assert loss.item() == pytest.approx(squared if error == "squared" else entropy, rel=1e-10)
    assert metric.item() == pytest.approx(squared, rel=1e-10)


def test_the_start_follows_its_name_and_the_seed() -> None:
    torch.manual_seed(3)
    glorot = Autoencoder().model()
    bound = (6 / (64 + 32)) ** 0.5
    assert glorot[0].weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert not glorot[0].bias.any()
    torch.manual_seed(3)
    assert torch.equal(Autoencoder().model()[0].weight, glorot[0].weight)
    assert Autoencoder(init="default").model()[0].weight.abs().max().item() == pytest.approx(1 / 8, rel=0.01)


def test_a_method_with_momentum_leaves_the_plateau_of_the_mean_image() -> None:
    problem = Autoencoder()
    data = problem.load_data(NOWHERE)
    torch.manual_seed(0)
    model = problem.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(20):
        for index in torch.randperm(1200).split(20):
            optimizer.zero_grad()
            problem.loss(model, (data.train[0][index],)).backward()
            optimizer.step()
    [images] = data.test
    mean = (images - data.train[0].mean(0)).square().sum(1).mean().item()
    with torch.no_grad():
        assert problem.metric(model, data.test).item() < 0.6 * mean


def test_replicas_are_chosen_where_they_gain() -> None:
    assert Autoencoder().stacks("cpu", 100)
    assert not Autoencoder().stacks("cpu", 1000)
    assert not Autoencoder("mnist").stacks("cpu", 10)
    assert Autoencoder("mnist").stacks("cuda", 10)


@pytest.mark.parametrize(
    ("parameter", "value", "complaint"),
    [
        ("code", 0, r"^autoencoder\[code\] = 0 .*accepted: 1 to 64"),
        ("code", 65, r"^autoencoder\[code\] = 65 .*accepted: 1 to 64"),
        ("layers", 0, r"^autoencoder\[layers\] = 0 .*accepted: 1 to 50"),
        ("activation", "sigmod", r"^unknown autoencoder\[activation\] 'sigmod'; did you mean 'sigmoid'"),
        ("error", "square", r"^unknown autoencoder\[error\] 'square'; did you mean 'squared'"),
        ("init", "gloro", r"^unknown autoencoder\[init\] 'gloro'; did you mean 'glorot'"),
        ("data", "digit", r"^unknown data of autoencoder 'digit'; did you mean 'digits'"),
    ],
)
def test_values_that_make_no_sense_are_refused_in_one_line(parameter: str, value: object, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        make_problem("autoencoder", {parameter: value})
    assert len(str(caught.value).splitlines()) == 1
