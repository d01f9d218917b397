"""Your own images: a folder with one subfolder per class, on which a residual network is trained.

    python examples/own_data.py [FOLDER] [IMAGES]

Shows the layout of an image folder, what a run on it costs, and how two optimizers are compared on it. IMAGES is a
folder in this layout; without it, the script writes 420 PNG files of striped patterns into a temporary folder. 6 paired
seeds, no network access. Measured with these patterns: 75 s of processor time, and 119 s in all on two cores of an AMD
EPYC that other programs used at the same time (torch 2.14.1). Results are kept in FOLDER (default: results); a second
call reads them and trains nothing.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import optbench

#: The classes: stripes, by how fast their phase grows across and down the image.
STRIPES = {"diagonal": (0.7, 0.7), "horizontal": (0.0, 1.0), "vertical": (1.0, 0.0)}


def write(folder: Path, train: int, test: int) -> None:
    """Writes grey images of 32 × 32 pixels with noise: `train` and `test` images of each class."""
    random = np.random.RandomState(0)
    y, x = np.mgrid[:32, :32]
    for split, count in (("train", train), ("test", test)):
        for name, (across, down) in STRIPES.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                phase = (across * x + down * y) / random.uniform(4, 12) + random.uniform()
                pixels = 128 + 40 * np.sin(2 * np.pi * phase) + 60 * random.standard_normal(phase.shape)
                Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(folder / split / name / f"{number:03}.png")


def main(
    results: Path,
    images: Path | None = None,
    seeds: int = 6,
    run_budget: str = "4epochs",
    tuning_worth: float = 6,
    per_class: tuple[int, int] = (100, 40),
    engine: str = "processes",
) -> optbench.Results:
    with tempfile.TemporaryDirectory() as temporary:
        # 1. The layout is train/<class>/… and test/<class>/…, with the same classes in both and any file names. A tenth
        # of the training images, always the same ones, is the validation set that chooses the learning rate. The test
        # images are used only after the last step. Each image is scaled to 32 × 32 pixels and three channels.
        if images is None:
            images = Path(temporary) / "stripes"
            write(images, *per_class)

        # 2. The folder is the parameter `data`; quotes allow spaces and commas in its path. The problems `mlp`,
        # `mnist_cnn`, `logistic_regression` and `autoencoder` take a folder too, as grey images of 28 × 28 pixels.
        choices = {
            "problems": [f'cifar_resnet[data="{images.as_posix()}",depth=8,width=8]'],
            "optimizers": ["adam", "momentum"],
            "batch_sizes": [10],
            "seeds": seeds,
            "run_budget": run_budget,
            "tuning_worth": tuning_worth,
        }

        # 3. The costs: an epoch takes one example gradient per training image, whose time grows with the depth and
        # about the square of the width (depth 20 and width 16: 7 times as long as here). The files are decoded once,
        # into a cache of 3 KB per image; in memory an image takes 12 KB. `plan` looks at names only.
        plan = optbench.plan(**choices)
        trainings = sum(plan.trainings(cell) for cell in plan.cells)
        seconds = sum(plan.seconds(cell) for cell in plan.cells)
        print(f"{images.name}: {plan.cells[0].training_examples} images to train on")
        print(f"{trainings:.0f} trainings of {run_budget}, about {seconds:.0f} s on one idle core")
        print("Interrupt it at any time: the same command resumes.", flush=True)

        # 4. Run. Results belong to the names and sizes of the image files, not to the place of the folder: a copy of it
        # continues them, and another image begins new ones.
        run = optbench.run(**choices, results=results, name="own_data", engine=engine, outputs=False)
    print(run, "\n\nTest accuracy: median, lowest and highest of the seeds\n", sep="")
    comparison = optbench.compare(run.folder, reference="adam")
    columns = ["optimizer", "lr", "test_metric", "test_metric_low", "test_metric_high", "audit"]
    print(comparison.leaderboard[columns].to_string(index=False, float_format="%.3g"), comparison, sep="\n\n")
    return run


if __name__ == "__main__":  # needed because worker processes import this file
    main(*map(Path, sys.argv[1:] or ["results"]))
