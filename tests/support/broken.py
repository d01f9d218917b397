"""Optimizers and problems with one mistake each, and the check that has to find it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

import optbench
from optbench.problem.data import Batch, Data, DataSource, Plane
from optbench.problems.plane_functions import PlaneFunction
from tests.support.tiny import TinyNet

MEMORY: dict[Any, Tensor] = {}


def forget() -> None:
    """Forgets what `Leaking` keeps."""
    MEMORY.clear()


class Plain(torch.optim.Optimizer):
    """Momentum as it should be; the others change one thing."""

    def __init__(self, params: Any, lr: float = 0.05, momentum: float = 0.5) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step."""
        for group in self.param_groups:
            for place, p in enumerate(group["params"]):
                if p.grad is not None:
                    memory = self.memory(place, p)
                    memory.mul_(group["momentum"]).add_(p.grad)
                    self.move(p, memory, group)

    def memory(self, place: int, p: Tensor) -> Tensor:
        """Where the momentum of a parameter is kept."""
        found: Tensor = self.state[p].setdefault("memory", torch.zeros_like(p))
        return found

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        """Moves a parameter."""
        p.sub_(group["lr"] * memory)


class IgnoresRate(Plain):
    """Steps by 0.05, whatever the rate."""

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        p.sub_(0.05 * memory)


class KeepsRate(Plain):
    """Reads the rate when it is made, so that schedules do nothing."""

    def __init__(self, params: Any, lr: float = 0.05, momentum: float = 0.5) -> None:
        super().__init__(params, lr, momentum)
        self.rate = lr

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        p.sub_(self.rate * memory * (group["lr"] > 0))


class Ascends(Plain):
    """Has the wrong sign."""

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        p.add_(group["lr"] * memory)


class Leaking(Plain):
    """Keeps its momentum in the module."""

    def memory(self, place: int, p: Tensor) -> Tensor:
        return MEMORY.setdefault((place, p.shape), torch.zeros_like(p))


@optbench.optimizer(reset=f"{__file__}:forget")
class Forgetting(Leaking):
    """The same, and says how it is made to forget."""


class Dicing(Plain):
    """Draws from Python's own generator."""

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        p.sub_(group["lr"] * memory * random.random())


class Seeding(Plain):
    """Seeds everybody's generator."""

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        torch.manual_seed(0)
        p.sub_(group["lr"] * memory * torch.rand(()))


class Setting(Plain):
    """Changes the default type of the process."""

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        torch.set_num_threads(torch.get_num_threads() + 1)
        super().move(p, memory, group)


class Unsaved(Plain):
    """Keeps its momentum where state_dict() doesn't look."""

    def memory(self, place: int, p: Tensor) -> Tensor:
        kept: dict[int, Tensor] = self.__dict__.setdefault("kept", {})
        return kept.setdefault(id(p), torch.zeros_like(p))


class Forgetful(Plain):
    """Steps the first parameter only."""

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        if p is group["params"][0]:
            super().move(p, memory, group)


class FirstGroup(Plain):
    """Reads the rate of the first group for all."""

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        super().move(p, memory, self.param_groups[-1])


class NeedsGradients(Plain):
    """Steps all parameters, also those without a gradient."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step."""
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad)


class InTurn(Plain):
    """Steps one parameter at a time, the next one at every second step."""

    def __init__(self, params: Any, lr: float = 0.05, momentum: float = 0.5) -> None:
        super().__init__(params, lr, momentum)
        self.defaults["count"] = self.count = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step."""
        parameters = self.param_groups[0]["params"]
        chosen = parameters[self.count // 2 % len(parameters)]
        self.count += 1
        if chosen.grad is not None:
            chosen.sub_(self.param_groups[0]["lr"] * chosen.grad)


class Rounding(Plain):
    """Keeps all weights on a grid."""

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        p.sub_(group["lr"] * memory)
        p.mul_(2**10).round_().div_(2**10)


class Drifting(Plain):
    """Takes a missing gradient for zeros, and decays."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step."""
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * ((torch.zeros_like(p) if p.grad is None else p.grad) + 0.01 * p))


class Narrow(Plain):
    """Keeps its state in float32."""

    def memory(self, place: int, p: Tensor) -> Tensor:
        found: Tensor = self.state[p].setdefault("memory", torch.zeros(p.shape))
        return found

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        p.data = p.data.float() - group["lr"] * memory


class NoWayBack(Plain):
    """Evaluates other weights, and trains on from them."""

    def eval(self) -> None:
        """Halves the weights."""
        for group in self.param_groups:
            for p in group["params"]:
                p.data.mul_(0.5)

    def train(self) -> None:
        """Does nothing."""


class OnlyEval(Plain):
    """Has no way back at all."""

    def eval(self) -> None:
        """Does nothing."""


class SecretClosure(Plain):
    """Needs its closure, and doesn't say so."""

    def step(self, closure: Any = None) -> None:
        """One step."""
        with torch.enable_grad():
            closure()
        super().step()


class SecretGraph(Plain):
    """Differentiates the gradients, and doesn't say so."""

    def step(self, closure: Any = None) -> None:
        """One step."""
        own = [p for group in self.param_groups for p in group["params"]]
        torch.autograd.grad(sum(p.grad.sum() for p in own), own)  # type: ignore[arg-type]
        super().step()


