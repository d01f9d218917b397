"""Data sets by name and from folders: what arrives, and what is refused, in one line each time."""

import os
import shutil
import socket
import struct
import unicodedata
import urllib.request
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from optbench.config.schema import Config
from optbench.errors import UserError
from optbench.planning.matrix import make_plan
from optbench.problem.data import Batch, Data, DataSource
from optbench.problem.datasets import decode, image_file
from optbench.problem.datasets.classification import ImageClassification
from optbench.problem.datasets.folder import scan
from optbench.problem.datasets.pixels import Pixels, draw_split, standardise


class Colours(ImageClassification):
    """RGB images of 8 × 8 pixels; enough of a problem to load data."""

    name: ClassVar[str] = "colours"
    named: ClassVar[tuple[str, ...]] = ("cifar10", "digits")
    image_size = 8
    channels = 3

    def model(self) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, self.classes))


class Grey(Colours):
    named: ClassVar[tuple[str, ...]] = ("mnist", "fashion_mnist", "digits")
    image_size = 28
    channels = 1


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> DataSource:
    return DataSource(tmp_path / "data", download=False)


COUNTS = {"train": {"ant": 13, "bee": 9, "cow": 5}, "test": {"ant": 2, "bee": 1, "cow": 3}}


def make_folder(root: Path, size: int = 8) -> Path:
    random = np.random.default_rng(0)
    for split, classes in COUNTS.items():
        for name, count in classes.items():
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i:02}.png")
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "animals")


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


# Splits and standardisation


def test_splits_are_disjoint_complete_and_always_the_same() -> None:
    for total in (21, 50, 499):
        first, rest = draw_split(total, 20)
        assert len(first) == 20
        assert sorted([*first, *rest]) == list(range(total))
        assert np.array_equal(first, draw_split(total, 20)[0])
    # Pinned, as results on the disk depend on it.
    assert draw_split(1797, 5)[0].tolist() == [208, 399, 476, 1482, 1606]


def random_pixels(channels: int, train: int = 60, test: int = 11) -> Pixels:
    random = np.random.default_rng(0)
    return Pixels(
        random.integers(0, 200, (train, 5, 4, channels), dtype=np.uint8),
        np.arange(train),
        random.integers(50, 256, (test, 5, 4, channels), dtype=np.uint8),
        np.arange(test),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_all_splits_are_standardised_by_the_training_split(channels: int) -> None:
    pixels = random_pixels(channels)
    data = standardise(pixels, valid=10)
    (train, train_labels), (valid, valid_labels), (test, test_labels) = data.train, data.valid, data.test
    assert sorted([*train_labels.tolist(), *valid_labels.tolist()]) == list(range(60))
    original = pixels.train[train_labels.numpy()].astype(np.float64)
    mean, deviation = original.mean(axis=(0, 1, 2)), original.std(axis=(0, 1, 2))
    for images, source, labels in (
        (train, pixels.train, train_labels),
        (valid, pixels.train, valid_labels),
        (test, pixels.test, test_labels),
    ):
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        expected = (source[labels.numpy()] - mean) / deviation
        assert images.numpy() == pytest.approx(expected.transpose(0, 3, 1, 2), abs=1e-5)
        assert images.permute(0, 2, 3, 1).is_contiguous()


def test_a_channel_of_one_colour_is_no_division_by_zero() -> None:
    pixels = random_pixels(3)
    pixels.train[..., 1] = 7
    data = standardise(pixels, valid=5)
    assert torch.isfinite(data.test[0]).all()
    assert not data.train[0][:, 1].any()


# scikit-learn's digits


def test_digits_need_no_network_and_are_split_by_a_fixed_draw(source: DataSource) -> None:
    from sklearn.datasets import load_digits

    problem = Grey("digits")
    data = problem.load_data(source)
    sizes = [len(split[0]) for split in (data.train, data.valid, data.test)]
    assert sizes == [1200, 300, 297]
    assert problem.training_examples() == 1200
    assert data.train[0].shape[1:] == (1, 28, 28)
    every = torch.cat([split[1] for split in (data.train, data.valid, data.test)])
    assert torch.equal(every.bincount(), torch.from_numpy(load_digits().target).bincount())
    again = problem.load_data(source)
    assert all(torch.equal(a, b) for a, b in zip(data.test, again.test, strict=True))
    # Distinct images stay distinct and in one split each.
    images = torch.cat([split[0] for split in (data.train, data.valid, data.test)]).flatten(1)
    assert len(images.unique(dim=0)) == len(np.unique(load_digits().data, axis=0))


# MNIST's files


def write_idx(folder: Path, shift: int = 0) -> dict[str, np.ndarray]:
    """Random files in the layout of Fashion-MNIST, whose content is not checked, only its form."""
    random = np.random.default_rng(0)
    written = {}
    folder.mkdir(parents=True)
    for prefix, count in (("train", 60_000), ("t10k", 10_000)):
        images = np.frombuffer(random.bytes(count * 784), np.uint8).reshape(count, 28, 28)
        labels = random.integers(0, 10, count, dtype=np.uint8)
        header = struct.pack(">IIII", 0x803, count, 28, 28), struct.pack(">II", 0x801, count)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header[0] + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header[1] + labels.tobytes())
        written[prefix], written[f"{prefix} labels"] = images, labels
    return written


