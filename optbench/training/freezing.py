"""Freezing of parts of a model for a fraction of the training."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


class Freezing:
    """Freezes and unfreezes parameters of a model, depending on the fraction of the budget that is spent.

    The optimizer is constructed before, with all parameters. All optimizers of torch skip parameters without a gradient
    (`None`), including weight decay and momentum, and allocate no state for them until they are trained.

    Args:
        model: The model.
        shares: The problem's `freezing`: the beginning of parameter names, and the fraction of the budget after which
            these parameters are trained.

    Raises:
        ValueError: The model has no such parameter.
    """

    def __init__(self, model: nn.Module, shares: Mapping[str, float]) -> None:
        self._parts: list[tuple[float, list[nn.Parameter]]] = []
        for beginning, share in shares.items():
            part = [p for name, p in model.named_parameters() if name.startswith(beginning) and p.requires_grad]
            if not part:
                raise ValueError(f"no trained parameter of the model has a name that begins with {beginning!r}")
            self._parts.append((share, part))
        self.update(0.0)

    def update(self, spent: float) -> None:
        """Freezes and unfreezes parameters for a spent fraction of the budget, from 0 to 1.

        Parts with the share 1 are never trained, also in steps that are timed after the budget is spent.
        """
        for share, part in self._parts:
            for parameter in part:
                parameter.requires_grad_(share <= spent and share < 1)
