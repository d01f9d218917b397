"""Parts of a model that are frozen for a share of a training: they get no gradient, so no optimizer moves them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


class Freezing:
    """Switches parameters of a model off and on by the share of the budget that is spent.

    `shares` are a problem's `freezing`. The optimizer is made beforehand, over all parameters: one without a
    gradient (`None`) is passed over by every optimizer of torch, weight decay and momentum included, and has
    no state until it is trained. Raises ValueError for a part that the model doesn't have.
    """

    def __init__(self, model: nn.Module, shares: Mapping[str, float]) -> None:
        self._parts: list[tuple[float, list[nn.Parameter]]] = []
        for beginning, share in shares.items():
            part = [p for name, p in model.named_parameters() if name.startswith(beginning) and p.requires_grad]
            if not part:
                raise ValueError(f"no parameter of the model that can be frozen begins with {beginning!r}")
            self._parts.append((share, part))
        self.update(0.0)

    def update(self, spent: float) -> None:
        """Freezes and frees what is due at this share of the budget, 0 to 1."""
        for share, part in self._parts:
            for parameter in part:
                parameter.requires_grad_(spent >= share)
