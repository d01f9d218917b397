"""A recurrent network that predicts a text character by character."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.errors import out_of_range, unknown
from optbench.problem.datasets.next_character import NextCharacter
from optbench.problem.datasets.text import UNICODE_NAMES

if TYPE_CHECKING:
    from torch import nn

_CELLS = ("lstm", "gru", "rnn")
#: Microseconds for the gradient of a character, by cell, at 64 units.
_MICROSECONDS = {"lstm": 2.3, "gru": 3.5, "rnn": 1.5}
#: Bits per character.
_TARGETS = {UNICODE_NAMES: 2.0}


@dataclass(frozen=True)
class CharRnn(NextCharacter):
    """A recurrent network (LSTM, GRU or tanh units) that predicts the next character of a text.

    Embedding of `hidden` numbers a character, `layers` layers of as many units of `cell` (`lstm`, `gru`, or `rnn`: tanh
    without gates), a linear layer. Weights start as torch's layers draw them, each sequence starts at a state of
    zeros, and gradients go back to its beginning. Torch's cuDNN layers have no second derivatives, so optimizers that
    need them don't work on CUDA devices.

    `data`: `unicode_names`, the names of characters that come with Python, or the path of a text file in UTF-8.

    Tells apart: plain gradient descent from all that have momentum or scale coordinates; where steps are few, methods
    that move at full size at once (RMSprop, Adagrad) from those that average gradients first (momentum, Adam).

    Karpathy (2015), The Unreasonable Effectiveness of Recurrent Neural Networks; Graves (2013), Generating Sequences
    With Recurrent Neural Networks; larger in DeepOBS (Schneider, Balles and Hennig 2019), `tolstoi_char_rnn`.
    """

    name: ClassVar[str] = "char_rnn"
    batch_sizes: ClassVar[tuple[int, ...]] = (16, 64)
    run_budget: ClassVar[str] = "1epochs"

    cell: str = "lstm"
    hidden: int = 64
    layers: int = 1

    def check(self) -> None:
        super().check()
        if self.cell not in _CELLS:
            raise unknown("cell of char_rnn", self.cell, _CELLS)
        if not 1 <= self.hidden <= 4096:
            raise out_of_range("char_rnn[hidden]", self.hidden, "1 to 4096")
        if not 1 <= self.layers <= 100:
            raise out_of_range("char_rnn[layers]", self.layers, "1 to 100")

    @property
    def microseconds_per_example(self) -> float:
        return self.length * self.layers * _MICROSECONDS[self.cell] * (self.hidden / 64) ** 1.5

    @property
    def microseconds_per_step(self) -> float:
        # Products of one character after another, whatever the batch.
        return 300.0 + 40.0 * self.length * self.layers

    def model(self) -> nn.Module:
        from optbench.problems.recurrent import Recurrent

        return Recurrent(self.cell, self.alphabet, self.hidden, self.layers)

    @property
    def target(self) -> float | None:
        return _TARGETS.get(self.data)
