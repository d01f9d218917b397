"""The lecture's network: its shapes, its loss, and that it learns."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from optbench.config.load import configure
from optbench.errors import UserError
from optbench.planning.matrix import make_plan
from optbench.problem.data import DataSource
from optbench.problem.registry import make_problem
from optbench.problems.mnist_cnn import MnistCnn
from optbench.training.device_data import load
from optbench.training.execution.replica import Replica
from optbench.training.execution.trainer import Trainer
from optbench.training.record import Training
from optbench.training.stepper import chunk_sizes

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
    problem, random = MnistCnn(), np.random.default_rng(0)
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


@pytest.mark.processes
def test_planning_needs_no_torch() -> None:
    code = (
        "import sys; from optbench.problem.registry import make_problem\n"
        "for name in ('mnist_cnn', 'cifar_resnet', 'frozen_features'):\n"
        "    p = make_problem(name, {'data': 'digits'}); assert p.training_examples() == 1200\n"
        "    assert p.identity()['data'] == 'digits' and p.display() == {'data': 'digits'}\n"
        "    p.microseconds_per_example, p.microseconds_per_step, p.target, p.plane, p.curvature\n"
        "print({'torch', 'torchvision', 'sklearn', 'PIL', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


# Normalisation, initialisation, reduction


def trained(
    problem: str, optimizer: str, batch_size: int, budget: int, lr: float, execution: str = "eager"
) -> Training:
    config = configure(problems=[problem], optimizers=[optimizer], batch_sizes=[batch_size], devices=["cpu"],
                       run_budget=f"{budget}examples", evaluations=1)  # fmt: skip
    cell = make_plan(config, execution).cells[0]
    loaded, data = load(cell.problem, NOWHERE, "cpu")
    trainer = Trainer(cell, loaded, data)
    (record,) = trainer.train([Replica({"lr": lr}, 5)], budget)
    assert trainer.execution == cell.execution.name, trainer.note
    return record


def test_batch_norm_stands_before_each_rectifier_in_the_place_of_biases() -> None:
    model = MnistCnn(norm="batch", dropout=0.2).model()
    names = [type(layer).__name__ for layer in model]
    assert names == ["Conv2d", "MaxPool2d", "BatchNorm2d", "ReLU"] * 2 + [
        "Flatten", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]  # fmt: skip
    plain = sum(p.numel() for p in MnistCnn().model().parameters())
    assert sum(p.numel() for p in model.parameters()) == plain + 32 + 64 + 200  # two for each bias
    seen = []
    for layer in model:
        if isinstance(layer, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
            layer.register_forward_hook(lambda *found: seen.append(found[2]))
    model(3 + 7 * torch.randn(50, 1, 28, 28))
    for values in seen:
        assert torch.allclose(values.transpose(0, 1).flatten(1).mean(1), torch.zeros(values.shape[1]), atol=1e-5)
        assert torch.allclose(values.transpose(0, 1).flatten(1).std(1), torch.ones(values.shape[1]), atol=0.02)


def test_the_sum_is_the_mean_times_the_batch_in_training_and_the_mean_in_reports() -> None:
    mean, total = MnistCnn("digits"), MnistCnn("digits", reduction="sum")
    model, batch = mean.model(), (torch.randn(30, 1, 28, 28), torch.arange(30) % 10)
    assert torch.allclose(total.loss(model, batch), 30 * mean.loss(model, batch))
    assert torch.equal(total.evaluate(model, batch)[0], mean.evaluate(model, batch)[0])


@pytest.mark.parametrize("batch_size", [50, 250])  # the larger in two chunks
def test_sgd_on_the_sum_is_sgd_on_the_mean_at_batch_size_times_the_rate(batch_size: int) -> None:
    mean = trained("mnist_cnn[data=digits]", "sgd", batch_size, 500, 0.1)
    total = trained("mnist_cnn[data=digits,reduction=sum]", "sgd", batch_size, 500, 0.1 / batch_size)
    assert mean.points[-1].valid_loss != pytest.approx(mean.points[0].valid_loss, rel=1e-3)
    for one, other in zip(mean.points, total.points, strict=True):
        assert other.valid_loss == pytest.approx(one.valid_loss, rel=1e-4)


def test_batch_norm_sees_the_whole_batch_and_is_never_chunked() -> None:
    config = configure(problems=["mnist_cnn[data=digits,norm=[none,batch]]"], optimizers=["sgd"], batch_sizes=[250],
                       devices=["cpu"])  # fmt: skip
    plain, normalised = make_plan(config).cells
    assert chunk_sizes(plain.problem.make(), plain) == [125, 125]
    assert chunk_sizes(normalised.problem.make(), normalised) == [250]


def test_norm_and_sum_in_a_population_are_those_of_eager_training() -> None:
    alone, together = (
        trained("mnist_cnn[data=digits,norm=batch,reduction=sum]", "sgd", 20, 60, 0.005, execution)
        for execution in ("eager", "population")
    )
    for one, other in zip(alone.points, together.points, strict=True):
        assert other.valid_loss == pytest.approx(one.valid_loss, rel=1e-3)


def test_dropout_in_a_population_is_trained_eagerly() -> None:
    alone = trained("mnist_cnn[data=digits,dropout=0.5]", "sgd", 50, 100, 0.1)
    config = configure(problems=["mnist_cnn[data=digits,dropout=0.5]"], optimizers=["sgd"], batch_sizes=[50],
                       devices=["cpu"], run_budget="100examples", evaluations=1)  # fmt: skip
    cell = make_plan(config, "population").cells[0]
    trainer = Trainer(cell, *load(cell.problem, NOWHERE, "cpu"))
    (record,) = trainer.train([Replica({"lr": 0.1}, 5)], 100)
    assert trainer.execution == "eager"
    assert "random" in trainer.note
    assert [point.valid_loss for point in record.points] == [point.valid_loss for point in alone.points]


def test_words_are_checked_and_none_is_one_of_them() -> None:
    assert make_problem("mnist_cnn", {"norm": None}) == MnistCnn()
    for parameter, value, near in (("norm", "btach", "batch"), ("init", "xavier", ""), ("reduction", "summ", "sum")):
        with pytest.raises(UserError, match=rf"unknown mnist_cnn\[{parameter}\] '{value}'.*{near}.*accepted"):
            make_problem("mnist_cnn", {parameter: value})


def test_settings_at_their_defaults_leave_a_cell_as_it_was() -> None:
    assert MnistCnn().identity() == {"data": "mnist", "dropout": 0.0}
    assert MnistCnn(norm="batch").identity() == {"data": "mnist", "dropout": 0.0, "norm": "batch"}
    config = configure(problems=["cifar_resnet[shortcut=none,norm=none]"], optimizers=["sgd"], devices=["cpu"])
    assert make_plan(config).cells[0].problem.label == "cifar_resnet[shortcut=none,norm=none]"
