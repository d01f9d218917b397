"""One product with a batch against a loop over its samples: the gain from processing many samples at once.

The lecture's measurement: x of 2500 × 1000, w of 1500 × 1000, median of 51; 5.1 times faster on its CPU, 76.0 times
on its GPU.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.slide import COLORS, RC, heading, logarithmic, slide
from optbench.experiments.verdict import Measurement, estimate
from optbench.machine.device import synchronize
from optbench.plots import style

#: The speed-up that the lecture measured, by kind of device.
LECTURE = {"cpu": 5.1, "cuda": 76.0}


def measure(setting: Setting) -> Tables:
    """Seconds of loop and product by device, number of samples and repetition (`times`)."""
    size = setting.size
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows = []
    with _all_threads() as threads, setting.progress.phase("timing", len(devices) * len(size["samples"])) as phase:
        for device in devices:
            generator = torch.Generator().manual_seed(0)
            w = torch.randn(size["outputs"], size["inputs"], generator=generator).to(device)
            for samples in size["samples"]:
                x = torch.randn(samples, size["inputs"], generator=generator).to(device)
                torch.testing.assert_close(loop(x, w), product(x, w), rtol=1e-3, atol=1e-2)
                for repetition in range(size["repetitions"]):
                    # In turn, so that other load on the machine affects both equally.
                    seconds = {f.__name__: _seconds(f, x, w, device) for f in (loop, product)}
                    rows.append({"device": device, "threads": threads, "samples": samples, "repetition": repetition,
                                 **seconds})  # fmt: skip
                phase.advance(1)
    times = pd.DataFrame(rows).assign(ratio=lambda table: table["loop"] / table["product"])
    middle = times.groupby(["device", "threads", "samples"], as_index=False)[["loop", "product", "ratio"]].median()
    return {"medians": middle, "times": times}


def loop(x: Tensor, w: Tensor) -> Tensor:
    """W x, one product per sample; `x` of shape (samples, inputs), `w` (outputs, inputs), result (samples, outputs)."""
    y = x.new_empty(len(x), len(w))
    for place in range(len(x)):
        y[place] = w @ x[place]
    return y


def product(x: Tensor, w: Tensor) -> Tensor:
    """The result of `loop` as one product."""
    return x @ w.T


def _seconds(work: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor, device: str) -> float:
    synchronize(device)
    started = time.perf_counter()
    work(x, w)
    synchronize(device)
    return time.perf_counter() - started


@contextmanager
def _all_threads() -> Iterator[int]:
    """A context in which torch uses one thread per core, as the lecture's script does."""
    before = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(cores)
    try:
        yield cores
    finally:
        torch.set_num_threads(before)


def evaluate(tables: Tables) -> list[Measurement]:
    """The time of the loop over that of the product, at the largest number of samples of each device."""
    times = tables["times"]
    measurements = []
    for device, rows in times.groupby("device"):
        largest = rows[rows["samples"] == rows["samples"].max()]
        name = f"loop / product, {largest['samples'].iloc[0]} samples, {device}"
        # Without the first repetition, in which memory is allocated and libraries choose their algorithm.
        measurements.append(estimate(name, largest["ratio"].iloc[1:], (1.0, math.inf), logarithmic=True))
    return measurements


@mpl.rc_context(RC)
def draw(tables: Tables, measurements: Sequence[Measurement]) -> Figure:
    """Draws microseconds per sample, and the ratio, against the number of samples."""
    middle, times = tables["medians"], tables["times"]
    repetitions = int(times["repetition"].max()) + 1
    threads = int(times["threads"].max())
    figure, (each, ratio) = slide(
        "A product with a batch against a loop over its samples",
        f"y = W x, float32; median of {repetitions}; {threads} CPU threads", measurements, 2, size=(4.2, 3.0),
    )  # fmt: skip
    for color, (device, rows) in zip(COLORS, middle.groupby("device"), strict=False):
        each.plot(rows["samples"], 1e6 * rows["loop"] / rows["samples"], "o-", color=color, label=f"loop, {device}")
        each.plot(
            rows["samples"], 1e6 * rows["product"] / rows["samples"], "s--", color=color, label=f"product, {device}"
        )
        ratio.plot(rows["samples"], rows["ratio"], "o-", color=color, label=f"{device}, here")
        kind = str(device).partition(":")[0]
        if kind in LECTURE:
            ratio.axhline(
                LECTURE[kind], color=color, linestyle=style.DOTTED, label=f"{device}, the lecture's {LECTURE[kind]:g}"
            )
    for ax in (each, ratio):
        values = np.concatenate([np.abs(line.get_ydata()) for line in ax.get_lines()])
        logarithmic(ax.xaxis, middle["samples"].min() / 1.3, middle["samples"].max() * 1.3)
        logarithmic(ax.yaxis, min(values.min() / 1.5, 0.8), values.max() * 1.8)
        ax.set_xlabel("samples in the batch")
        ax.legend(loc="best")
    each.set(ylabel="µs per sample", title="Time per sample")
    ratio.set(ylabel="time of the loop / of the product")
    ratio.set_title(heading("Speed-up by the batch", measurements[0]))
    return figure


EXPERIMENT = Experiment(
    name="batch-speedup",
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    caption=(
        "Left: time per sample of a loop of matrix-vector products and of one matrix product, against the number of "
        "samples. Right: their ratio; dotted: the ratio that the lecture measured for 2500 samples on its own machine."
    ),
    full={"inputs": 1000, "outputs": 1500, "samples": (1, 10, 100, 500, 2500), "repetitions": 51},
    quick={"samples": (1, 10, 100, 500), "repetitions": 8},
)
