"""The base class of character-level language modelling problems."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.errors import UserError, out_of_range
from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource
from optbench.problem.datasets.place import base_name, shown_name
from optbench.problem.datasets.text import UNICODE_NAMES, Text, load_text

if TYPE_CHECKING:
    from torch import Tensor, nn

#: One sequence in 10 is used for validation and one in 10 for the test, at most 400 each.
_ONE_IN, _AT_MOST = 10, 400


@dataclass(frozen=True)
class NextCharacter(Problem):
    """Prediction of the next character of a text from the preceding characters in a sequence of `length`.

    The model maps tokens, (N, length), to scores of all characters of the alphabet, (N, length, alphabet). The loss is
    the cross-entropy in nats, and the metric is the same in bits.

    `data` is `unicode_names` (see `datasets.text`) or the path of a UTF-8 text file, whose characters form the
    alphabet. The text is cut into consecutive sequences. The first ones are for training, followed by those for
    validation and for the test, each a tenth of all sequences but at most 400.
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
                f"which has {len(self._text.content)} characters (accepted: at least {2 * _ONE_IN} sequences)"
            )
        if self.alphabet < 2:
            raise UserError(f"{self.name}[data]: {self.data} has only one distinct character (accepted: at least two)")

    @property
    def alphabet(self) -> int:
        """The number of distinct characters."""
        return len(self._text.alphabet)

    def training_examples(self) -> int:
        return self._sequences() - 2 * self._held_out_count()

    def load_data(self, source: DataSource) -> Data:
        """Load sequences of tokens as int64, (N, length + 1).

        All characters of a sequence except the last are input, and all except the first are predicted. Each sequence
        begins with the last character of the previous one, so that every character is predicted exactly once.
        """
        import torch

        tokens = torch.from_numpy(self._text.tokens)
        sequences = tokens.unfold(0, self.length + 1, self.length).contiguous()
        held_out = self._held_out_count()
        train, valid, test = sequences.split([len(sequences) - 2 * held_out, held_out, held_out])
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
        return {**shown, "data": shown_name(self.data, [UNICODE_NAMES])} if "data" in shown else shown

    @property
    def _text(self) -> Text:
        return load_text(f"data of {self.name}", self.data)

    def _sequences(self) -> int:
        """The number of sequences in all three splits together."""
        return max(0, len(self._text.content) - 1) // self.length

    def _held_out_count(self) -> int:
        """The number of validation sequences, which is also the number of test sequences."""
        return min(_AT_MOST, self._sequences() // _ONE_IN)
