"""One unmodified optimizer that steps many replicas, each at a learning rate of its own.

An optimizer whose step is linear in a constant rate, and treats every coordinate by itself, moves
stacked parameters by d at the rate 1, and so replica k by ηₖ d at the rate ηₖ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optbench.importing import load_attribute
from optbench.planning.optimizer_choice import OptimizerChoice


class StackedStep:
    """Steps parameters stacked along their first dimension, (replicas, …), from their gradients.

    With `from_zero` the optimizer sees parameters of 0, so that its step is found without the rounding
    of a difference; right only for one that doesn't read them (no weight decay).
    """

    def __init__(
        self,
        choice: OptimizerChoice,
        parameters: Sequence[Tensor],
        hyperparameters: Mapping[str, Any],
        rates: Sequence[float],
        from_zero: bool,
    ) -> None:
        self.parameters = list(parameters)
        constructor = load_attribute(choice.constructor)
        self.optimizer: torch.optim.Optimizer = constructor(
            self.parameters, **{**choice.arguments, **hyperparameters, "lr": 1.0}
        )
        self._from_zero = from_zero
        #: Where the parameters are kept while the optimizer moves others.
        self._spare = [torch.zeros_like(parameter.data) for parameter in self.parameters]
        self._rates = [self._shaped(rates, parameter) for parameter in self.parameters]

    def reset_rate(self) -> bool:
        """Undoes what the optimizer has made of its rate; whether there was anything to undo."""
        changed = False
        for group in self.optimizer.param_groups:
            changed = changed or group["lr"] != 1.0
            group["lr"] = 1.0
        return changed

    @torch.no_grad()
    def step(self, factor: float = 1.0) -> None:
        """One step of every replica, at its rate times `factor`."""
        places = [parameter.data for parameter in self.parameters]
        for parameter, spare, place in zip(self.parameters, self._spare, places, strict=True):
            if not self._from_zero:
                spare.copy_(place)
            parameter.data = spare
        self.optimizer.step()
        for parameter, spare, place, rate in zip(self.parameters, self._spare, places, self._rates, strict=True):
            moved = spare if self._from_zero else spare.sub_(place)
            place.addcmul_(moved, rate, value=factor)
            parameter.data = place
            if self._from_zero:
                spare.zero_()

    @staticmethod
    def _shaped(rates: Sequence[float], parameter: Tensor) -> Tensor:
        shaped = torch.tensor(rates, dtype=parameter.dtype, device=parameter.device)
        return shaped.view(-1, *[1] * (parameter.dim() - 1))