def test_fashion_mnist_is_read_as_it_lies_and_refused_where_it_is_damaged(source: DataSource) -> None:
    raw = source.directory / "FashionMNIST" / "raw"
    written = write_idx(raw)
    problem = Grey("fashion_mnist")
    data = problem.load_data(source)
    assert [len(s[0]) for s in (data.train, data.valid, data.test)] == [55_000, 5_000, 10_000]
    assert problem.training_examples() == 55_000
    assert np.array_equal(data.test[1].numpy(), written["t10k labels"])
    rest = draw_split(60_000, 5_000)[1]
    expected = written["train"][rest].astype(np.float64)
    assert data.train[0][:50, 0].numpy() == pytest.approx((expected[:50] - expected.mean()) / expected.std(), abs=1e-5)

    labels = raw / "train-labels-idx1-ubyte"
    content = labels.read_bytes()
    for damaged, reason in (
        (content[:-1], "60007 bytes instead of 60008"),
        (b"", "header"),
        (b"\0\0\x08\x03" + content[4:], "header"),
        (content[:8] + b"\x0a" + content[9:], "labels above 9"),
    ):
        labels.write_bytes(damaged)
        message = refused(lambda: problem.load_data(source))
        assert reason in message
        assert str(labels) in message
    labels.unlink()
    assert "incomplete" in refused(lambda: problem.load_data(source))


@pytest.mark.parametrize("problem", [Grey("mnist"), Grey("fashion_mnist"), Colours("cifar10")], ids=str)
def test_missing_data_names_the_place_and_the_options(problem: ImageClassification, source: DataSource) -> None:
    message = refused(lambda: problem.load_data(source))
    assert str(problem.data) in message
    assert str(source.directory) in message
    assert "--data-dir" in message
    assert "--no-download" in message
    assert not source.directory.exists()


def test_corrupt_cifar_is_no_missing_cifar(source: DataSource) -> None:
    batches = source.directory / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (batches / name).write_bytes(b"not a batch")
    assert "corrupt" in refused(lambda: Colours("cifar10").load_data(source))


