"""The order in which training examples are visited."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class BatchStream:
    """An endless stream of batches with exactly `batch_size` indices each.

    A batch may extend from one epoch into the next. So every batch has its full size, and every epoch visits each
    example once for any batch size (except with replacement). One stream serves several replicas; the order of each
    depends on its own generator only.

    Args:
        examples: Number of training examples.
        batch_size: Number of indices per batch.
        generators: One random generator per replica.
        device: Device of the indices.
        order: `shuffled` (a new permutation per epoch), `sequential` (always the same order) or `replacement` (each
            index is drawn independently and uniformly).
    """

    def __init__(
        self,
        examples: int,
        batch_size: int,
        generators: Sequence[torch.Generator],
        device: str,
        order: str = "shuffled",
    ) -> None:
        self.examples = examples
        self.batch_size = batch_size
        self.generators = generators
        self.device = device
        self.order = order
        self._order = torch.empty((len(generators), 0), dtype=torch.int64, device=device)
        self._at = 0

    def next(self) -> Tensor:
        """Returns the indices of the next batch, of shape (replicas, batch_size), on the device."""
        start, end = self._at, self._at + self.batch_size
        if end > self._order.shape[1]:
            fresh = torch.stack([self._epoch(generator) for generator in self.generators])
            self._order = torch.cat((self._order[:, start:], fresh.to(self.device)), dim=1)
            start, end = 0, self.batch_size
        self._at = end
        return self._order[:, start:end]

    def _epoch(self, generator: torch.Generator) -> Tensor:
        """Returns the indices of one epoch, of shape (examples,)."""
        if self.order == "sequential":
            return torch.arange(self.examples)
        if self.order == "replacement":
            return torch.randint(self.examples, (self.examples,), generator=generator)
        return torch.randperm(self.examples, generator=generator)
