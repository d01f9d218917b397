"""Completion of a low-rank matrix from some of its entries, as in recommender systems."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.errors import out_of_range
from optbench.problem.base import Problem
from optbench.problem.data import Batch, Data, DataSource

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

#: Seed of numpy's RandomState, whose numbers are the same in every version of numpy (NEP 19).
_SEED = 1
#: Maximum number of validation entries, and of test entries.
_HELD_OUT_AT_MOST = 10_000
#: Standard deviation of the initial factors: small, so that training starts near the saddle point at zero.
_SMALL = 0.1
#: The problem counts as solved at this mean squared error, plus this multiple of the noise's variance. The entries of
#: the noiseless matrix have mean square 1.
_SOLVED, _SOLVED_NOISE = 0.03, 2.0
#: Maximum number of weights, and of rank times batch size, at which stacked replicas were measured to be faster on a
#: CPU (by a factor of 1.2 to 2.9).
_STACKED_WEIGHTS, _STACKED_FACTORS = 20_000, 4_000


@dataclass(frozen=True)
class MatrixFactorisation(Problem):
    """A `rows` × `columns` matrix of low rank, fitted by two tables of factors to a share of its noisy entries.

    The matrix has `rank` singular values, spaced evenly on a logarithmic scale from `condition` to 1, along random
    directions. It is scaled so that its entries have mean square 1, and normal noise with standard deviation `noise` is
    added. An example is an entry: row i, column j and value. Its loss is the squared error of uᵢ·vⱼ, where every row i
    and column j has its own `rank` factors. The training split is a share `observed` of all entries. In it, the i-th
    row and column occur with a frequency proportional to i^−`skew`, just as popular films are rated more often. The
    remaining entries are divided at random into equal validation and test splits of at most 10,000 entries each. The
    metric is the squared error on these entries; that of the true matrix is `noise`².

    With `sparse`, the tables have sparse gradients, which contain only the rows of a batch. Only a few optimizers
    support them, such as SGD, Adagrad and `sparse_adam`.

    Tells apart: methods by how fast they leave the saddle point at zero and how they handle coordinates that occur in
    few batches; with `sparse`, the benefit of updating only the coordinates of the batch.

    Koren, Bell and Volinsky (2009), Matrix Factorization Techniques for Recommender Systems; on the absence of spurious
    minima: Ge, Lee and Ma (2016), Matrix Completion has No Spurious Local Minimum.
    """

    name: ClassVar[str] = "matrix_factorisation"
    metric_name: ClassVar[str] = "squared error"
    metric_higher_is_better: ClassVar[bool] = False
    batch_sizes: ClassVar[tuple[int, ...]] = (20, 100)
    run_budget: ClassVar[str] = "20epochs"
    evaluation_batch: ClassVar[int] = 10_000

    rows: int = 100
    columns: int = 80
    rank: int = 4
    condition: float = 5.0
    noise: float = 0.1
    observed: float = 0.3
    skew: float = 0.5
    sparse: bool = False

    def check(self) -> None:
        for parameter in ("rows", "columns"):
            if not 2 <= getattr(self, parameter) <= 10_000:
                raise out_of_range(f"{self.name}[{parameter}]", getattr(self, parameter), "2 to 10000")
        smaller = min(self.rows, self.columns)
        if not 1 <= self.rank <= smaller:
            raise out_of_range(f"{self.name}[rank]", self.rank, f"1 to {smaller}, the smaller of rows and columns")
        if not 1 <= self.condition < math.inf:
            raise out_of_range(f"{self.name}[condition]", self.condition, "a finite number of at least 1")
        if not 0 <= self.noise < math.inf:
            raise out_of_range(f"{self.name}[noise]", self.noise, "a finite number of at least 0")
        if not (0 < self.observed < 1 and 1 <= self.training_examples() <= self.rows * self.columns - 2):
            raise out_of_range(
                f"{self.name}[observed]", self.observed,
                "a share above 0 and below 1 that leaves an entry to train on, and two to evaluate",
            )  # fmt: skip
        if not 0 <= self.skew <= 2:
            raise out_of_range(f"{self.name}[skew]", self.skew, "0 to 2")

    @property
    def microseconds_per_example(self) -> float:
        return 0.2 + 0.02 * self.rank

    @property
    def microseconds_per_step(self) -> float:
        return 150.0

    def training_examples(self) -> int:
        return round(self.observed * self.rows * self.columns)

    def stacks(self, device_type: str, batch_size: int) -> bool:
        if self.sparse:
            return False
        weights = (self.rows + self.columns) * self.rank
        is_small = weights <= _STACKED_WEIGHTS and self.rank * batch_size <= _STACKED_FACTORS
        return device_type == "cuda" or is_small

    def model(self) -> nn.Module:
        """Return a model with the tables of factors `of_rows`, (rows, rank), and `of_columns`, (columns, rank)."""
        from torch import nn

        model = nn.Module()
        for name, size in (("of_rows", self.rows), ("of_columns", self.columns)):
            table = nn.Embedding(size, self.rank, sparse=self.sparse)
            nn.init.normal_(table.weight, std=_SMALL)
            model.add_module(name, table)
        return model

    def load_data(self, source: DataSource) -> Data:
        """Generate row and column indices as int64, (N,), and values as float32, (N,); no files are read."""
        import numpy as np

        random = np.random.RandomState(_SEED)
        values = self._matrix(random)
        values += self.noise * random.standard_normal(values.shape)
        frequent = np.outer(*(np.arange(1, size + 1) ** -self.skew for size in values.shape)).ravel()
        # The entries with the largest keys are a weighted sample without replacement (Efraimidis and Spirakis 2006).
        keys = np.log(random.uniform(size=frequent.size)) / frequent
        order, count = np.argsort(-keys, kind="stable"), self.training_examples()
        rest = random.permutation(order[count:])
        held_out = min(len(rest) // 2, _HELD_OUT_AT_MOST)

        def split(entries: np.ndarray) -> Batch:
            import torch

            i, j = np.unravel_index(entries, values.shape)
            return (*(torch.from_numpy(index.astype(np.int64)) for index in (i, j)),
                    torch.from_numpy(values[i, j].astype(np.float32)))  # fmt: skip

        return Data(split(order[:count]), split(rest[:held_out]), split(rest[held_out : 2 * held_out]))

    def _matrix(self, random: np.random.RandomState) -> np.ndarray:
        """The matrix without noise, (rows, columns); its entries have mean square 1."""
        import numpy as np

        left, right = (np.linalg.qr(random.standard_normal((n, self.rank)))[0] for n in (self.rows, self.columns))
        matrix: np.ndarray = (left * np.geomspace(self.condition, 1.0, self.rank)) @ right.T
        return matrix / np.sqrt(np.square(matrix).mean())

    def loss(self, model: Any, batch: Batch) -> Tensor:
        i, j, values = batch
        squares: Tensor = ((model.of_rows(i) * model.of_columns(j)).sum(-1) - values).square()
        return squares.mean()

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.loss(model, batch)

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        loss = self.loss(model, batch)
        return loss, loss

    @property
    def target(self) -> float | None:
        """A share of the entries' mean square, plus a multiple of the noise's variance."""
        return _SOLVED + _SOLVED_NOISE * self.noise**2
