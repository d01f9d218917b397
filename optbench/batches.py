"""The order in which training examples are visited."""

from __future__ import annotations

import torch
from torch import Tensor


class BatchStream:
    """Endless batches of exactly `batch_size` indices: fresh permutations, one after another.

    A batch may cross from one epoch into the next, so every batch is whole and every epoch visits
    each example once, whatever the batch size. The order depends on the generator alone.
    """

    def __init__(self, examples: int, batch_size: int, generator: torch.Generator, device: str) -> None:
        self.examples = examples
        self.batch_size = batch_size
        self.generator = generator
        self.device = device
        self._order = torch.empty(0, dtype=torch.int64, device=device)
        self._at = 0

    def next(self) -> Tensor:
        """Indices of the next batch, on the device."""
        start, end = self._at, self._at + self.batch_size
        if end > len(self._order):
            rest = self._order[start:]
            fresh = torch.randperm(self.examples, generator=self.generator).to(self.device)
            self._order = torch.cat((rest, fresh)) if len(rest) else fresh
            start, end = 0, self.batch_size
        self._at = end
        return self._order[start:end]
