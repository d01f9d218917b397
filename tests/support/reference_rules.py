"""The ten optimizers' update rules in plain NumPy float64, written from the papers.

An oracle for the harness: it shares no code with torch, so a trajectory that both agree on is the published
rule's. Where `torch.optim` departs from the paper, the class says so and follows torch.

    rule = RULES["adam"](lr=0.1, eps=1e-8)
    w = rule.step(w, evaluate)    # evaluate(w) -> (loss, gradient), on one mini-batch for the whole step

Throughout, w and gradients are 1-D float64 arrays of one shape, t counts steps from 1, weight decay is 0.
`rule.lr` may be changed between steps, as a schedule does. `rule.evaluations` counts calls of `evaluate`.

Some trajectories amplify rounding a thousandfold in a few steps: L-BFGS on noisy mini-batches, and adaptive
rates once a noise-free gradient has all but vanished. Two right implementations part there, as torch does from
itself when the start moves by one ulp. Sums are therefore rounded as torch's CPU kernels round them (`fused`,
`dot`). What is left is the root: torch's (MKL's) is off by one ulp for one number in eighty. A test that sets
`square_root` (and, beyond two dimensions, `dot` and `norm1`) to torch's, and passes an `evaluate` that computes as the
closure does, sees the same bits from both.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Real = Vector | np.float64
Evaluate = Callable[[Vector], tuple[float, Vector]]


def square_root(x: Real) -> Real:
    """Root of every element, rightly rounded."""
    return np.sqrt(x)


def dot(u: Vector, v: Vector) -> np.float64:
    """Inner product. BLAS fuses; this doesn't, and for two numbers rounds as torch's does."""
    return np.add.reduce(u * v)


def norm1(x: Vector) -> np.float64:
    """Sum of the absolute values."""
    return np.add.reduce(np.abs(x))


def split(x: Real) -> tuple[Real, Real]:
    """Two numbers of 26 bits that add up to x, and whose products are exact. Dekker (1971)."""
    high = 134217729.0 * x - (134217729.0 * x - x)
    return high, x - high


def fused(a: float | Vector, x: Vector, y: Real) -> Vector:
    """Gives a x + y, rounded once, as processors' fused multiply-add does; NumPy has none.

    Dekker (1971): the product and the sum each as a value and its exact error. Values above 1e300, where the
    split overflows, and those not finite are rounded twice.
    """
    product = a * x
    (ah, al), (xh, xl) = split(np.asarray(a)), split(x)
    lost_in_product = ((ah * xh - product) + ah * xl + al * xh) + al * xl
    total = product + y
    share = total - product
    lost_in_sum = (product - (total - share)) + (y - share)
    once = total + (lost_in_sum + lost_in_product)
    return np.where(np.isfinite(once), once, total)


class Rule(ABC):
    """One optimizer with its state; `step` returns the new point and leaves its argument as it was."""

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.evaluations = 0

    def measure(self, w: Vector, evaluate: Evaluate) -> tuple[float, Vector]:
        """Loss and gradient at `w`, counted."""
        self.evaluations += 1
        loss, gradient = evaluate(w)
        return float(loss), np.array(gradient, dtype=np.float64)

    @abstractmethod
    def step(self, w: Vector, evaluate: Evaluate) -> Vector:
        """The point after one step from `w`."""


class FirstOrder(Rule):
    """A rule that needs one gradient a step."""

    def __init__(self, lr: float) -> None:
        super().__init__(lr)
        self.t = 0

    def step(self, w: Vector, evaluate: Evaluate) -> Vector:
        """One evaluation at `w`, one update."""
        self.t += 1
        return self.update(w, self.measure(w, evaluate)[1])

    @abstractmethod
    def update(self, w: Vector, g: Vector) -> Vector:
        """The new point, from the old one and the gradient there."""


class GradientDescent(FirstOrder):
    """w <- w - lr g. Robbins & Monro (1951), eq. 8; on the full batch, Cauchy's steepest descent (1847)."""

    def update(self, w: Vector, g: Vector) -> Vector:
        return fused(-self.lr, g, w)


