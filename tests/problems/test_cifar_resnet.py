"""The residual networks: the paper's sizes, shortcuts against explicit loops, augmentation likewise."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from optbench.errors import UserError
from optbench.problem.data import DataSource
from optbench.problem.registry import make_problem
from optbench.problems.augmentation import shift_and_flip
from optbench.problems.cifar_resnet import CifarResnet
from optbench.problems.resnet import Block, PadShortcut, ResNet

NOWHERE = DataSource(Path("/nonexistent"), download=False)


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_sizes_are_those_of_the_papers_table_6(depth: int, millions: float) -> None:
    digits = 1 if depth == 110 else 2
    assert round(parameters(CifarResnet(depth=depth).model()) / 1e6, digits) == millions


def test_depth_counts_the_layers_with_weights() -> None:
    for depth in (8, 14, 20):
        model = CifarResnet(depth=depth).model()
        layers = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
        assert len(layers) == depth


def test_conv_shortcuts_add_their_weights_and_no_norm_trades_scales_for_biases() -> None:
    plain = parameters(CifarResnet().model())
    conv = parameters(CifarResnet(shortcut="conv").model())
    assert conv - plain == (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    bare = CifarResnet(norm="none").model()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in bare.modules())
    channels = sum(m.out_channels for m in bare.modules() if isinstance(m, torch.nn.Conv2d))
    assert plain - parameters(bare) == channels  # scale and shift before, a bias now


def test_the_pad_shortcut_takes_every_second_pixel_and_adds_zeros() -> None:
    images = torch.randn(3, 4, 7, 6)
    found = PadShortcut(4, 8, 2)(images)
    assert found.shape == (3, 8, 4, 3)
    for n in range(3):
        for c in range(8):
            for y in range(4):
                for x in range(3):
                    expected = images[n, c, 2 * y, 2 * x] if c < 4 else 0.0
                    assert found[n, c, y, x] == expected


@pytest.mark.parametrize("shortcut", ["pad", "conv"])
def test_a_block_is_the_sum_of_its_branches(shortcut: str) -> None:
    block = Block(4, 8, 2, shortcut, "batch").eval()
    images = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        inner = torch.relu(block.norm1(block.conv1(images)))
        expected = torch.relu(block.norm2(block.conv2(inner)) + block.shortcut(images))
        assert torch.equal(block(images), expected)
    assert expected.shape == (2, 8, 4, 4)


def test_a_plain_network_has_the_same_weights_and_no_shortcut() -> None:
    torch.manual_seed(1)
    plain = CifarResnet(depth=14, shortcut="none").model().eval()
    torch.manual_seed(1)
    residual = CifarResnet(depth=14).model().eval()
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), residual.parameters(), strict=True))
    block = plain[4]
    with torch.no_grad():
        x = torch.relu(torch.randn(2, 16, 8, 8))
        inner = torch.relu(block.norm1(block.conv1(x)))
        assert torch.equal(block(x), torch.relu(block.norm2(block.conv2(inner))))
    assert not torch.allclose(plain(torch.ones(1, 3, 32, 32)), residual(torch.ones(1, 3, 32, 32)))


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("shortcut", ["pad", "conv"])
def test_initialised_as_the_identity_blocks_pass_on_what_they_get(shortcut: str, norm: str) -> None:
    torch.manual_seed(0)
    model = CifarResnet(depth=14, shortcut=shortcut, norm=norm, init="identity").model()
    blocks = [module for module in model if isinstance(module, Block)]
    x = torch.relu(torch.randn(4, 16, 8, 8))
    for block in blocks:
        after = block(x)
        if isinstance(block.shortcut, torch.nn.Identity):
            assert torch.equal(after, x)
        else:
            assert torch.equal(after, torch.relu(block.shortcut(x)))
        x = after
    # The branches still learn: what follows their zero is not.
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    last = blocks[0].norm2 if norm == "batch" else blocks[0].conv2
    assert last.weight.grad.abs().sum() > 0


def test_dropout_lies_between_the_convolutions_of_each_block() -> None:
    model = CifarResnet(depth=14, dropout=0.4).model()
    blocks = [module for module in model if isinstance(module, Block)]
    assert [block.dropout.p for block in blocks] == [0.4] * 6
    x, seen = torch.rand(40, 16, 8, 8), []
    blocks[0].conv2.register_forward_hook(lambda layer, given, out: seen.append(given[0]))
    blocks[0].norm1 = torch.nn.Identity()
    blocks[0](x)
    whole = torch.relu(blocks[0].conv1(x))
    kept = seen[0] != 0
    assert torch.allclose(seen[0][kept], whole[kept] / 0.6)
    assert (kept.sum() / (whole > 0).sum()).item() == pytest.approx(0.6, abs=0.02)
    blocks[0].eval()(x)
    assert torch.equal(seen[1], whole)


def test_stages_halve_the_image_and_double_the_channels() -> None:
    model, values, seen = ResNet(3, 7, 20, 16), torch.randn(2, 3, 32, 32), []
    for layer in model:
        values = layer(values)
        if isinstance(layer, Block):
            seen.append(tuple(values.shape[1:]))
    assert seen == [(16, 32, 32)] * 3 + [(32, 16, 16)] * 3 + [(64, 8, 8)] * 3
    assert values.shape == (2, 7)


def test_convolutions_start_as_he_et_al_draw_them() -> None:
    torch.manual_seed(0)
    for conv in CifarResnet(width=64, depth=8).model().modules():
        if isinstance(conv, torch.nn.Conv2d):
            fan_in = conv.in_channels * math.prod(conv.kernel_size)
            assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.05)


@pytest.mark.parametrize("depth", [8, 56])
def test_without_normalisation_signals_neither_vanish_nor_explode(depth: int) -> None:
    torch.manual_seed(0)
    model = CifarResnet(depth=depth, norm="none").model()
    with torch.no_grad():
        features = torch.nn.Sequential(*list(model)[:-3])(torch.randn(16, 3, 32, 32))
    assert 0.1 < features.square().mean().sqrt().item() < 10


# Augmentation


def one_by_one(images: Tensor, reach: int, mirror: bool, generator: torch.Generator) -> Tensor:
    """The paper's way, image for image: pad, crop, flip; with the numbers drawn in the same order."""
    n, channels, height, width = images.shape
    down = torch.randint(2 * reach + 1, (n, 1), generator=generator)
    flips = torch.randint(2, (n, 1), generator=generator) if mirror else torch.zeros(n, 1)
    right = torch.randint(2 * reach + 1, (n, 1), generator=generator)
    result = []
    for image, top, left, flip in zip(images, down, right, flips, strict=True):
        padded = torch.zeros(channels, height + 2 * reach, width + 2 * reach)
        padded[:, reach : reach + height, reach : reach + width] = image
        crop = padded[:, int(top) : int(top) + height, int(left) : int(left) + width]
        result.append(crop.flip(2) if flip else crop)
    return torch.stack(result)


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("shape", [(50, 3, 32, 32), (9, 1, 16, 16), (4, 3, 10, 7)])
def test_augmentation_equals_a_loop_over_images(shape: tuple[int, ...], mirror: bool) -> None:
    images, seed = torch.randn(shape), 5
    expected = one_by_one(images, 4, mirror, torch.Generator().manual_seed(seed))
    for format_ in (torch.contiguous_format, torch.channels_last):
        before = images.contiguous(memory_format=format_)
        found = shift_and_flip(before, 4, mirror, torch.Generator().manual_seed(seed))
        assert torch.equal(found, expected)
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(before, images)


