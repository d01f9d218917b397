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


class KeepsReference(Sharp):
    """Undoes its climb by the tensors that lay in p.grad when the step began."""

    @torch.no_grad()
    def step(self, closure: Any) -> Any:  # type: ignore[override]
        params = [p for group in self.param_groups for p in group["params"]]
        first = [p.grad for p in params]
        for p in params:
            p.add_(p.grad, alpha=0.1)
        loss = torch.enable_grad()(closure)()
        for p, grad in zip(params, first, strict=True):
            p.sub_(grad, alpha=0.1)
            p.sub_(p.grad, alpha=self.param_groups[0]["lr"])
        return loss


class MovesFirst(Sharp):
    """Decays the weights before it reads the gradient."""

    @torch.no_grad()
    def step(self, closure: Any) -> Any:  # type: ignore[override]
        params = [p for group in self.param_groups for p in group["params"]]
        for p in params:
            p.mul_(0.9)
            p.sub_(p.grad, alpha=self.param_groups[0]["lr"])
        return torch.enable_grad()(closure)()


class Batchwise(Sharp):
    """Compares with the gradient that it kept from the step before."""

    @torch.no_grad()
    def step(self, closure: Any) -> Any:  # type: ignore[override]
        for p in (p for group in self.param_groups for p in group["params"]):
            before = self.state[p].get("grad", torch.zeros_like(p))
            p.sub_(2 * p.grad - before, alpha=self.param_groups[0]["lr"])
            self.state[p]["grad"] = p.grad
        return torch.enable_grad()(closure)()


class ZeroesFirst(Sharp):
    """Zeroes the gradients before it asks for them."""

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        self.zero_grad(set_to_none=False)
        return closure()


class ReadsLater(Sharp):
    """Reads p.grad early in its second step only."""

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        if self.state.setdefault("taken", 0):  # type: ignore[call-overload]
            self.param_groups[0]["params"][0].grad.norm()
        self.state["taken"] += 1  # type: ignore[index]
        return closure()


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
