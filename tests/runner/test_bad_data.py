"""Damaged, foreign and hostile data by the real command line: one line, exit 2, and nothing is run or unpacked."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets
from torchvision.datasets.utils import extract_archive

from optbench.cli.verbs import WRONG_USE, _main
from optbench.problem.datasets import download
from optbench.problem.datasets.download import download_guard

SHORT = ("--optimizer", "sgd", "--seeds", "1", "--device", "cpu", "--engine", "serial", "--tuning-worth", "0")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The line with which `run` ends with 2, before it has made a results directory."""

    def refuse(problem: str, *options: object) -> str:
        capsys.readouterr()
        assert _main(["run", "--problem", problem, *SHORT, *map(str, options)]) == WRONG_USE
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line and not line.endswith("B/s]")]  # the bar of a download
        assert out == ""
        assert len(lines) == 1, err
        assert not Path("results").exists() or not any(Path("results").iterdir())
        return lines[0].removeprefix("optbench: ")

    return refuse


class Planted:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("planted").absolute(),)


# Data sets in files


def test_a_file_of_mnist_that_is_damaged_or_swollen(refused: Callable[..., str], tmp_path: Path) -> None:
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 60_000), ("t10k", 10_000)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            (raw / f"{prefix}-{kind}-ubyte").write_bytes(header + bytes(int(np.prod(shape))))
    images, labels = raw / "train-images-idx3-ubyte", raw / "t10k-labels-idx1-ubyte"
    options = ("mnist_cnn[data=fashion_mnist]", "--data-dir", "data", "--no-download")
    whole = labels.read_bytes()
    labels.write_bytes(whole[:500] + b"\xff" + whole[501:])
    line = refused(*options)
    assert line.startswith("data set fashion_mnist is corrupt: ")
    assert "t10k-labels-idx1-ubyte: it has labels above 9" in line
    with images.open("r+b") as file:  # 64 GiB that take no room on the disk: they must not be read
        file.truncate(64 * 2**30)
    assert "train-images-idx3-ubyte: it has 68719476736 bytes instead of 47040016" in refused(*options)
    images.write_bytes(pickle.dumps(Planted()))
    assert "its header is wrong" in refused(*options)
    assert not Path("planted").exists()


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_pickle_of_cifar_that_is_another_one_is_not_loaded(
    name: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    cls = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    folder = tmp_path / "data" / cls.base_folder
    folder.mkdir(parents=True)
    for file, _ in [*cls.train_list, *cls.test_list, (cls.meta["filename"], "")]:
        (folder / file).write_bytes(pickle.dumps(Planted()))
    line = refused(f"cifar_resnet[data={name}]", "--data-dir", "data", "--no-download", "--run-budget", "1epochs")
    assert f"data set {name} is corrupt" in line
    assert not Path("planted").exists()


# Folders of images


def image_folder(root: Path) -> Path:
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for i in range(20):
                pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i:02}.png")
    return root


def png_of(width: int, height: int) -> bytes:
    """A grey PNG of so many black pixels, in some kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed, rows = zlib.compressobj(9), []
    for _ in range(height):
        rows.append(packed.compress(bytes(1 + width)))
    content = b"".join(rows) + packed.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def tiff_with_nan() -> bytes:
    pixels = np.full((32, 32), 0.5, dtype=np.float32)
    pixels[3, 4] = np.nan
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "TIFF")
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        ("half", "truncated"),
        (png_of(10_000, 10_000), "DecompressionBomb"),
        (tiff_with_nan(), "floating-point"),
        (pickle.dumps(b"\x89PNG"), "Pillow does not recognise it as an image"),
    ],
    ids=["empty", "truncated", "bomb", "nan", "pickle"],
)
def test_an_image_that_is_none(content: bytes | str, reason: str, refused: Callable[..., str], tmp_path: Path) -> None:
    path = image_folder(tmp_path / "animals") / "train" / "bee" / "07.png"
    path.write_bytes(path.read_bytes()[:600] if isinstance(content, str) else content)
    line = refused("cifar_resnet[depth=8,data=./animals]", "--batch-size", "4")
    assert "animals/train/bee/07.png' can't be read" in line
    assert reason in line


def test_a_class_without_images(refused: Callable[..., str], tmp_path: Path) -> None:
    for path in (image_folder(tmp_path / "animals") / "test" / "ant").iterdir():
        path.unlink()
    line = refused("cifar_resnet[depth=8,data=./animals]", "--batch-size", "4")
    assert "has no image in test/ant" in line


# Data of the user's own problems


OWN = """
from dataclasses import dataclass
import torch
from optbench import Data, Problem

@dataclass(frozen=True)
class Own(Problem):
    name = "own"
    batch_sizes = (10,)
    run_budget = "2epochs"
    wrong: str = "nothing"

    def training_examples(self):
        return 50

    def model(self):
        return torch.nn.Linear(4, 3)

    def load_data(self, source):
        def split(n):
            return [torch.randn(n, 4), torch.arange(n) % 3]

        splits = {"train": split(50), "valid": split(20), "test": split(20)}
        if self.wrong == "nan":
            splits["valid"][0][11, 2] = torch.nan
        elif self.wrong == "class":
            splits["test"][1][7] = 3
        elif self.wrong == "negative":
            splits["train"][1][7] = -1
        return Data(**{name: tuple(split) for name, split in splits.items()})

    def loss(self, model, batch):
        return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])

    def metric(self, model, batch):
        return (model(batch[0]).argmax(1) == batch[1]).float().mean()
