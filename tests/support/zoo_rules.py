"""Update rules of the zoo in plain NumPy float64, written from the papers; they share no code with what they test.

Each is a generator: it is sent gradients and yields the weights after each. `w` is an array of any shape.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rule = Generator[Array, Array, None]


def adamw(w: Array, lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.01) -> Rule:
    """Loshchilov and Hutter (2019), Algorithm 2, the decay times the rate as torch has it."""
    m, v, t = np.zeros_like(w), np.zeros_like(w), 0
    while True:
        g = yield w
        t += 1
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        w = w - lr * decay * w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


def radam(w: Array, lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Rule:
    """Liu et al. (2020), Algorithm 2; torch adds ε to the root of v before its correction, and rectifies from ρ > 5."""
    m, v, t, limit = np.zeros_like(w), np.zeros_like(w), 0, 2 / (1 - b2) - 1
    while True:
        g = yield w
        t += 1
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        rho = limit - 2 * t * b2**t / (1 - b2**t)
        step = m / (1 - b1**t)
        if rho > 5:
            r = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
            step = step * r * np.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
        w = w - lr * step


def rprop(w: Array, lr: float) -> Rule:
    """Riedmiller and Braun (1993), without the step back: where the sign changes, nothing moves and g counts as 0."""
    size, last = np.full_like(w, lr), np.zeros_like(w)
    while True:
        g = yield w
        sign = np.sign(g * last)
        size = np.clip(np.where(sign > 0, 1.2, np.where(sign < 0, 0.5, 1.0)) * size, 1e-6, 50)
        g = np.where(sign < 0, 0, g)
        w, last = w - np.sign(g) * size, g


def asgd(w: Array, lr: float, decay: float = 1e-4, alpha: float = 0.75) -> Rule:
    """Bottou (2010)'s rates for Polyak and Juditsky (1992): η/(1 + λ η t)^α, of the step before in torch."""
    rate, t = lr, 0
    while True:
        g = yield w
        t += 1
        w = w * (1 - decay * rate) - rate * g
        rate = lr / (1 + decay * lr * t) ** alpha


def adafactor(w: Array, lr: float, d: float = 1.0, eps: float = 1e-3, power: float = -0.8) -> Rule:
    """Shazeer and Stern (2018), Algorithms 4 (matrices) and 5 (vectors)."""
    first, t = float(np.finfo(np.float32).eps), 0
    rows, columns, v = np.zeros((len(w), 1)), np.zeros((1, w.shape[-1])), np.zeros_like(w)
    while True:
        g = yield w
        t += 1
        share = t**power
        rate = max(eps, np.sqrt(np.mean(w**2))) * min(lr, 1 / np.sqrt(t))
        if w.ndim == 2:
            rows = (1 - share) * rows + share * np.mean(g**2, axis=1, keepdims=True)
            columns = (1 - share) * columns + share * np.mean(g**2, axis=0, keepdims=True)
            v = rows @ columns / max(np.mean(rows), first)
        else:
            v = (1 - share) * v + share * g**2
        step = g / np.sqrt(np.maximum(v, first**2))
        w = w - rate * step / max(1.0, np.sqrt(np.mean(step**2)) / d)


def lion(w: Array, lr: float, b1: float = 0.9, b2: float = 0.99) -> Rule:
    """Chen et al. (2023), Algorithm 2."""
    m = np.zeros_like(w)
    while True:
        g = yield w
        w = w - lr * np.sign(b1 * m + (1 - b1) * g)
        m = b2 * m + (1 - b2) * g


def adabelief(w: Array, lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-16) -> Rule:
    """Zhuang et al. (2020), Algorithm 2."""
    m, s, t = np.zeros_like(w), np.zeros_like(w), 0
    while True:
        g = yield w
        t += 1
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps
        w = w - lr * (m / (1 - b1**t)) / (np.sqrt(s / (1 - b2**t)) + eps)


def schedule_free_sgd(w: Array, lr: float, beta: float = 0.9) -> Rule:
    """Defazio et al. (2024), equations 2 to 4; yields y, at which gradients are wanted."""
    z, x, total = w, w, 0.0
    y = w
    while True:
        g = yield y
        total += lr**2
        z = z - lr * g
        x = x + (lr**2 / total) * (z - x)
        y = (1 - beta) * z + beta * x


FIRST_ORDER: dict[str, Callable[..., Rule]] = {
    "adamw": adamw, "radam": radam, "rprop": rprop, "asgd": asgd, "adafactor": adafactor, "lion": lion,
    "adabelief": adabelief, "schedule_free_sgd": schedule_free_sgd,
}  # fmt: skip


def orthogonal(g: Array) -> Array:
    """The nearest matrix with orthogonal rows or columns: U Vᵀ of g = U S Vᵀ."""
    u, _, v = np.linalg.svd(g, full_matrices=False)
    found: Array = u @ v
    return found


def sharpness_aware(w: Array, gradient: Callable[[Array], Array], lr: float, rho: float = 0.05) -> Any:
    """Foret et al. (2021), Algorithm 1 with momentum 0.9: a generator of weights."""
    speed = np.zeros_like(w)
    while True:
        g = gradient(w)
        speed = 0.9 * speed + gradient(w + rho * g / np.linalg.norm(g))
        w = w - lr * speed
        yield w