class HeavyBall(FirstOrder):
    """v <- mu v + g;  w <- w - lr v. Polyak (1964), eq. 9.

    Polyak and Sutskever et al. (2013, eqs. 1-2) keep the rate inside the velocity, v <- mu v - lr g. torch
    keeps it outside: the same points while lr is constant, but a changed lr rescales past gradients too. With
    dampening, v <- mu v + (1 - dampening) g, except that the first step takes v = g undamped.
    """

    def __init__(self, lr: float, momentum: float = 0.9, dampening: float = 0.0) -> None:
        super().__init__(lr)
        self.mu, self.dampening = momentum, dampening
        self.v: Vector | None = None

    def update(self, w: Vector, g: Vector) -> Vector:
        return fused(-self.lr, self.velocity(g), w)

    def velocity(self, g: Vector) -> Vector:
        """The velocity after this step's gradient."""
        self.v = g if self.v is None else fused(1 - self.dampening, g, self.mu * self.v)
        return self.v


class Nesterov(HeavyBall):
    """v <- mu v + g;  w <- w - lr (g + mu v). Nesterov (1983); Sutskever et al. (2013), eqs. 3-4.

    The paper takes the gradient at the look-ahead point w + mu v. torch stores that point instead of w
    (Bengio et al. 2013, eqs. 6-7), so that g is taken where the parameters are; constant mu, rate outside v.
    """

    def __init__(self, lr: float, momentum: float = 0.9) -> None:
        super().__init__(lr, momentum)

    def update(self, w: Vector, g: Vector) -> Vector:
        return fused(-self.lr, fused(self.mu, self.velocity(g), g), w)


class AdaGrad(FirstOrder):
    """s <- s + g^2;  w <- w - lr g / (sqrt(s) + eps). Duchi, Hazan & Singer (2011), Figure 1, diagonal form.

    s holds the present gradient already. eps is the paper's delta, added outside the root. torch adds a decay
    of the rate, lr / (1 + (t-1) lr_decay), and a start value for s, both 0 unless asked for.
    """

    def __init__(
        self, lr: float, lr_decay: float = 0.0, initial_accumulator_value: float = 0.0, eps: float = 1e-10
    ) -> None:
        super().__init__(lr)
        self.lr_decay, self.eps = lr_decay, eps
        self.s: Real = np.float64(initial_accumulator_value)

    def update(self, w: Vector, g: Vector) -> Vector:
        self.s = fused(g, g, self.s)
        return w - self.lr / (1 + (self.t - 1) * self.lr_decay) * g / (square_root(self.s) + self.eps)


class AdaDelta(FirstOrder):
    """E <- rho E + (1-rho) g^2;  dx = g sqrt(D + eps) / sqrt(E + eps);  D <- rho D + (1-rho) dx^2.

    Zeiler (2012), Algorithm 1; both eps under the root, as there. The paper has no rate: torch scales, w <- w -
    lr dx, but D averages the unscaled dx^2. Paper rho 0.95, torch 0.9.
    """

    def __init__(self, lr: float, rho: float = 0.9, eps: float = 1e-6) -> None:
        super().__init__(lr)
        self.rho, self.eps = rho, eps
        self.e: Real = np.float64(0)
        self.d: Real = np.float64(0)

    def update(self, w: Vector, g: Vector) -> Vector:
        self.e = fused((1 - self.rho) * g, g, self.rho * self.e)
        dx = square_root(self.d + self.eps) / square_root(self.e + self.eps) * g
        self.d = fused((1 - self.rho) * dx, dx, self.rho * self.d)
        return fused(-self.lr, dx, w)


