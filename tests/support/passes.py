"""Optimizers that compute in their own ways: programs of closures and passes, gradients that are read early."""

from __future__ import annotations

from typing import Any

import torch

import optbench


@optbench.optimizer(needs_closure=True, second_backward=True)
class Program(torch.optim.Optimizer):
    """Carries out a text: g a closure with gradients, f one without, l a pass through the loss, h a product with the
    Hessian, b several of them by one call, p a product by one call per parameter.
    """

    def __init__(self, params: Any, lr: float = 1e-3, program: str = "g") -> None:
        super().__init__(params, {"lr": lr})
        self.program = program

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        params = [p for group in self.param_groups for p in group["params"]]
        loss = None
        for letter in self.program:
            if letter == "f":
                with torch.no_grad():
                    closure()
            elif letter == "g":
                loss = closure()
            elif letter == "l":
                torch.autograd.grad(loss, params, create_graph=True)
            elif letter == "h":
                grads = [p.grad for p in params]
                torch.autograd.grad(grads, params, [torch.ones_like(g) for g in grads], retain_graph=True)
            elif letter == "b":
                grads = [p.grad for p in params]
                sum((g * g.detach()).sum() for g in grads).backward(retain_graph=True, inputs=params)  # type: ignore[union-attr]
            else:
                for p in params:
                    torch.autograd.grad(p.grad.sum(), params, retain_graph=True, allow_unused=True)
        with torch.no_grad():
            for p in params:
                p.sub_(self.param_groups[0]["lr"] * p)
        return loss


class Sharp(torch.optim.Optimizer):
    """SAM as published: climbs along the gradient that it expects in p.grad, and descends along the one up there."""

    ask_first = False

    def __init__(self, params: Any, lr: float = 0.05, rho: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})
        self.rho = rho

    @torch.no_grad()
    def step(self, closure: Any) -> Any:  # type: ignore[override]
        closure = torch.enable_grad()(closure)
        if self.ask_first:
            closure()
        params = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in params]).norm()
        climbs = [p.grad * (self.rho / norm) for p in params]
        torch._foreach_add_(params, climbs)
        loss = closure()
        torch._foreach_sub_(params, climbs)
        for p in params:
            p.sub_(self.param_groups[0]["lr"] * p.grad)
        return loss


class SharpAsking(Sharp):
    """The control: asks its closure for the first gradient too."""

    ask_first = True


class Polyak(torch.optim.Optimizer):
    """Asks its closure for the loss alone, and expects the gradient in p.grad."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any) -> Any:  # type: ignore[override]
        loss = float(closure())
        params = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        square = float(sum(p.grad.square().sum() for p in params))
        for p in params:
            p.sub_(min(self.param_groups[0]["lr"], loss / (square + 1e-8)) * p.grad)
        return loss


class Idle(torch.optim.Optimizer):
    """Steps nothing."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        return None


class Choosy(torch.optim.SGD):
    """Refuses large rates."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr=lr)

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        if self.param_groups[0]["lr"] > 0.1:
            raise FloatingPointError("the rate is too high")
        return super().step(closure)


class PassingOn(torch.optim.AdamW):
    """A subclass that only passes its arguments on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class OtherName(torch.optim.SGD):
    """Calls its rate by another name."""

    def __init__(self, params: Any, learning_rate: float = 1e-3) -> None:
        super().__init__(params, lr=learning_rate)


class Limited(torch.optim.SGD):
    """Is told the number of steps, and fails after the last one."""

    def __init__(self, params: Any, lr: float = 0.01, total_steps: int | None = None) -> None:
        super().__init__(params, lr=lr)
        self.factors = [1.0] * int(total_steps or 0)

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        self.factors.pop()
        return super().step(closure)


class Decaying(torch.optim.SGD):
    """Halves its rate every 20 steps."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.taken = 0

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        self.taken += 1
        if self.taken % 20 == 0:
            self.param_groups[0]["lr"] *= 0.5
        return super().step(closure)


class Signs(torch.optim.Optimizer):
    """Has no rate."""

    def __init__(self, params: Any, size: float = 1e-3) -> None:
        super().__init__(params, {"size": size})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(group["size"] * p.grad.sign())


class Overflowing(torch.optim.SGD):
    """Is NaN at once."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr=lr)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        for p in self.param_groups[0]["params"]:
            p.fill_(torch.nan)


class TensorDefault(torch.optim.Adam):
    """Its default rate is a tensor."""

    def __init__(self, params: Any, lr: Any = torch.tensor(0.25)) -> None:  # noqa: B008
        super().__init__(params, lr=lr)


@optbench.optimizer(search={"betas": [(0.9, 0.999), (0.8, 0.99), (0.5, 0.9)]})
class Pairs(torch.optim.Adam):
    """Searches a list of tuples."""

    def __init__(self, params: Any, lr: float = 1e-2, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        super().__init__(params, lr=lr, betas=betas)


PASSES = __file__
