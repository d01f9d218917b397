"""Clipping of gradients by value and by global norm, before the optimizer sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: What torch adds to a norm before it divides by it.
_EPSILON = 1e-6


@dataclass(frozen=True)
class Clipping:
    """The bounds on gradients; 0 is no bound. With both, gradients are clipped by value first."""

    #: Largest Euclidean norm of the gradient of all parameters together.
    norm: float
    #: Largest absolute value of a coordinate.
    value: float

    def __bool__(self) -> bool:
        return bool(self.norm or self.value)

    def clip(self, parameters: Iterable[nn.Parameter]) -> None:
        """Clips the gradients of one model in place, with torch's functions.

        A gradient that can be differentiated keeps its graph: its derivatives are those of the gradient that was not
        clipped, as after `torch.nn.utils.clip_grad_norm_` in a plain loop.
        """
        if not self:
            return
        places = [_place(parameter) for parameter in parameters if parameter.grad is not None]
        if self.value:
            torch.nn.utils.clip_grad_value_(places, self.value)
        if self.norm:
            torch.nn.utils.clip_grad_norm_(places, self.norm)

    @torch.no_grad()
    def clip_replicas(self, parameters: Sequence[Tensor]) -> None:
        """Clips the gradients of stacked replicas in place, each by its own norm.

        Args:
            parameters: Parameters of shape (replicas, …) with their gradients.
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.value:
            torch.nn.utils.clip_grad_value_(parameters, self.value)
        if self.norm and gradients:
            parts = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
            norms = torch.linalg.vector_norm(torch.stack(parts), dim=0)
            factors = (self.norm / (norms + _EPSILON)).clamp(max=1.0)
            for gradient in gradients:
                gradient.mul_(factors.to(gradient.dtype).view(-1, *[1] * (gradient.dim() - 1)))


def _place(parameter: nn.Parameter) -> Tensor:
    """Returns a tensor whose `grad` torch's functions can clip in place of the parameter's."""
    gradient = parameter.grad
    assert gradient is not None
    if gradient.is_sparse:
        # They can't clip sparse gradients. Entries of the same row are added first, so that they count as one.
        parameter.grad = gradient = gradient.coalesce()
        values = gradient._values()
        place = torch.empty_like(values)
        place.grad = values
        return place
    if gradient.grad_fn is not None:
        parameter.grad = gradient.clone()  # its memory may be shared, and its graph may need its values
    return parameter
