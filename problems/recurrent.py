"""A recurrent network that predicts tokens."""

from __future__ import annotations

from torch import Tensor, nn

_CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Recurrent(nn.Module):
    """Predicts the next token at each position: maps tokens, (N, length), to scores, (N, length, alphabet)."""

    def __init__(self, cell: str, alphabet: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(alphabet, hidden)
        self.recurrent = _CELLS[cell](hidden, hidden, layers, batch_first=True)
        self.scores = nn.Linear(hidden, alphabet)

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.recurrent(self.embedding(tokens))
        scores: Tensor = self.scores(states)
        return scores