def test_augmentation_draws_from_its_generator_alone() -> None:
    problem = CifarResnet()
    batch = (torch.randn(20, 3, 32, 32), torch.arange(20))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = problem.augment_batch(batch, torch.Generator().manual_seed(5))
    again = problem.augment_batch(batch, torch.Generator().manual_seed(5))
    other = problem.augment_batch(batch, torch.Generator().manual_seed(6))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(first[1], batch[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_every_shift_and_both_sides_occur_equally_often() -> None:
    images = torch.zeros(20_000, 1, 9, 9)
    images[:, 0, 4, 4], images[:, 0, 4, 5] = 1.0, 2.0
    moved = shift_and_flip(images, 1, True, torch.Generator().manual_seed(0))[:, 0].flatten(1)
    places, sides = np.unique(
        torch.stack(((moved == 1).int().argmax(1), (moved == 2).int().argmax(1)), 1).numpy(),
        axis=0,
        return_counts=True,
    )
    assert len(places) == 18
    assert np.abs(sides - 20_000 / 18).max() < 5 * math.sqrt(20_000 / 18)


def test_digits_are_shifted_by_one_and_never_mirrored() -> None:
    images = torch.zeros(300, 1, 8, 8)
    images[:, 0, 4, 4], images[:, 0, 4, 5] = 1.0, 2.0
    problem = CifarResnet("digits")
    moved, _ = problem.augment_batch((images, torch.zeros(300)), torch.Generator().manual_seed(0))
    first, second = ((moved == value).nonzero() for value in (1.0, 2.0))
    assert torch.equal(first + torch.tensor([0, 0, 0, 1]), second)
    assert (first[:, 2:].amin(), first[:, 2:].amax()) == (3, 5)


def test_without_augmentation_batches_stay_as_they_are() -> None:
    batch = (torch.randn(5, 3, 32, 32), torch.arange(5))
    problem = make_problem("cifar_resnet", {"augment": False})
    assert problem.augment_batch(batch, torch.Generator())[0] is batch[0]
    assert problem.display() == {"augment": False}
    assert problem.identity()["augment"] is False
    assert make_problem("cifar_resnet", {}).display() == {}


# Settings


@pytest.mark.parametrize(
    ("parameter", "value"), [("depth", 2), ("depth", 9), ("depth", 21), ("width", 0), ("dropout", 1.0)]
)
def test_values_out_of_range_are_refused(parameter: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"^cifar_resnet\[{parameter}\] = {value} .*accepted"):
        make_problem("cifar_resnet", {parameter: value})


@pytest.mark.parametrize(
    ("parameter", "value", "near"),
    [
        ("shortcut", "padd", "pad"),
        ("norm", "bacth", "batch"),
        ("data", "cifar-10", "cifar10"),
        ("init", "identiy", "identity"),
    ],
)
def test_unknown_words_get_the_nearest_match(parameter: str, value: str, near: str) -> None:
    with pytest.raises(UserError, match=f"{value}'; did you mean '{near}'"):
        make_problem("cifar_resnet", {parameter: value})


def test_a_plain_network_cannot_start_as_the_identity() -> None:
    with pytest.raises(UserError, match=r"^cifar_resnet\[init\] = 'identity'.*no signal"):
        make_problem("cifar_resnet", {"shortcut": None, "init": "identity"})


def test_settings_at_their_defaults_leave_a_cell_as_it_was() -> None:
    assert not {"dropout", "init"} & set(CifarResnet().identity())
    assert CifarResnet(dropout=0.1).identity()["dropout"] == 0.1


def test_estimates_grow_with_the_network() -> None:
    def cost(**settings: int | str) -> float:
        return CifarResnet(**settings).microseconds_per_example  # type: ignore[arg-type]

    assert cost(depth=8) < cost() < cost(depth=56)
    assert cost(width=8) < cost() < cost(width=32)
    assert cost(data="digits") < cost() / 3


def test_it_learns_the_digits() -> None:
    problem = CifarResnet("digits", depth=8, width=8, augment=False)
    data = problem.load_data(NOWHERE)
    assert data.train[0].shape == (1200, 1, 8, 8)
    torch.manual_seed(0)
    model = problem.model().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(3):
        for index in torch.randperm(1200).split(50):
            optimizer.zero_grad()
            problem.loss(model, tuple(t[index] for t in data.train)).backward()
            optimizer.step()
    with torch.no_grad():
        assert problem.metric(model.eval(), data.test).item() > 0.8
