"""Problems and optimizers that train in milliseconds, and a whole benchmark made of them.

They are chosen by path, as a user's own file would be: `TINY`, `TINY_NET`, `RAISING`, ….
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import optbench
from optbench.errors import out_of_range
from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource, Plane

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn
    from torch.optim import Optimizer

_HERE = Path(__file__).resolve()
#: Selections of what this file holds.
TINY = f"{_HERE}:Tiny"
TINY_NET = f"{_HERE}:TinyNet"
RAISING = f"{_HERE}:raising"
OUT_OF_MEMORY = f"{_HERE}:out_of_memory"
EXPLODING = f"{_HERE}:exploding"
COUNTED = f"{_HERE}:Counted"
NO_OPTIMIZER = f"{_HERE}:no_optimizer"
RAISING_DATA = f"{_HERE}:RaisingData"
DEADLY = f"{_HERE}:deadly"


@dataclass(frozen=True)
class Tiny(Problem):
    """A noisy quadratic valley in the plane, in float64: mean of ½ (w − ξ)ᵀ diag(1, condition) (w − ξ)."""

    name: ClassVar[str] = "tiny"
    kind = "quadratic"
    metric_name: ClassVar[str] = "suboptimality"
    metric_higher_is_better: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, ...]] = (10, 100)
    run_budget: ClassVar[str] = "2epochs"

    condition: float = 10.0
    noise: float = 0.1
    examples: int = 200

    def check(self) -> None:
        if self.condition < 1:
            raise out_of_range("tiny[condition]", self.condition, "at least 1")

    def training_examples(self) -> int:
        return self.examples

    def model(self) -> nn.Module:
        import torch

        model = torch.nn.Module()
        model.position = torch.nn.Parameter(torch.tensor([-2.0, 1.0], dtype=torch.float64))
        model.register_buffer("curvatures", torch.tensor([1.0, self.condition], dtype=torch.float64))
        return model

    def load_data(self, source: DataSource) -> Data:
        import torch

        points = np.random.RandomState(0).standard_normal((self.examples, 2)) * self.noise
        split = (torch.from_numpy(points - points.mean(axis=0)),)
        return Data(split, split, split)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return 0.5 * (model.curvatures * (model.position - batch[0]) ** 2).sum(1).mean()

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return 0.5 * (model.curvatures * model.position**2).sum()

    @property
    def curvature(self) -> float:
        return self.condition

    @property
    def target(self) -> float:
        return 0.1

    @property
    def plane(self) -> Plane:
        return Plane((-2.0, 1.0), (0.0, 0.0), ((-3.0, 3.0), (-2.0, 2.0)))


@dataclass(frozen=True)
class TinyNet(Problem):
    """Softmax regression of three overlapping clouds of points in four dimensions, in float32."""

    name: ClassVar[str] = "tiny_net"
    batch_sizes: ClassVar[tuple[int, ...]] = (10,)
    run_budget: ClassVar[str] = "2epochs"

    examples: int = 120
    dropout: float = 0.0

    def training_examples(self) -> int:
        return self.examples

    def model(self) -> nn.Module:
        from torch import nn

        return nn.Sequential(nn.Dropout(self.dropout), nn.Linear(4, 3))

    def load_data(self, source: DataSource) -> Data:
        import torch

        random = np.random.RandomState(0)
        centres = random.standard_normal((3, 4))

        def split(examples: int) -> Batch:
            labels = random.randint(0, 3, examples)
            points = centres[labels] + 0.5 * random.standard_normal((examples, 4))
            return torch.from_numpy(points).float(), torch.from_numpy(labels)

        return Data(split(self.examples), split(60), split(60))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(model(batch[0]), batch[1])

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return (model(batch[0]).argmax(1) == batch[1]).float().mean()

    @property
    def target(self) -> float:
        return 0.9


@dataclass(frozen=True)
class Counted(TinyNet):
    """Notes down, in the file that OPTBENCH_TEST_LOG names, which process loads data and makes models."""

    name: ClassVar[str] = "counted"

    def model(self) -> nn.Module:
        _note("model")
        return super().model()

    def load_data(self, source: DataSource) -> Data:
        _note("load")
        return super().load_data(source)


@dataclass(frozen=True)
class RaisingData(TinyNet):
    """A problem whose data can't be loaded."""

    name: ClassVar[str] = "raising_data"

    def load_data(self, source: DataSource) -> Data:
        raise LookupError("no such data")


def _note(what: str) -> None:
    with Path(os.environ["OPTBENCH_TEST_LOG"]).open("a") as log:
        log.write(f"{what} {os.getpid()}\n")


def raising(params: Iterable[Any], lr: float = 0.1) -> Optimizer:
    """An optimizer whose third step raises."""
    return _ending(params, lr, RuntimeError("the third step is too much\nsecond line"))


def out_of_memory(params: Iterable[Any], lr: float = 0.1) -> Optimizer:
    """An optimizer whose third step runs out of memory."""
    return _ending(params, lr, MemoryError("no more"))


def exploding(params: Iterable[Any], lr: float = 0.1) -> Optimizer:
    """Gradient ascent with giant steps: every training diverges."""
    import torch

    return torch.optim.SGD(params, lr=lr * 1e30, maximize=True)


_constructed = 0


def deadly(params: Iterable[Any], lr: float = 0.1) -> Optimizer:
    """Kills its process, once for each line of the file that OPTBENCH_TEST_DEATHS names: when it is constructed
    there as often as the line says. The timing pass constructs five, the start of a cell one or two, and each trial
    one. OPTBENCH_TEST_SPARED is the process that is never killed.
    """
    import torch

    global _constructed
    _constructed += 1
    deaths = Path(os.environ.get("OPTBENCH_TEST_DEATHS", os.devnull))
    lines = deaths.read_text().splitlines()
    if lines and _constructed >= int(lines[0]) and os.environ.get("OPTBENCH_TEST_SPARED") != str(os.getpid()):
        deaths.write_text("\n".join(lines[1:]))
        os.kill(os.getpid(), signal.SIGKILL)
    return torch.optim.SGD(params, lr=lr)


def no_optimizer(params: Iterable[Any], lr: float = 0.1) -> dict[str, float]:
    """Something that can be called like an optimizer's class."""
    return {"lr": lr}


def _ending(params: Iterable[Any], lr: float, error: Exception) -> Optimizer:
    import torch

    class Ending(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            if self.steps == 3:
                raise error
            return super().step(closure)

    return Ending(params, lr=lr)


#: A benchmark of two cells in about a second: problems, optimizers, …, as `optbench.run` takes them.
CHOICES: dict[str, Any] = {
    "problems": [TINY],
    "optimizers": ["sgd", "adam"],
    "batch_sizes": [10],
    "seeds": 2,
    "run_budget": "2epochs",
    "evaluations": 4,
    "tuning_worth": 2,
    "devices": ["cpu"],
}


def run_tiny(folder: Path, *, outputs: bool = False, **choices: Any) -> optbench.Results:
    """Runs `CHOICES`, some of them replaced, in this process; tables, plots and report with `outputs` only."""
    arguments = {"name": folder.name, "results": folder.parent, "engine": "serial", "outputs": outputs}
    return optbench.run(**{**arguments, **CHOICES, **choices})
