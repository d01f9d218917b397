"""The source of batches: tensors on the device, a DataLoader over tensors, or a DataLoader over image files."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from optbench.experiments.arms import dots, fit_logarithmic
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.forward import resident
from optbench.experiments.slide import COLORS, RC, heading, slide
from optbench.experiments.verdict import Measurement, estimate, exact

if TYPE_CHECKING:
    from torch import Tensor

#: A function that visits one epoch of the training set and returns the number of examples.
Epoch = Callable[[], int]


def measure(setting: Setting) -> Tables:
    """`speed`: examples per second of every way, measured in turn; `memory`: the bytes that each way keeps."""
    import torch

    size = setting.size
    data, problem = resident(f"cifar_resnet[data={size['data']}]", setting.source, setting.device)
    count = min(size["examples"], len(data.train))
    images, classes = data.train.batch(torch.arange(count, device=setting.device))
    tensors = images.cpu().contiguous(), classes.cpu()
    folder = _write_images(setting.folder / "images", *tensors)
    ways = _ways(setting, problem, data, tensors, folder)
    rows = []
    for epoch in ways.values():
        epoch()  # starts workers and fills caches
    for repetition in range(size["repetitions"]):
        for name, epoch in ways.items():
            _wait(setting.device)
            started = time.perf_counter()
            visited = epoch()
            _wait(setting.device)
            rows.append({"way": name, "repetition": repetition, "speed": visited / (time.perf_counter() - started)})
    held = sum(tensor.nbytes for tensor in tensors)
    listed = len(pickle.dumps(_folder(folder)))
    memory = pd.DataFrame({"way": ["tensors", "files"], "bytes": [held, listed], "examples": count})
    about = {
        "data": problem.display().get("data", "cifar10"),
        "batch_size": size["batch_size"],
        "device": setting.device,
        "examples": count,
    }
    return {"speed": pd.DataFrame(rows).assign(**about), "memory": memory}


def _wait(device: str) -> None:
    from optbench.machine.device import synchronize

    synchronize(device)


def _ways(setting: Setting, problem: Any, data: Any, tensors: tuple[Tensor, Tensor], folder: Path) -> dict[str, Epoch]:
    """All ways to visit the same number of examples in batches on the device, by name."""
    import torch
    from torch.utils.data import TensorDataset

    size, device = setting.size, setting.device
    count, batch_size = len(tensors[0]), size["batch_size"]
    generator = torch.Generator(device).manual_seed(0)

    def by_index(augmented: bool) -> Epoch:
        def epoch() -> int:
            for index in torch.randperm(count, device=device).split(batch_size):
                batch = data.train.batch(index)
                if augmented:
                    problem.augment_batch(batch, generator)
            return count

        return epoch

    ways = {"resident": by_index(False), "resident,\naugmented": by_index(True)}
    workers = range(size["workers"] + 1)
    for number in workers:
        ways[f"loader,\n{number} worker{'s' * (number != 1)}"] = _loader_epoch(
            TensorDataset(*tensors), number, False, size, device
        )
    if device.startswith("cuda"):
        ways["loader,\npinned"] = _loader_epoch(TensorDataset(*tensors), workers[-1], True, size, device)
    ways["loader,\naugmented"] = _loader_epoch(_Augmented(tensors, problem.image_size // 8), 0, False, size, device)
    ways["image files"] = _loader_epoch(_folder(folder), workers[-1], False, size, device)
    return ways


def _loader_epoch(dataset: Any, workers: int, pinned: bool, size: Any, device: str) -> Epoch:
    from torch.utils.data import DataLoader

    # Workers persist between epochs, so that their start is not measured. They are fresh interpreters, because forked
    # ones may hang after torch has started threads.
    more: dict[str, Any] = {"persistent_workers": True, "multiprocessing_context": "spawn"} if workers else {}
    loader = DataLoader(dataset, size["batch_size"], shuffle=True, num_workers=workers, pin_memory=pinned, **more)

    def epoch() -> int:
        visited = 0
        for images, classes in loader:
            visited += len(images.to(device, non_blocking=pinned))
            classes.to(device, non_blocking=pinned)
        return visited

    return epoch


class _Augmented:
    """Images that are shifted one by one, as by the transforms of a Dataset."""

    def __init__(self, tensors: tuple[Tensor, Tensor], reach: int) -> None:
        from torchvision.transforms import RandomCrop

        self.images, self.classes = tensors
        self.crop = RandomCrop(self.images.shape[-1], padding=reach)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.crop(self.images[index]), self.classes[index]


def _folder(root: Path) -> Any:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import ToTensor

    return ImageFolder(str(root), transform=ToTensor())


def _write_images(root: Path, images: Tensor, classes: Tensor) -> Path:
    """Writes the images as PNG files, scaled to bytes, to one folder per class; existing files are kept."""
    from torchvision.utils import save_image

    for index, (image, label) in enumerate(zip(images, classes.tolist(), strict=True)):
        path = root / str(label) / f"{index:06}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_image(image, path, normalize=True)
    return root


def evaluate(tables: Tables) -> list[Measurement]:
    """How much faster resident tensors are than the fastest loader over them, and how much memory files save."""
    speed, memory = tables["speed"].pivot(index="repetition", columns="way", values="speed"), tables["memory"]
    plain = [way for way in _order(tables) if way.startswith("loader") and "augmented" not in way]
    fastest = speed[plain].median().idxmax()
    held = memory.set_index("way")["bytes"]
    more, name = (1.0, math.inf), str(fastest).replace("\n", " ")
    return [
        estimate(f"examples/s, resident / {name}", speed["resident"] / speed[fastest], more, logarithmic=True),
        estimate("examples/s with augmentation, resident / loader", speed["resident,\naugmented"] /
                 speed["loader,\naugmented"], more, logarithmic=True),
        exact("bytes held for image files / for resident tensors", held["files"] / held["tensors"], (0.0, 1.0)),
    ]  # fmt: skip


def _order(tables: Tables) -> list[str]:
    return list(tables["speed"]["way"].unique())


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws the examples per second of every way."""
    speed = tables["speed"]
    first = speed.iloc[0]
    figure, (ax,) = slide(
        "Data loading: data that fits into memory should be kept there",
        f"images of {first['data']}, {first['examples']:,} examples, batch {first['batch_size']}, on "
        f"{first['device']}, {speed['repetition'].nunique()} epochs in turn (dots), bars: 95 %",
        measurements, 1, size=(9.5, 3.4),
    )  # fmt: skip
    ways = _order(tables)
    colors = [COLORS[0] if way.startswith("resident") else COLORS[1] if "loader" in way else COLORS[2] for way in ways]
    dots(ax, [(way, speed.loc[speed["way"] == way, "speed"]) for way in ways], colors)
    fit_logarithmic(ax.yaxis, speed["speed"])
    ax.yaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set(ylabel="examples per second")
    ax.set_title(heading(measurements[0].quantity, measurements[0]))
    return figure


EXPERIMENT = Experiment(
    name="data-loading",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Examples per second that arrive on the device in batches, without training: indexed from resident tensors, "
        "from a DataLoader over the same tensors with several workers, and decoded from image files, which need not "
        "fit into memory. Augmentation: random shifts, applied to whole batches of resident data and image by image "
        "otherwise."
    ),
    limits={"workers": (0, math.inf)},
    full={"data": "cifar10", "examples": 45000, "batch_size": 100, "workers": 4, "repetitions": 7},
    quick={"data": "digits", "examples": 1200, "workers": 2, "repetitions": 5},
)
