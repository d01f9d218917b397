"""What somebody new to optbench brings: a schedule-free optimizer, and two that are broken. Imports nothing of it."""

import torch

MOMENTUM = {}


class ScheduleFree(torch.optim.Optimizer):
    """z ← z − η ∇f(y);  x ← (1 − 1/t) x + z/t;  y = β x + (1 − β) z (Defazio et al. 2024). Evaluates x, trains y."""

    def __init__(self, params, lr=1.0, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta, "t": 0, "training": True})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["t"] += 1
            for y in group["params"]:
                if y.grad is not None:
                    z = self.state[y].setdefault("z", y.clone())
                    x = y.lerp(z, 1 - 1 / group["beta"])
                    z.sub_(group["lr"] * y.grad)
                    y.copy_(x.lerp(z, 1 / group["t"]).lerp(z, 1 - group["beta"]))

    def train(self):
        self._switch(True)

    def eval(self):
        self._switch(False)

    @torch.no_grad()
    def _switch(self, training):
        for group in self.param_groups:
            if group["training"] != training:
                group["training"] = training
                for p in group["params"]:
                    if "z" in self.state[p]:
                        p.lerp_(self.state[p]["z"], 1 - (group["beta"] if training else 1 / group["beta"]))


class IgnoresRate(torch.optim.Optimizer):
    """Gradient descent at 0.01, whatever the rate."""

    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(0.01 * p.grad)


class Leaks(torch.optim.Optimizer):
    """Momentum with which the next instance goes on."""

    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for place, p in enumerate(group["params"]):
                if p.grad is not None:
                    kept = MOMENTUM.setdefault((place, p.shape), torch.zeros_like(p))
                    p.sub_(group["lr"] * kept.mul_(0.9).add_(p.grad))
