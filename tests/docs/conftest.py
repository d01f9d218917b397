"""A folder that holds what the documents speak of: files, stored results, data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from optbench.cli.verbs import COMPLETE, _main
from tests.support.executed import shortened
from tests.support.pages import ROOT, blocks

#: A folder of images, in two classes, of which batches of 100 can be made.
_IMAGES = [f"{split}/{label}/{n}.png" for split in ("train", "test") for label in "ab" for n in range(64)]


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the pages under the names that these give them, `mine.toml` of the README, and results directories
    under the names that the pages use.
    """
    import numpy as np
    import torch
    from PIL import Image

    folder = tmp_path_factory.mktemp("documents")
    for block in blocks("python"):
        if block.file:
            file = folder / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, "utf-8")
    (folder / "mypkg.py").write_text((folder / "lion.py").read_text("utf-8"), "utf-8")
    [configuration] = blocks("toml", page="README.md")
    (folder / "mine.toml").write_text(configuration.text, "utf-8")
    (folder / "examples").mkdir(exist_ok=True)
    shutil.copy(ROOT / "examples" / "ladder.toml", folder / "examples")
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((1000, 4))).float()
    torch.save({"x": x, "y": x[:, :1].sin()}, folder / "tensors.pt")
    for name in [f"path/to/images/{image}" for image in _IMAGES]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.RandomState(0).randint(0, 255, (4, 4, 3), "uint8")).save(folder / name)
    with pytest.MonkeyPatch.context() as patch:
        shortened(patch)
        patch.setattr("optbench.training.landscape.POINTS", 9)
        for name, optimizers in {"quick": ("sgd", "adam"), "mine": ("momentum", "adam")}.items():
            options = [f"--optimizer={optimizer}" for optimizer in optimizers]
            options += ["--problem=quadratic_valley", "--batch-size=100"]
            options += ["--seeds=2", "--run-budget=1epochs", "--tuning-worth=4", "--engine=serial"]
            assert _main(["run", *options, "--name", name, "--results", str(folder / "results")]) == COMPLETE
    shutil.copytree(folder / "results" / "mine", folder / "results" / "first")
    return folder


@pytest.fixture
def reader(stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of somebody who reads the documents: a copy of that folder."""
    folder = Path(shutil.copytree(stocked, tmp_path / "reader"))
    shortened(monkeypatch)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return folder
