"""The lecture's network: its shapes, its loss, and that it learns."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from optbench.errors import UserError
from optbench.problem import DataSource
from optbench.problems.mnist_cnn import MnistCnn
from optbench.registry import make_problem

NOWHERE = DataSource(Path("/nonexistent"), download=False)


def test_the_network_has_the_lectures_layers() -> None:
    model = MnistCnn().model()
    shapes, values = [], torch.randn(2, 1, 28, 28)
    for layer in model:
        values = layer(values)
        shapes.append((type(layer).__name__, *values.shape[1:]))
    assert shapes == [
        ("Conv2d", 32, 24, 24), ("MaxPool2d", 32, 8, 8), ("ReLU", 32, 8, 8),
        ("Conv2d", 64, 4, 4), ("MaxPool2d", 64, 2, 2), ("ReLU", 64, 2, 2),
        ("Flatten", 256), ("Linear", 200), ("ReLU", 200), ("Linear", 10),
    ]  # fmt: skip
    weights = (32 * 25 + 32) + (64 * 32 * 25 + 64) + (256 * 200 + 200) + (200 * 10 + 10)
    assert sum(p.numel() for p in model.parameters()) == weights == 105_506


def test_dropout_is_between_the_linear_layers_and_only_where_asked_for() -> None:
    names = [type(layer).__name__ for layer in MnistCnn(dropout=0.3).model()]
    assert names[-4:] == ["Linear", "ReLU", "Dropout", "Linear"]
    assert not any(isinstance(layer, torch.nn.Dropout) for layer in MnistCnn().model())


def test_initial_weights_come_from_torchs_generator_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.nn.utils.parameters_to_vector(MnistCnn().model().parameters())

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_loss_and_accuracy_are_what_numpy_finds() -> None:
    problem, random = MnistCnn(), np.random.default_rng()
    model = problem.model().eval()
    images = torch.from_numpy(random.normal(size=(40, 1, 28, 28))).float()
    classes = torch.from_numpy(random.integers(0, 10, 40))
    with torch.no_grad():
        scores = model(images).double().numpy()
        loss, accuracy = problem.evaluate(model, (images, classes))
        assert torch.equal(problem.loss(model, (images, classes)), loss)
        assert torch.equal(problem.metric(model, (images, classes)), accuracy)
    picked = scores[np.arange(40), classes.numpy()]
    assert float(loss) == pytest.approx(np.mean(np.log(np.exp(scores).sum(axis=1)) - picked), rel=1e-5)
    assert float(accuracy) == pytest.approx(np.mean(scores.argmax(axis=1) == classes.numpy()))


def test_memory_format_changes_nothing() -> None:
    torch.manual_seed(0)
    problem = MnistCnn("digits")
    model, images = problem.model(), torch.randn(7, 1, 28, 28)
    other = problem.model().to(memory_format=torch.channels_last)
    other.load_state_dict(model.state_dict())
    assert torch.allclose(model(images), other(images.contiguous(memory_format=torch.channels_last)), atol=1e-5)


def test_it_learns_the_digits() -> None:
    problem = MnistCnn("digits")
    data = problem.load_data(NOWHERE)
    torch.manual_seed(0)
    model = problem.model().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(4):
        for index in torch.randperm(problem.training_examples()).split(40):
            optimizer.zero_grad()
            problem.loss(model, tuple(t[index] for t in data.train)).backward()
            optimizer.step()
    with torch.no_grad():
        assert problem.metric(model.eval(), data.test).item() > 0.9


def test_settings_out_of_range_are_refused() -> None:
    for value in (-0.1, 1.0):
        with pytest.raises(UserError, match=r"^mnist_cnn\[dropout\] = .*accepted"):
            make_problem("mnist_cnn", {"data": "digits", "dropout": value})
    with pytest.raises(UserError, match=r"unknown data of mnist_cnn 'mnits'; did you mean 'mnist'"):
        make_problem("mnist_cnn", {"data": "mnits"})


@pytest.mark.parametrize("name", ["mnist_cnn", "cifar_resnet"])
def test_planning_needs_no_torch(name: str) -> None:
    code = (
        "import sys; from optbench.registry import make_problem\n"
        f"p = make_problem('{name}', {{'data': 'digits'}}); assert p.training_examples() == 1200\n"
        "assert p.identity()['data'] == 'digits' and p.display() == {'data': 'digits'}\n"
        "p.microseconds_per_example, p.microseconds_per_step, p.target, p.plane, p.curvature\n"
        "print({'torch', 'torchvision', 'sklearn', 'PIL', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
