"""Optimizers beyond the ten of the suite: the rest of `torch.optim`, and well-kept packages of the extra `zoo`.

Ranges are four decades around values that the paper, or the package, works with. Weight decay is 0 unless it is part
of the method, in which case it is searched too.
"""

from __future__ import annotations

from optbench.optimizers.zoo.packages import PACKAGES
from optbench.optimizers.zoo.torch_optim import TORCH

ZOO = {spec.name: spec for spec in (*TORCH, *PACKAGES)}
