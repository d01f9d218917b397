"""The order in which training examples are visited."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class BatchStream:
    """Endless batches of exactly `batch_size` indices.

    `shuffled`: fresh permutations, one after another. `sequential`: the examples as they lie, again and again.
    `replacement`: each index drawn uniformly, whatever was drawn before. A batch may cross from one epoch
    into the next, so every batch is whole and, but for `replacement`, every epoch visits each example once,
    whatever the batch size. One stream serves several replicas, each with an order that depends on
    its own generator alone.
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
        """Indices of the next batch, (replicas, batch_size), on the device."""
        start, end = self._at, self._at + self.batch_size
        if end > self._order.shape[1]:
            fresh = torch.stack([self._epoch(generator) for generator in self.generators])
            self._order = torch.cat((self._order[:, start:], fresh.to(self.device)), dim=1)
            start, end = 0, self.batch_size
        self._at = end
        return self._order[:, start:end]

    def _epoch(self, generator: torch.Generator) -> Tensor:
        """As many indices as there are examples."""
        if self.order == "sequential":
            return torch.arange(self.examples)
        if self.order == "replacement":
            return torch.randint(self.examples, (self.examples,), generator=generator)
        return torch.randperm(self.examples, generator=generator)
