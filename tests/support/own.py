"""Optimizers of one's own with every kind of need, chosen by path as a user's file would be."""

from __future__ import annotations

from typing import Any

import torch

import optbench

OWN = __file__


class Asking(torch.optim.SGD):
    """Asks for the number of steps, by a name that is known."""

    def __init__(self, params: Any, total_steps: int, lr: float = 0.1, epochs: int | None = None) -> None:
        super().__init__(params, lr=lr)
        self.defaults["asked"] = (total_steps, epochs)


@optbench.optimizer(
    name="told",
    lr=(1e-3, 1e1),
    search={
        "weight_decay": (1e-4, 1.0),
        "nesterov": [True, False],
        "momentum": optbench.Range(0.5, 0.99, log=False, when=(("nesterov", (True,)),)),
    },
    arguments={"dampening": 0.0},
    from_run={"width": "batch_size"},
    family="sgd",
    source="Nobody (2020)",
)
class Told(torch.optim.SGD):
    """SGD that has been told more than its signature says."""

    def __init__(
        self,
        params: Any,
        width: int,
        lr: float = 0.1,
        momentum: float = 0.9,
        dampening: float = 0.5,
        weight_decay: float = 0.01,
        nesterov: bool = True,
    ) -> None:
        super().__init__(
            params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov
        )
        self.defaults["width"] = width


class Heir(Told):
    """Inherits what the class does, not what was said of it."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, 1, lr)


@optbench.optimizer(lr=False)
class Free(torch.optim.SGD):
    """Has a rate that is never tuned."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, lr=lr)


@optbench.optimizer(second_backward=True)
class Newton(torch.optim.Optimizer):
    """Divides by the diagonal of the Hessian, exact where that is diagonal, from `samples` second backwards."""

    def __init__(self, params: Any, lr: float = 1.0, samples: int = 1) -> None:
        super().__init__(params, {"lr": lr, "samples": samples})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step."""
        [group] = self.param_groups
        own = [p for p in group["params"] if p.grad is not None]
        gradients: list[Any] = [p.grad for p in own]
        diagonals = [torch.zeros_like(p) for p in own]
        for _ in range(group["samples"]):
            signs = [torch.randint_like(p, 0, 2) * 2 - 1 for p in own]
            products = torch.autograd.grad(gradients, own, signs, retain_graph=True)
            for diagonal, product, sign in zip(diagonals, products, signs, strict=True):
                diagonal += product * sign / group["samples"]
        for p, gradient, diagonal in zip(own, gradients, diagonals, strict=True):
            p.sub_(group["lr"] * gradient / diagonal)


class Averaging(torch.optim.SGD):
    """Evaluates the mean of all weights that it has passed."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.training = True

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step."""
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                past = self.state[p]
                past["n"] = past.get("n", 0) + 1
                past["mean"] = past.get("mean", torch.zeros_like(p)) * (1 - 1 / past["n"]) + p.detach() / past["n"]

    def train(self) -> None:
        """Back to the weights to train."""
        self._switch(True)

    def eval(self) -> None:
        """To the mean."""
        self._switch(False)

    def _switch(self, training: bool) -> None:
        if training != self.training:
            self.training = training
            for p, past in self.state.items():
                p.data, past["mean"] = past["mean"], p.data


def function(params: Any, lr: float = 0.1, *, total_iterations: int | None = None) -> torch.optim.Optimizer:
    """A function that makes an optimizer."""
    made = torch.optim.SGD(params, lr=lr)
    made.defaults["asked"] = total_iterations
    return made


def takes_ours(params: Any, lr: float = 0.1, lr_warmup: float = 0.1) -> torch.optim.Optimizer:
    """Has an argument of optbench's own name."""
    return torch.optim.SGD(params, lr=lr * lr_warmup)
