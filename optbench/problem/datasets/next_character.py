"""The part that problems of language modelling have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.errors import UserError, out_of_range
from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource
from optbench.problem.datasets.place import base_name
from optbench.problem.datasets.text import UNICODE_NAMES, Text, text

if TYPE_CHECKING:
    from torch import Tensor, nn

#: One sequence in so many is set apart for validation, and one for the test, up to a number of each.
_ONE_IN, _AT_MOST = 10, 400


@dataclass(frozen=True)
class NextCharacter(Problem):
    """Cross-entropy of the next character of a text, given those before it in a sequence of `length`.

    The model turns tokens, (N, length), into scores of each character of the alphabet, (N, length, alphabet). The
    metric is the loss in bits.

    `data` is `unicode_names` (see `datasets.text`), or the path of a text file in UTF-8, whose characters are the
    alphabet. The text is cut into sequences one after another: the first are for training, then come those for
    validation and for the test, a tenth of all each, at most 400.
    """

    metric_name: ClassVar[str] = "bits per character"
    metric_higher_is_better: ClassVar[bool] = False

    data: str = UNICODE_NAMES
    length: int = 64

    def check(self) -> None:
        if not 2 <= self.length <= 4096:
            raise out_of_range(f"{self.name}[length]", self.length, "2 to 4096")
        if self._sequences() < 2 * _ONE_IN:
            raise UserError(
                f"{self.name}[length] = {self.length} leaves {self._sequences()} sequences of the text {self.data}, "
                f"which has {len(self._text.content)} characters (accepted: {2 * _ONE_IN} sequences at least)"
            )
        if self.alphabet < 2:
            raise UserError(f"{self.name}[data]: {self.data} has one kind of character only")

    @property
    def alphabet(self) -> int:
        """The number of different characters."""
        return len(self._text.alphabet)

    def training_examples(self) -> int:
        return self._sequences() - 2 * self._apart()

    def load_data(self, source: DataSource) -> Data:
        """Sequences as int64 (N, length + 1): each but the last character is input, each but the first is to be
        predicted. A sequence begins with the last character of the one before, so that all are predicted once.
        """
        import torch

        tokens = torch.from_numpy(self._text.tokens)
        sequences = tokens.unfold(0, self.length + 1, self.length).contiguous()
        apart = self._apart()
        train, valid, test = sequences.split([len(sequences) - 2 * apart, apart, apart])
        return Data((train,), (valid,), (test,))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        from torch.nn.functional import cross_entropy

        (tokens,) = batch
        return cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.loss(model, batch) / math.log(2)

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        loss = self.loss(model, batch)
        return loss, loss / math.log(2)

    def identity(self) -> dict[str, Any]:
        parameters = super().identity()
        if self.data == UNICODE_NAMES:
            return parameters
        return {**parameters, "data": {"text": base_name(self.data), "fingerprint": self._text.fingerprint}}

    def display(self) -> dict[str, Any]:
        shown = super().display()
        return {**shown, "data": base_name(self.data)} if "data" in shown else shown

    @property
    def _text(self) -> Text:
        return text(f"data of {self.name}", self.data)

    def _sequences(self) -> int:
        """Of all three splits together."""
        return max(0, len(self._text.content) - 1) // self.length

    def _apart(self) -> int:
        """The sequences of validation, and so many again for the test."""
        return min(_AT_MOST, self._sequences() // _ONE_IN)
