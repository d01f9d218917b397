"""A decoder-only transformer built from basic operations.

Unlike fused attention kernels, these have second derivatives and are supported by `torch.func.vmap`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: Standard deviation of initial weights (Radford et al. 2019).
_SPREAD = 0.02


class CausalTransformer(nn.Module):
    """Predicts the next token at each position: maps tokens, (N, T) with T ≤ `length`, to scores, (N, T, alphabet)."""

    def __init__(self, alphabet: int, length: int, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.token = nn.Embedding(alphabet, width)
        self.position = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.scores = nn.Linear(width, alphabet, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # Scaled so that the variance of the residual stream does not grow with depth.
                residual = name.endswith(("attended.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=_SPREAD / math.sqrt(2 * layers) if residual else _SPREAD)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        positions = self.position.weight[: tokens.shape[1]]
        states = self.blocks(self.dropout(self.token(tokens) + positions))
        scores: Tensor = self.scores(self.norm(states))
        return scores


class Block(nn.Module):
    """A transformer block: causal self-attention with `heads` heads, then an MLP with 4 · width GELUs.

    Both follow a layer normalisation and have a residual connection. Input and output are (N, T, width).
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.first_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.second_norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.dropout(self.attended(self._attention(self.first_norm(states))))
        widened = nn.functional.gelu(self.wide(self.second_norm(states)))
        return states + self.dropout(self.narrow(widened))

    def _attention(self, states: Tensor) -> Tensor:
        """Causal attention: softmax(q · k / √d) v over the positions up to each one, per head; (N, T, width)."""
        length = states.shape[1]
        # (N, heads, T, width / heads) each
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.query_key_value(states).chunk(3, -1)
        )
        later = torch.ones(length, length, dtype=torch.bool, device=states.device).triu(1)
        products = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        weights = self.dropout(products.masked_fill(later, -math.inf).softmax(-1))
        return (weights @ value).transpose(1, 2).flatten(2)
