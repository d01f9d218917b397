"""More optimizers: the rest of `torch.optim`, and optimizers of maintained packages that the extra `zoo` installs.

Learning-rate ranges span four decades around the values used in the paper or the package. Weight decay is 0 unless it
is part of the method; then it is tuned too.
"""

from __future__ import annotations

from dataclasses import replace

from optbench.optimizers.zoo.packages import PACKAGES
from optbench.optimizers.zoo.torch_optim import TORCH

ZOO = {spec.name: replace(spec, follows_curvature=True) for spec in (*TORCH, *PACKAGES)}
