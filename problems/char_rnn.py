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
#: Microseconds for the gradient of one character, for each cell, with 64 units.
_MICROSECONDS = {"lstm": 2.3, "gru": 3.5, "rnn": 1.5}
#: Bits per character.
_TARGETS = {UNICODE_NAMES: 2.0}


@dataclass(frozen=True)
class CharRnn(NextCharacter):
    """A recurrent network (LSTM, GRU or tanh units) that predicts the next character of a text.

    The network has an embedding of dimension `hidden`, `layers` recurrent layers with `hidden` units of type `cell`
    (`lstm`, `gru`, or `rnn`: tanh units without gates), and a linear layer. Weights have torch's default
    initialisation. Each sequence starts from a zero state, and gradients are propagated back to its beginning. Torch's
    cuDNN layers have no second derivatives, so optimizers that need them do not work on CUDA devices.

    `data`: `unicode_names`, the Unicode character names that come with Python, or the path of a UTF-8 text file.

    Tells apart: plain gradient descent from methods with momentum or per-coordinate scaling; with few steps, methods
    whose first steps have full size (RMSprop, Adagrad) from those that average gradients first (momentum, Adam).

    Karpathy (2015), The Unreasonable Effectiveness of Recurrent Neural Networks; Graves (2013), Generating Sequences
    With Recurrent Neural Networks. A larger version is `tolstoi_char_rnn` in DeepOBS (Schneider, Balles and Hennig
    2019).
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
        # One sequential matrix product per character and layer, whatever the batch size.
        return 300.0 + 40.0 * self.length * self.layers

    def model(self) -> nn.Module:
        from optbench.problems.recurrent import Recurrent

        return Recurrent(self.cell, self.alphabet, self.hidden, self.layers)

    @property
    def target(self) -> float | None:
        return _TARGETS.get(self.data)