@pytest.mark.parametrize("problem", [Grey("mnist"), Grey("fashion_mnist"), Colours("cifar10")], ids=str)
@pytest.mark.parametrize(
    "failure", [URLError("no route\nto host"), TimeoutError("timed out"), ConnectionResetError(), EOFError()]
)
def test_a_failed_download_is_one_line(
    problem: ImageClassification, failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise failure

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    message = refused(lambda: problem.load_data(DataSource(tmp_path / "new")))
    assert f"{problem.data} can't be downloaded" in message
    assert "--data-dir" in message
    assert socket.getdefaulttimeout() is None


def test_a_place_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = refused(lambda: Grey("mnist").load_data(DataSource(tmp_path / "file" / "below")))
    assert "can't be downloaded" in message


def real_data() -> Path:
    given = os.environ.get("OPTBENCH_TEST_DATA")
    if not given:
        pytest.skip("OPTBENCH_TEST_DATA names no directory with real data")
    return Path(given)


@pytest.fixture
def mnist() -> Path:
    if not (real_data() / "MNIST" / "raw").is_dir():
        pytest.skip("no MNIST below OPTBENCH_TEST_DATA")
    return real_data()


def test_real_mnist_is_read_as_torchvision_has_it(mnist: Path) -> None:
    from torchvision.datasets import MNIST

    data = Grey("mnist").load_data(DataSource(mnist, download=False))
    train, test = MNIST(mnist, train=True), MNIST(mnist, train=False)
    valid_index, train_index = draw_split(60_000, 5_000)
    assert torch.equal(data.train[1], train.targets[train_index])
    assert torch.equal(data.valid[1], train.targets[valid_index])
    assert torch.equal(data.test[1], test.targets)
    kept = train.data[train_index].double()
    expected = (test.data[:500].double() - kept.mean()) / kept.std(correction=0)
    assert torch.allclose(data.test[0][:500, 0].double(), expected, atol=1e-5)


def test_one_changed_byte_of_real_mnist_is_noticed(mnist: Path, tmp_path: Path) -> None:
    shutil.copytree(mnist / "MNIST", tmp_path / "MNIST")
    path = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(4321)
        old = file.read(1)
        file.seek(4321)
        file.write(bytes([old[0] ^ 1]))
    assert "MD5" in refused(lambda: Grey("mnist").load_data(DataSource(tmp_path, download=False)))


# Folders of images


def test_a_folder_is_what_image_folder_reads(folder: Path, source: DataSource) -> None:
    (folder / "train" / "ant" / "deeper").mkdir()
    shutil.copy(folder / "train" / "ant" / "00.png", folder / "train" / "ant" / "deeper" / "Z.PNG")
    (folder / "train" / "notes.txt").write_text("no class")
    (folder / "test" / "ant" / "notes.txt").write_text("no image")
    pixels = decode.read(scan(folder), 8, 3)
    for split, images, labels in (
        ("train", pixels.train, pixels.train_labels),
        ("test", pixels.test, pixels.test_labels),
    ):
        expected = ImageFolder(folder / split)
        assert labels.tolist() == expected.targets
        for found, (image, _) in zip(images, expected, strict=True):
            assert np.array_equal(found, np.asarray(image))
    problem = Colours(str(folder))
    problem.check()
    data = problem.load_data(source)
    assert problem.classes == 3
    assert [len(s[0]) for s in (data.train, data.valid, data.test)] == [26, 2, 6]
    assert problem.training_examples() == 26


def test_images_of_any_kind_become_what_was_asked_for(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (12, 1))
    for split in COUNTS:
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
    for split, name in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        image = {
            ("train", "a"): Image.fromarray(ramp),
            ("train", "b"): Image.fromarray(ramp.astype(np.uint16) * 257),
            ("test", "a"): Image.fromarray(np.dstack([ramp, ramp, ramp, np.full_like(ramp, 255)])),
            ("test", "b"): Image.fromarray(ramp).convert("P"),
        }[split, name]
        image.save(tmp_path / split / name / "x.png")
    for channels in (1, 3):
        pixels = decode.read(scan(tmp_path), 6, channels)
        assert pixels.train.shape == (2, 6, 6, channels)
        for image in (*pixels.train, *pixels.test):
            assert np.array_equal(image, pixels.train[0])
        assert (np.diff(pixels.train[0].astype(int), axis=1) > 0).all()


def save_folder(root: Path, images: dict[str, Image.Image]) -> Path:
    for name, image in images.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)
    return root


def four(**images: Image.Image) -> dict[str, Image.Image]:
    """A folder of one image for each split and class; `images` replaces those of a split."""
    plain = Image.new("L", (8, 8), 90)
    names = [f"{split}/{name}/x.png" for split in ("train", "test") for name in ("a", "b")]
    return {name: images.get(name.replace("/", "_").removesuffix("_x.png"), plain) for name in names}


