"""Steps of one unmodified optimizer for many replicas, each with its own learning rate.

If an optimizer's step is linear in a constant learning rate η and treats every coordinate independently, it suffices to
compute its step d for stacked parameters at the rate 1. Replica k then moves by ηₖ d.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optbench.importing import load_attribute
from optbench.planning.optimizer_choice import OptimizerChoice


class StackedStep:
    """Steps stacked parameters according to their gradients.

    Args:
        choice: The optimizer.
        parameters: Parameters of shape (replicas, …).
        hyperparameters: Hyperparameters that all replicas share, without the learning rate.
        rates: One learning rate per replica.
        from_zero: Whether the optimizer is given parameters of 0, so that its step d is the result itself. Otherwise d
            is computed as a difference of parameters, with its rounding error. Correct only for optimizers that do not
            read the parameters (no weight decay).
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
            self.parameters, **{**choice.constructor_arguments(hyperparameters), "lr": 1.0}
        )
        self._initial = [group["lr"] for group in self.optimizer.param_groups]
        self._from_zero = from_zero
        #: The tensors that the optimizer moves in place of the parameters.
        self._spare = [torch.zeros_like(parameter.data) for parameter in self.parameters]
        self._rates = [self._reshape(rates, parameter) for parameter in self.parameters]

    def reset_rate(self) -> bool:
        """Undoes what the optimizer has made of its rate; whether there was anything to undo."""
        changed = False
        for group, rate in zip(self.optimizer.param_groups, self._initial, strict=True):
            changed = changed or group["lr"] != rate
            group["lr"] = rate
        return changed

    @torch.no_grad()
    def step(self, factor: float = 1.0) -> None:
        """Takes one step of every replica, at its learning rate times `factor`."""
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
    def _reshape(rates: Sequence[float], parameter: Tensor) -> Tensor:
        """Returns the rates as a tensor that broadcasts against a stacked parameter."""
        values = torch.tensor(rates, dtype=parameter.dtype, device=parameter.device)
        return values.view(-1, *[1] * (parameter.dim() - 1))