"""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nan", "loads valid examples that contain NaN (accepted: numbers)"),
        ("class", "loads test examples of the classes 0 to 3, which its loss does not accept: IndexError: Target 3"),
        ("negative", "loads train examples of the classes -1 to 2, which its loss does not accept"),
    ],
)
def test_data_of_an_own_problem_that_no_training_can_use(wrong: str, said: str, refused: Callable[..., str]) -> None:
    Path("own.py").write_text(OWN)
    line = refused(f"own.py:Own[wrong={wrong}]", "--batch-size", "10")
    assert line.startswith(f"own[wrong={wrong}] {said}")


def test_looking_at_the_classes_draws_no_random_number_and_needs_no_model(tmp_path: Path) -> None:
    from optbench.config.load import configure
    from optbench.planning.matrix import make_plan
    from optbench.problem.data import DataSource
    from optbench.runner.preflight import check_data

    choices = {"problems": ["own.py:Own"], "optimizers": ["sgd"], "batch_sizes": [10], "devices": ["cpu"]}
    Path("own.py").write_text(OWN.replace("return torch.nn.Linear(4, 3)", "raise RuntimeError('not today')"))
    cells = make_plan(configure(**choices)).cells
    check_data(cells, DataSource(tmp_path))  # an error row of its own cells
    Path("own.py").write_text(OWN.replace("torch.randn(n, 4)", "torch.ones(n, 4)"))
    cells = make_plan(configure(**choices)).cells
    torch.manual_seed(5)
    check_data(cells, DataSource(tmp_path))
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after)


# Downloads


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """What a mirror of all data sets sends, whatever is asked for: `content`, or zeros without an end."""
    sent: dict[str, object] = {"content": None, "bytes": 0}

    class Mirror(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            content = sent["content"]
            try:
                if isinstance(content, bytes):
                    self.wfile.write(content)
                else:
                    while True:
                        self.wfile.write(bytes(1 << 16))
                        sent["bytes"] += 1 << 16  # type: ignore[operator]
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            pass

    mirror = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=mirror.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{mirror.server_port}/"
    monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}cifar-10-python.tar.gz")
    yield sent
    mirror.shutdown()
    mirror.server_close()


def test_a_bomb_in_place_of_a_download_is_not_unpacked(
    server: dict[str, object], refused: Callable[..., str], tmp_path: Path
) -> None:
    server["content"] = gzip.compress(bytes(64 * 2**20))
    line = refused("mnist_cnn[data=mnist]", "--data-dir", tmp_path / "data")
    assert "data set mnist can't be downloaded" in line
    assert sum(path.stat().st_size for path in (tmp_path / "data").rglob("*")) < 2**20


def test_a_download_without_an_end_ends(
    server: dict[str, object], refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    monkeypatch.setattr(download, "LARGEST_FILE", 2**20)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    line = refused("mnist_cnn[data=mnist]", "--data-dir", tmp_path / "data")
    assert "can't be downloaded" in line
    assert "File too large" in line
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before
    assert sum(path.stat().st_size for path in (tmp_path / "data").rglob("*")) < 2**22


def archive_reaching_outside(how: str, outside: Path) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        name = {"path": "../../outside", "absolute": str(outside), "link": "link/outside"}[how]
        if how == "link":
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, str(outside.parent)
            tar.addfile(link)
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    return made.getvalue()


@pytest.mark.parametrize("how", ["path", "absolute", "link"])
def test_an_archive_reaches_nothing_outside_of_its_folder(
    how: str, server: dict[str, object], refused: Callable[..., str], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    server["content"] = archive_reaching_outside(how, outside)
    assert "can't be downloaded" in refused("cifar_resnet[depth=8]", "--data-dir", tmp_path / "a" / "data")
    assert not outside.exists()
    # And where it has the MD5 that is expected: what is relied on then is the archive's own rule.
    (tmp_path / "a" / "b").mkdir(parents=True)
    archive = tmp_path / "evil.tar.gz"
    archive.write_bytes(server["content"])  # type: ignore[arg-type]
    before = tarfile.TarFile.extraction_filter
    try:
        with download_guard():
            extract_archive(str(archive), str(tmp_path / "a" / "b"))
    except tarfile.TarError:
        pass
    assert not outside.exists()
    assert tarfile.TarFile.extraction_filter is before


def test_what_a_small_archive_unpacks_to_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LARGEST_FILE", 2**20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(2**24)))
    with download_guard(), pytest.raises(OSError, match="File too large"):
        extract_archive(str(tmp_path / "bomb.gz"), str(tmp_path))
    assert (tmp_path / "bomb").stat().st_size <= 2**20
    (tmp_path / "later").write_bytes(bytes(2**21))  # the limit ended with the download