class RMSprop(FirstOrder):
    """v <- alpha v + (1-alpha) g^2;  w <- w - lr g / (sqrt(v) + eps). Hinton (2012), lecture 6e, slide 29.

    The lecture has alpha 0.9 and no eps. torch: alpha 0.99, eps outside the root (Graves 2013, eq. 40, has it
    inside), v = 0 at the start with no correction, so that the first step is ten times lr.
    """

    def __init__(self, lr: float, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(lr)
        self.alpha, self.eps = alpha, eps
        self.v: Real = np.float64(0)

    def update(self, w: Vector, g: Vector) -> Vector:
        self.v = fused((1 - self.alpha) * g, g, self.alpha * self.v)
        return w - self.lr * g / (square_root(self.v) + self.eps)


class Adam(FirstOrder):
    """m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2;  w <- w - lr m^ / (sqrt(v^) + eps).

    Kingma & Ba (2015), Algorithm 1, with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t). torch puts eps where
    Algorithm 1 does, beside the corrected root, not where the "efficient" form at the end of section 2 does.
    """

    def __init__(self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(lr)
        (self.b1, self.b2), self.eps = betas, eps
        self.m: Real = np.float64(0)
        self.v: Real = np.float64(0)

    def average(self, g: Vector) -> None:
        """Update m and v; m as m + (1-b1) (g - m), which is the same."""
        self.m = fused(1 - self.b1, g - self.m, self.m)
        self.v = fused((1 - self.b2) * g, g, self.b2 * self.v)

    def update(self, w: Vector, g: Vector) -> Vector:
        self.average(g)
        root = square_root(self.v) / (1 - self.b2**self.t) ** 0.5 + self.eps
        return w - self.lr / (1 - self.b1**self.t) * self.m / root


class AdaMax(Adam):
    """m as in Adam;  u <- max(b2 u, |g|);  w <- w - lr / (1 - b1^t) m / u. Kingma & Ba (2015), Algorithm 2.

    The paper divides by u and has no eps. torch takes u <- max(b2 u, |g| + eps), so that eps enters the state
    and a zero gradient doesn't divide by zero. Paper lr 0.002, as torch.
    """

    def update(self, w: Vector, g: Vector) -> Vector:
        self.m = fused(1 - self.b1, g - self.m, self.m)
        self.v = np.maximum(self.b2 * self.v, np.abs(g) + self.eps)
        return w - self.lr / (1 - self.b1**self.t) * self.m / self.v


class NAdam(Adam):
    """m, v^ as in Adam;  m~ = mu_(t+1) m / (1 - P mu_(t+1)) + (1-mu_t) g / (1 - P), P = mu_1 ... mu_t;
    w <- w - lr m~ / (sqrt(v^) + eps). Dozat (2016), Algorithm 2; mu_t = b1 (1 - 0.96^(t decay) / 2), section 3.

    m averages with b1, not with mu_t as in the paper's Algorithm 2. torch's decay is 4e-3, as the paper's.
    torch keeps P in single precision even where the parameters are double (unless the default dtype is double:
    then pass product_dtype=np.float64): a relative 1e-8 in the trajectory, so it is rounded here too.
    """

    def __init__(
        self,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        momentum_decay: float = 4e-3,
        product_dtype: type[np.floating] = np.float32,
    ) -> None:
        super().__init__(lr, betas, eps)
        self.decay, self.kind = momentum_decay, product_dtype
        self.product = product_dtype(1)

    def mu(self, t: int) -> float:
        """The momentum of step `t`."""
        return self.b1 * (1 - 0.5 * 0.96 ** (t * self.decay))

    def update(self, w: Vector, g: Vector) -> Vector:
        self.average(g)
        root = square_root(self.v / (1 - self.b2**self.t)) + self.eps
        now, coming = self.mu(self.t), self.mu(self.t + 1)
        self.product = self.kind(self.product * self.kind(now))
        product = float(self.product)
        w = w - self.lr * (1 - now) / (1 - product) * g / root
        return w - self.lr * coming / (1 - product * coming) * self.m / root


@dataclass(frozen=True)
class Probe:
    """phi(a) = f(w + a d) at one step length: the length a, phi(a), phi'(a)."""

    a: float
    value: float
    slope: float


def quotient(x: float, y: float) -> float:
    """Gives x / y. Where torch holds y as a tensor, x times the reciprocal of y, as torch has it.

    Step lengths that torch computed are tensors, 0 and lr numbers; here NumPy's and Python's floats.
    """
    return x * (1.0 / y) if isinstance(y, np.float64) else x / y


def cubic_minimiser(p: Probe, q: Probe, low: float, high: float) -> float:
    """Minimiser of the cubic through two probes, clipped to [low, high]. Nocedal & Wright (2006), eq. 3.59.

    Where the cubic has no minimiser, the middle of [low, high].
    """
    left, right = (p, q) if p.a <= q.a else (q, p)
    d1 = left.slope + right.slope - quotient(3 * (left.value - right.value), left.a - right.a)
    square = d1 * d1 - left.slope * right.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = float(square_root(np.float64(square)))
    fraction = (right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2)
    return min(max(right.a - (right.a - left.a) * fraction, low), high)


@dataclass(frozen=True)
class StrongWolfe:
    """A step length with phi(a) <= phi(0) + c1 a phi'(0) and |phi'(a)| <= c2 |phi'(0)|.

    Nocedal & Wright (2006), Algorithms 3.5 (`search`) and 3.6 (`zoom`), c1 = 1e-4, c2 = 0.9 as they advise for
    quasi-Newton methods. The book leaves open what torch settles so: trial lengths come from eq. 3.59, clipped
    when growing to [a + 0.01 (a - last), 10 a]; the test phi(a_i) >= phi(a_(i-1)) starts with the third trial,
    not the second; a trial in the outer tenth of a bracket is moved to the tenth when the one before was there
    too; both stop after `trials` evaluations beyond the first, or when the bracket moves no parameter by more
    than `resolution`. What is returned then is the lowest end of the bracket, possibly 0 when growing.
    """

    phi: Callable[[float], Probe]
    origin: Probe
    trials: int
    resolution: float
    c1: float = 1e-4
    c2: float = 0.9

    def too_high(self, p: Probe) -> bool:
        return p.value > self.origin.value + self.c1 * p.a * self.origin.slope

    def flat_enough(self, p: Probe) -> bool:
        return abs(p.slope) <= -self.c2 * self.origin.slope

    def search(self, first: float) -> float:
        """The step length found, starting from the trial length `first`."""
        last, here = self.origin, self.phi(first)
        for spent in range(self.trials):
            if self.too_high(here) or (spent > 1 and here.value >= last.value):
                return self.zoom([last, here], self.trials - spent)
            if self.flat_enough(here):
                return here.a
            if here.slope >= 0:
                return self.zoom([last, here], self.trials - spent)
            a = cubic_minimiser(last, here, here.a + 0.01 * (here.a - last.a), here.a * 10)
            last, here = here, self.phi(a)
        return self.origin.a if self.origin.value <= here.value else here.a

    def zoom(self, ends: list[Probe], trials: int) -> float:
        """Narrow the bracket `ends`; their order matters only where both values are equal: then the first."""
        low = lowest(ends)
        at_edge = False
        for _ in range(trials):
            left, right = sorted(p.a for p in ends)
            if (right - left) < self.resolution:
                break
            a = cubic_minimiser(ends[0], ends[1], left, right)
            margin = 0.1 * (right - left)
            near = min(right - a, a - left) < margin
            if near and (at_edge or not left < a < right):
                a = right - margin if abs(a - right) < abs(a - left) else left + margin
                near = False
            at_edge = near
            new = self.phi(a)
            if self.too_high(new) or new.value >= ends[low].value:
                ends[1 - low] = new
                low = lowest(ends)
                continue
            if self.flat_enough(new):
                return new.a
            if new.slope * (ends[1 - low].a - ends[low].a) >= 0:
                ends[1 - low] = ends[low]
            ends[low] = new
        return ends[low].a


def lowest(ends: list[Probe]) -> int:
    """Index of the lower end, the first on a tie."""
    return 0 if ends[0].value <= ends[1].value else 1


class LBFGS(Rule):
    """One quasi-Newton iteration a step: d = -H g by the two-loop recursion over the last `history_size` pairs
    s = w_k - w_(k-1), y = g_k - g_(k-1), H_0 = (s.y / y.y) I. Nocedal & Wright (2006), Algorithms 7.4 and 7.5,
    eq. 7.20; step length by `StrongWolfe`.

    As torch.optim.LBFGS(max_iter=1, max_eval=25, line_search_fn="strong_wolfe"), state kept across step() calls:
    - g_k and g_(k-1) come from each step's own mini-batch, so that y holds the difference of batches too.
    - A pair with s.y <= 1e-10 is left out; the older pairs and H_0 stay.
    - The first trial length is lr, where the book has 1; on the first step lr min(1, 1 / |g|_1) along -g.
    - max |g| <= 1e-7 ends a step before it touches any state; d.g > -1e-9 ends it after: w stays, but d and lr
      are remembered as a step made, so that the next s = lr d is none that happened.
    - A step costs one evaluation at w and at most max_eval for the search: max_eval + 1 in all, at least 1.
    """

    def __init__(
        self,
        lr: float,
        history_size: int = 10,
        max_eval: int = 25,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
    ) -> None:
        super().__init__(lr)
        self.max_eval, self.tolerance_grad, self.tolerance_change = max_eval, tolerance_grad, tolerance_change
        self.pairs: deque[tuple[Vector, Vector, float]] = deque(maxlen=history_size)  # s, y, 1 / s.y
        self.scale = 1.0
        self.before: tuple[Vector, Vector] | None = None  # g and a d of the step before

    def step(self, w: Vector, evaluate: Evaluate) -> Vector:
        loss, g = self.measure(w, evaluate)
        if np.abs(g).max() <= self.tolerance_grad:
            return w
        first: float = float(self.lr)
        if self.before is None:
            first = min(1.0, 1.0 / norm1(g)) * first
        else:
            self.remember(self.before[1], g - self.before[0])
        d = self.direction(g)
        origin = Probe(0.0, loss, dot(g, d))
        a = first
        if not origin.slope > -self.tolerance_change:

            def phi(a: float) -> Probe:
                value, gradient = self.measure(fused(a, d, w), evaluate)
                return Probe(a, value, dot(gradient, d))

            resolution = self.tolerance_change / np.abs(d).max()
            a = StrongWolfe(phi, origin, self.max_eval - 1, resolution).search(first)
            w = fused(a, d, w)
        self.before = (g, a * d)
        return w

    def remember(self, s: Vector, y: Vector) -> None:
        """Add a curvature pair, unless its curvature is too small to be trusted."""
        curvature = dot(y, s)
        if curvature > 1e-10:
            self.pairs.append((s, y, 1.0 / curvature))
            self.scale = curvature / dot(y, y)

    def direction(self, g: Vector) -> Vector:
        """-H g. Algorithm 7.4."""
        d = -g
        weights = []
        for s, y, rho in reversed(self.pairs):
            weights.append(dot(s, d) * rho)
            d = fused(-weights[-1], y, d)
        d = d * self.scale
        for (s, y, rho), weight in zip(self.pairs, reversed(weights), strict=True):
            d = fused(weight - dot(y, d) * rho, s, d)
        return d


RULES: dict[str, Callable[..., Rule]] = {
    "sgd": GradientDescent,
    "momentum": HeavyBall,
    "nesterov": Nesterov,
    "adam": Adam,
    "adagrad": AdaGrad,
    "adadelta": AdaDelta,
    "rmsprop": RMSprop,
    "adamax": AdaMax,
    "nadam": NAdam,
    "lbfgs": LBFGS,
}
