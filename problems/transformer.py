"""A small decoder-only transformer that predicts a text character by character."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optbench.errors import UserError, out_of_range
from optbench.problem.datasets.next_character import NextCharacter
from optbench.problem.datasets.text import UNICODE_NAMES

if TYPE_CHECKING:
    from torch import nn

#: Bits per character.
_TARGETS = {UNICODE_NAMES: 3.0}


@dataclass(frozen=True)
class Transformer(NextCharacter):
    """A decoder-only transformer (causal attention, layer norms first) that predicts the next character of a text.

    The network has embeddings of characters and positions, `layers` blocks of self-attention with `heads` heads and an
    MLP with 4 · `width` GELUs, a layer norm, and a linear layer. Weights are initialised as in GPT-2: normal with
    standard deviation 0.02, divided by √(2 · `layers`) for weights that add to the residual stream. `dropout` applies
    to embeddings, attention weights and the outputs of the blocks' two parts.

    `data`: `unicode_names`, the Unicode character names that come with Python, or the path of a UTF-8 text file.

    Tells apart: as large language models do, Adam from all other methods, and methods with per-coordinate scaling or
    momentum from plain gradient descent.

    Vaswani et al. (2017), Attention Is All You Need; Radford et al. (2019), Language Models are Unsupervised
    Multitask Learners. On layer norms before attention: Xiong et al. (2020), On Layer Normalization in the Transformer
    Architecture. On the gap between Adam and gradient descent: Kunstner et al. (2023), Noise Is Not the Main Factor
    Behind the Gap Between SGD and Adam on Transformers, but Sign Descent Might Be.
    """

    name: ClassVar[str] = "transformer"
    batch_sizes: ClassVar[tuple[int, ...]] = (16, 64)
    run_budget: ClassVar[str] = "1epochs"

    length: int = 32
    width: int = 32
    heads: int = 2
    layers: int = 2
    dropout: float = 0.0

    def check(self) -> None:
        super().check()
        if not 1 <= self.width <= 4096:
            raise out_of_range("transformer[width]", self.width, "1 to 4096")
        if not 1 <= self.heads <= self.width or self.width % self.heads:
            raise UserError(
                f"transformer[heads] = {self.heads} does not divide the width {self.width} (accepted: its divisors)"
            )
        if not 1 <= self.layers <= 100:
            raise out_of_range("transformer[layers]", self.layers, "1 to 100")
        if not 0 <= self.dropout < 1:
            raise out_of_range("transformer[dropout]", self.dropout, "at least 0 and less than 1")

    @property
    def microseconds_per_example(self) -> float:
        return self.length * self.layers * 2.0 * (self.width / 32) ** 1.5

    @property
    def microseconds_per_step(self) -> float:
        return 500.0 + 1000.0 * self.layers

    def model(self) -> nn.Module:
        from optbench.problems.causal import CausalTransformer

        return CausalTransformer(self.alphabet, self.length, self.width, self.heads, self.layers, self.dropout)

    @property
    def target(self) -> float | None:
        return _TARGETS.get(self.data)