GRADIENT = np.tile(np.linspace(0, 255, 8).astype(np.uint8), (8, 1))


def move_behind_pixels(file: Path, kind: bytes) -> None:
    """Moves the EXIF chunk of a PNG behind its pixels, where the standard allows it too; as text, like older tools."""
    data, chunks, place = file.read_bytes(), [], 8
    while place < len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        chunks.append(data[place:end])
        place = end
    [exif] = [chunk for chunk in chunks if chunk[4:8] == b"eXIf"]
    content = exif[8:-4]
    if kind == b"tEXt":
        profile = b"Exif\x00\x00" + content
        content = b"Raw profile type exif\x00\nexif\n%8d\n%s\n" % (len(profile), profile.hex().encode())
    late = len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)
    kept = [chunk for chunk in chunks if chunk[4:8] not in (b"eXIf", b"IEND")]
    file.write_bytes(data[:8] + b"".join([*kept, late, chunks[-1]]))


@pytest.mark.parametrize("kind", [b"eXIf", b"tEXt"])
def test_an_orientation_after_the_pixels_is_known_and_applied(kind: bytes, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    files = [tmp_path / f"{name}.png" for name in ("before", "after", "without")]
    for file, given in zip(files, ({"exif": exif}, {"exif": exif}, {}), strict=True):
        Image.fromarray(GRADIENT).save(file, **given)
    move_behind_pixels(files[1], kind)
    assert [image_file.traits(str(file)) for file in files] == [{"turned"}, {"turned"}, frozenset()]
    before, after, without = (image_file.read(str(file), 8, 1, (0, 255)) for file in files)
    assert np.array_equal(before, after)
    assert np.array_equal(after[::-1, ::-1], without)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_the_orientation_is_applied_in_every_format(ending: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    root = save_folder(tmp_path / "f", four())
    for name, given in (("turned", {"exif": exif}), ("upright", {})):
        Image.fromarray(GRADIENT).convert("RGB").save(root / "test" / "a" / f"{name}.{ending}", **given)
    turned, upright, _, _ = decode.read(scan(root), 8, 1).test[:, 0, :, 0].astype(int)
    assert np.abs(turned[::-1] - upright).max() < 16
    assert upright[0] < 60 < 200 < upright[-1]


@pytest.mark.parametrize(
    ("mode", "low", "high"),
    [("I;16", 1085, 1260), ("I;16", 0, 65_535), ("I;16", 40_000, 40_100), ("I", 0, 255), ("I", -1_000, 3_000)],
)
def test_deep_grey_levels_are_scaled_by_the_range_of_the_training_images(
    mode: str, low: int, high: int, tmp_path: Path
) -> None:
    def flat(level: float) -> Image.Image:
        dtype = np.uint16 if mode == "I;16" else np.int32
        return Image.fromarray(np.full((8, 8), level).astype(dtype))

    span = high - low
    levels = {"train/a": low, "train/b": high, "test/a": low + 0.4 * span, "test/b": high + span}
    top = 65_535 if mode == "I;16" else 2**31 - 1
    pixels = decode.read(
        scan(save_folder(tmp_path, {f"{name}/x.tif": flat(min(level, top)) for name, level in levels.items()})), 8, 1
    )
    assert [int(image.max()) for image in pixels.train] == [0, 255]
    assert [int(image.max()) for image in pixels.test] == [102, 255]  # beyond the range: clipped


@pytest.mark.parametrize("shape", [0, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_black_and_white_shapes_remain_visible_on_a_transparent_ground(mode: str, shape: int, tmp_path: Path) -> None:
    alpha = np.where(np.arange(64).reshape(8, 8) < 32, 255, 0).astype(np.uint8)
    image = Image.merge("LA", [Image.new("L", (8, 8), shape), Image.fromarray(alpha)]).convert("RGBA")
    if mode == "P":
        image = Image.fromarray((alpha > 0).astype(np.uint8)).convert("P")
        image.putpalette([shape] * 6)
        image.info["transparency"] = 0
    root = save_folder(tmp_path, four(test_a=image.convert(mode) if mode == "LA" else image))
    pixels = decode.read(scan(root), 8, 1)
    assert (pixels.test[0][:4] == shape).all()
    assert (pixels.test[0][4:] == 128).all()


def test_dark_colours_of_twelve_in_sixteen_bits_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = save_folder(tmp_path, {name: Image.new("RGB", (8, 8), (9, 4, 5)) for name in four()})
    assert decode.read(scan(root), 8, 3).train.max() == 9  # dark colours of 8 bits are accepted
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    rows = (b"\0" + struct.pack(">24H", *[1200] * 24)) * 8

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    sixteen = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    for name in four():
        (root / name).write_bytes(sixteen)
    assert "16 bits that use the lower 12" in refused(lambda: decode.read(scan(root), 8, 3))


def test_hidden_and_leftover_files_are_no_images(folder: Path) -> None:
    before = Colours(str(folder)).identity()
    wrong = folder / "train" / "ant" / "00.png"
    for place in (
        "train/bee/._00.png",
        "train/bee/.ipynb_checkpoints/0.png",
        "test/__MACOSX/x.png",
        "train/.old/1.png",
    ):
        (folder / place).parent.mkdir(exist_ok=True)
        shutil.copy(wrong, folder / place)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / "test" / "ant" / name).write_bytes(b"?")
    assert Colours(str(folder)).identity() == before
    assert Colours(str(folder)).notes() == []


def test_files_that_are_left_out_are_counted(folder: Path) -> None:
    assert Colours(str(folder)).notes() == []
    for split, count in (("train", 3), ("test", 2)):
        for i in range(count):
            (folder / split / "ant" / f"{i}.GIF").write_bytes(b"")
    (folder / "train" / "bee" / "README").write_bytes(b"")
    (note,) = Colours(str(folder)).notes()
    assert "5 .gif" in note
    assert "1 without extension" in note
    assert note in make_plan(Config(problems=[f"mlp[data={folder}]"], optimizers=["adam"], batch_sizes=[5])).notes


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_of_classes_that_look_alike_are_shown_in_full(form: Literal["NFC", "NFD"], folder: Path) -> None:
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    (folder / "train" / "ant").rename(folder / "train" / unicodedata.normalize(form, "caf\u00e9"))
    (folder / "test" / "ant").rename(folder / "test" / unicodedata.normalize(other, "caf\u00e9"))  # type: ignore[arg-type]
    message = refused(Colours(str(folder)).check)
    assert r"'caf\xe9'" in message
    assert r"'cafe\u0301'" in message
    (folder / "test" / unicodedata.normalize(form, "caf\u00e9")).mkdir()
    assert "classes 'cafe" in refused(Colours(str(folder)).check)


def test_accents_in_one_form_are_accepted(folder: Path) -> None:
    for split in COUNTS:
        (folder / split / "ant").rename(folder / split / "caf\u00e9")
    assert scan(folder).classes == ("bee", "caf\u00e9", "cow")


def test_a_folder_of_classes_alone_is_split_in_the_same_way_every_time(folder: Path, source: DataSource) -> None:
    flat = folder / "train"
    problem = Colours(str(flat))
    found = scan(flat)
    assert (found.classes, found.train, found.test) == (("ant", "bee", "cow"), (11, 8, 4), (2, 1, 1))
    assert len(set(found.images)) == 27
    assert "4 of its 27 images are for the test" in problem.notes()[0]
    moved = flat.rename(folder / "elsewhere")
    assert scan(moved).images == found.images
    Image.new("RGB", (8, 8)).save(moved / "bee" / "new.png")
    before, after = ({*f.images[sum(f.train) :]} for f in (found, scan(moved)))
    assert len(before & after) >= 3
    data = Colours(str(moved)).load_data(source)
    assert [len(split[1]) for split in (data.train, data.valid, data.test)] == [21, 2, 5]  # now two of ten bees
    for image in (moved / "cow").iterdir():
        image.unlink()
    assert "0 images in cow/" in refused(Colours(str(moved)).check)


def test_only_images_that_are_read_otherwise_than_before_change_the_identity(folder: Path) -> None:
    for name, image in {
        "plain": Image.new("L", (8, 8)),
        "palette": Image.new("L", (8, 8)).convert("P"),
        "deep": Image.new("I;16", (8, 8)),
        "transparent": Image.new("RGBA", (8, 8)),
    }.items():
        path = folder / "test" / "ant" / f"{name}.png"
        image.save(path)
        assert ("revision" in Colours(str(folder)).identity()["data"]) is (name in ("deep", "transparent"))
        path.unlink()


def test_a_folder_is_decoded_once(
    folder: Path, cache: Path, source: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Colours(str(folder)).load_data(source)
    held = sorted(path.suffix for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")
    assert held == [".npy", ".sha256"]

    def fail(*arguments: object) -> None:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(decode, "_decode", fail)
        second = Colours(str(folder)).load_data(source)
        assert isinstance(decode.read(scan(folder), 8, 3).train, np.memmap)
        with pytest.raises(AssertionError, match="decoded again"):
            decode.read(scan(folder), 9, 3)
    assert all(torch.equal(a, b) for a, b in zip(first.train, second.train, strict=True))


@pytest.mark.parametrize("damage", ["truncated", "changed", "emptied", "no digest"])
def test_a_damaged_cache_is_made_anew(damage: str, folder: Path, cache: Path, source: DataSource) -> None:
    first = Colours(str(folder)).load_data(source)
    (held,) = cache.rglob("*.npy")
    whole = held.read_bytes()
    if damage == "no digest":
        held.with_suffix(".sha256").unlink()
    else:
        changed = whole[:-1] + bytes([whole[-1] ^ 4])
        held.write_bytes({"truncated": whole[:-7], "changed": changed, "emptied": b""}[damage])
    second = Colours(str(folder)).load_data(source)
    assert all(torch.equal(a, b) for a, b in zip(first.test, second.test, strict=True))
    assert held.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_a_warning(
    folder: Path, tmp_path: Path, source: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPTBENCH_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="can't be cached"):
        assert len(Colours(str(folder)).load_data(source).test[0]) == 6


def test_a_changed_image_is_noticed(folder: Path, source: DataSource) -> None:
    before = Colours(str(folder)).load_data(source).test[0]
    path = folder / "test" / "bee" / "00.png"
    path.unlink()
    Image.new("RGB", (8, 8), "red").save(path)
    after = Colours(str(folder)).load_data(source).test[0]
    assert not torch.equal(before[2], after[2])
    assert torch.equal(before[:2], after[:2])


def test_the_identity_of_a_folder_is_what_it_holds_not_where(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "animals"
    shutil.copytree(folder, moved, copy_function=shutil.copyfile)
    here, there = Colours(str(folder)), Colours(f"{moved}/")
    assert here.identity() == there.identity()
    assert here.identity()["data"]["folder"] == "animals"
    assert str(tmp_path) not in str(here.identity())
    assert here.display() == there.display() == {"data": "animals"}
    with (moved / "test" / "cow" / "00.png").open("ab") as file:
        file.write(b"!")
    (moved / "test" / "touched").mkdir()
    (moved / "test" / "touched").rmdir()
    assert here.identity() != there.identity()


def test_other_images_of_the_same_names_and_sizes_are_other_data(folder: Path, source: DataSource) -> None:
    before, labels = Colours(str(folder)).identity(), Colours(str(folder)).load_data(source).test[0]
    one, other = (folder / "test" / name / "00.png" for name in ("ant", "bee"))
    Image.new("RGB", (8, 8), "red").save(one, "bmp")
    Image.new("RGB", (8, 8), "blue").save(other, "bmp")
    first = Colours(str(folder)).identity()
    red, blue = one.read_bytes(), other.read_bytes()
    assert len(red) == len(blue)
    one.write_bytes(blue)  # in place: no directory changes
    other.write_bytes(red)
    swapped = Colours(str(folder)).load_data(source).test[0]
    assert len({str(identity) for identity in (before, first, Colours(str(folder)).identity())}) == 3
    assert not torch.equal(labels, swapped)
    one.write_bytes(red)
    other.write_bytes(blue)
    os.utime(one)
    assert Colours(str(folder)).identity() == first


@pytest.mark.parametrize(("name", "shown"), [("digits", "./digits"), ("cifar10", "./cifar10"), ("numbers", "numbers")])
def test_a_folder_with_the_name_of_a_data_set_is_shown_as_a_path(name: str, shown: str, folder: Path) -> None:
    problem = Colours(str(folder.rename(folder.parent / name)))
    assert problem.display() == {"data": shown}
    assert problem.identity()["data"]["folder"] == name
    assert Colours("cifar10").display() == {"data": "cifar10"}


def test_paths_may_be_relative_or_start_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.chdir(folder.parent)
    expected = Colours(str(folder)).identity()
    for given in ("animals", "./animals", "animals/", "~/animals", "../" + folder.parent.name + "/animals"):
        problem = Colours(given)
        assert problem.identity() == expected
        assert problem.display() == {"data": "animals"}
    monkeypatch.chdir(folder)
    assert Colours(".").identity() == expected


def remove(path: Path) -> None:
    shutil.rmtree(path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda root: remove(root), "does not exist"),
        (lambda root: (remove(root / "train"), remove(root / "test")), "has no train/"),
        (lambda root: [(root / s).rename(root / s.title()) for s in COUNTS], "has Test/ but no train/ and test/"),
        (lambda root: remove(root / "train"), "has no train/"),
        (lambda root: remove(root / "test"), "has no test/"),
        (lambda root: remove(root / "test" / "bee"), "class 'bee' in train/ but not in test/"),
        (lambda root: remove(root / "train" / "cow"), "class 'cow' in test/ but not in train/"),
        (lambda root: [p.unlink() for p in (root / "train" / "ant").iterdir()], "no image in train/ant"),
        (lambda root: [p.rename(p.with_suffix("")) for p in (root / "test" / "ant").iterdir()], "image in test/ant"),
        (lambda root: [remove(root / s / c) for s in COUNTS for c in ("ant", "bee")], "one class"),
        (lambda root: [remove(root / s / c) for s in COUNTS for c in COUNTS[s]], "no classes"),
        (lambda root: (root / "train" / "ant" / "x.png").symlink_to("nowhere"), "x.png"),
        (lambda root: (remove(root), root.write_text("")), "is not a folder"),
    ],
)  # fmt: skip
def test_folders_of_another_layout_are_refused(damage: Callable[[Path], object], reason: str, folder: Path) -> None:
    damage(folder)
    message = refused(Colours(str(folder)).check)
    assert reason in message
    assert str(folder) in message
    assert "train/<class>/" in message


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a no image", b"\x89PNG\r\n\x1a\n broken", "half"], ids=["empty", "text", "header", "half"]
)
def test_files_that_are_no_images_are_named(content: bytes | str, folder: Path, source: DataSource) -> None:
    path = folder / "test" / "cow" / "01.png"
    path.write_bytes(path.read_bytes()[:120] if content == "half" else content)  # type: ignore[arg-type]
    message = refused(lambda: Colours(str(folder)).load_data(source))
    assert str(path) in message
    assert "can't be read" in message


def test_an_unknown_name_gets_the_nearest_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = refused(Grey("fashion-mnist").check)
    assert "did you mean 'fashion_mnist'" in message
    for name in ("mnist", "digits", "folder"):
        assert name in message
    assert "unknown" in refused(Grey("").check)
    assert "cifar10" in refused(Grey("cifar10").check)
    assert "does not exist" in refused(Grey("./mnist").check)
    assert "does not exist" in refused(Grey("~nobody-of-that-name/x").check)


def test_nothing_is_printed_or_warned_about(
    folder: Path, source: DataSource, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for problem in (Colours(str(folder)), Grey("digits")):
            data: Data = problem.load_data(source)
            batch: Batch = data.valid
            torch.manual_seed(0)
            assert batch[0].shape[1:] == (problem.channels, problem.image_size, problem.image_size)
    assert capfd.readouterr() == ("", "")