@optbench.optimizer(linear_in_rate=True)
class NotLinear(Plain):
    """Claims to be linear in its rate."""

    def move(self, p: Tensor, memory: Tensor, group: dict[str, Any]) -> None:
        p.sub_(group["lr"] ** 2 * memory)


class NoGroups(Plain):
    """Leaves its parameters out of param_groups."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__([next(iter(params))], lr)


OPTIMIZERS = {
    IgnoresRate: "zero_rate", KeepsRate: "rate_matters", Ascends: "descends", Leaking: "isolated",
    Dicing: "deterministic", Seeding: "global_state", Setting: "global_state", Unsaved: "saves", Forgetful: "moves",
    FirstGroup: "groups", NeedsGradients: "without_gradient", Narrow: "precisions", NoWayBack: "switches",
    OnlyEval: "switches", SecretClosure: "steps", SecretGraph: "steps", NotLinear: "linear", NoGroups: "constructs",
}  # fmt: skip


@dataclass(frozen=True)
class Right(TinyNet):
    """A problem as it should be; the others change one thing."""

    name: ClassVar[str] = "right"


@dataclass(frozen=True)
class Uneven(Right):
    """Has fewer labels than points."""

    def load_data(self, source: DataSource) -> Data:
        data = super().load_data(source)
        return Data((data.train[0], data.train[1][:-1]), data.valid, data.test)


@dataclass(frozen=True)
class Solved(Right):
    """Meets its target at the start."""

    @property
    def target(self) -> float:
        return 0.01


@dataclass(frozen=True)
class TooFew(Right):
    """Has fewer examples than its batches."""

    batch_sizes: ClassVar[tuple[int, ...]] = (1000, 2000)


@dataclass(frozen=True)
class NoScalar(Right):
    """Gives a loss an example."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")


@dataclass(frozen=True)
class Detached(Right):
    """Gives a loss without a gradient."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return super().loss(model, batch).detach()


@dataclass(frozen=True)
class Overlapping(Right):
    """Validates on what it trains on."""

    def load_data(self, source: DataSource) -> Data:
        data = super().load_data(source)
        return Data(data.train, tuple(part[:20] for part in data.train), data.test)


@dataclass(frozen=True)
class Summed(Right):
    """Adds up what it says is a mean."""

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.loss(model, batch) * len(batch[0]), self.metric(model, batch)


@dataclass(frozen=True)
class Coupled(Right):
    """Normalises over the batch, and doesn't say so."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))


@dataclass(frozen=True)
class Noisy(Right):
    """Draws random numbers at evaluation too."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return super().loss(model, batch) * (1 + torch.rand(()))


@dataclass(frozen=True)
class Changing(Right):
    """Has other data every time."""

    def load_data(self, source: DataSource) -> Data:
        data = super().load_data(source)
        noise = torch.from_numpy(np.random.default_rng().standard_normal((self.examples, 4))).float()
        return Data((data.train[0] + noise, data.train[1]), data.valid, data.test)


@dataclass(frozen=True)
class Local(Right):
    """Computes its loss by what load_data() left behind."""

    scale: ClassVar[list[float]] = []

    def load_data(self, source: DataSource) -> Data:
        self.scale.append(1.0)
        return super().load_data(source)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return super().loss(model, batch) * self.scale[0]


@dataclass(frozen=True)
class Bowl(PlaneFunction):
    """A function of the plane as it should be, whose minimum isn't 0; the others change one thing."""

    name: ClassVar[str] = "bowl"

    def value(self, x: Any, y: Any) -> Any:
        return x**2 + 2 * y**2 - 5

    @property
    def plane(self) -> Plane:
        return Plane((2.0, 1.0), (0.0, 0.0), ((-3.0, 3.0), (-2.0, 2.0)))


@dataclass(frozen=True)
class Displaced(Bowl):
    """Is lower elsewhere."""

    @property
    def plane(self) -> Plane:
        return Plane((2.0, 1.0), (0.1, 0.0), ((-3.0, 3.0), (-2.0, 2.0)))


@dataclass(frozen=True)
class LowerOutside(Bowl):
    """Is lower outside of its domain, where optimizers go too."""

    def value(self, x: Any, y: Any) -> Any:
        return super().value(x, y) * (x**2 - 16)

    @property
    def plane(self) -> Plane:
        return Plane((0.5, 1.0), (0.0, 0.0), ((0.0, 1.0), (0.0, 1.0)))


@dataclass(frozen=True)
class Overstated(Bowl):
    """Says another value than that at its minimum."""

    @cached_property
    def minimum_value(self) -> float:
        return -6.0


@dataclass(frozen=True)
class Bottomless(Bowl):
    """Has no minimum at all."""

    def value(self, x: Any, y: Any) -> Any:
        return -((x - y) ** 2)


PROBLEMS = {
    Uneven: "shapes", Solved: "settings", TooFew: "settings", NoScalar: "start", Detached: "differentiable",
    Overlapping: "disjoint", Summed: "evaluation", Coupled: "coupling", Noisy: "random_numbers",
    Changing: "reproducible", Local: "workers",
    Displaced: "minimum", Overstated: "minimum", Bottomless: "minimum", LowerOutside: "minimum",
}  # fmt: skip
