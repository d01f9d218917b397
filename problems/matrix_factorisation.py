"""Completing a matrix of low rank from some of its entries, as recommender systems do."""

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
#: Of the entries that are not trained on, at most so many each are for validation and test.
_HELD_OUT_AT_MOST = 10_000
#: Of the start, deviation of each factor: small, so that the way begins near the saddle at zero.
_SMALL = 0.1
#: Mean square of an entry's error at which the problem counts as solved: a share of that of the entries, 1, and
#: a multiple of the noise's.
_SOLVED, _SOLVED_NOISE = 0.03, 2.0
#: Up to so many weights, and factors of a batch, replicas at once were seen to gain on a CPU, 1.2 to 2.9 times.
_STACKED_WEIGHTS, _STACKED_FACTORS = 20_000, 4_000


@dataclass(frozen=True)
class MatrixFactorisation(Problem):
    """A `rows` × `columns` matrix of low rank, fitted by two tables of factors to a share of its noisy entries.

    The matrix has singular values spaced evenly in the logarithm from `condition` to 1 along `rank` random directions,
    scaled so that its entries have mean square 1, and normal noise of deviation `noise`. An example is an entry:
    row, column and value; its loss is the squared error of uᵢ·vⱼ, where each row i and column j has `rank` factors of
    its own. A share `observed` of all entries is trained on; `skew` makes rows and columns unevenly frequent among
    them, the i-th in proportion to i^−`skew`, as popular films are rated more often. Of the rest one half, at most
    10,000, is for validation, another for test, drawn evenly: the metric is the squared error there, to be compared
    with noise², which the true matrix has.

    With `sparse` the tables make sparse gradients, of the rows of a batch alone: of the optimizers only a few can
    take them, such as SGD, Adagrad and `sparse_adam`.

    Tells apart: how fast methods leave the saddle at zero, and how they fare with coordinates that few batches touch;
    with `sparse`, what it is worth not to touch the others.

    Koren, Bell and Volinsky (2009), Matrix Factorization Techniques for Recommender Systems; without spurious minima
    after Ge, Lee and Ma (2016), Matrix Completion has No Spurious Local Minimum.
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
        few = (self.rows + self.columns) * self.rank <= _STACKED_WEIGHTS and self.rank * batch_size <= _STACKED_FACTORS
        return device_type == "cuda" or few

    def model(self) -> nn.Module:
        """Tables `of_rows`, (rows, rank), and `of_columns`, (columns, rank)."""
        from torch import nn

        model = nn.Module()
        for name, size in (("of_rows", self.rows), ("of_columns", self.columns)):
            table = nn.Embedding(size, self.rank, sparse=self.sparse)
            nn.init.normal_(table.weight, std=_SMALL)
            model.add_module(name, table)
        return model

    def load_data(self, source: DataSource) -> Data:
        """Rows and columns as int64, (N,), and values as float32, (N,). Reads nothing."""
        import numpy as np

        random = np.random.RandomState(_SEED)
        values = self._matrix(random)
        values += self.noise * random.standard_normal(values.shape)
        frequent = np.outer(*(np.arange(1, size + 1) ** -self.skew for size in values.shape)).ravel()
        # The largest of these keys are a sample without replacement in proportion to the frequencies
        # (Efraimidis and Spirakis 2006).
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
        """Without noise, (rows, columns), its entries with mean square 1."""
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
        found = self.loss(model, batch)
        return found, found

    @property
    def target(self) -> float | None:
        """Of a share of the entries' mean square, and what noise makes of it."""
        return _SOLVED + _SOLVED_NOISE * self.noise**2
