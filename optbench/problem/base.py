"""The author API of problems: what a problem has to say about itself.

A problem is a frozen dataclass; its fields are its parameters. Of those that come with optbench nothing at import
time of their module, nor `check` and `training_examples`, may need torch: planning must stay fast.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from optbench.errors import UserError, one_line, unknown
from optbench.problem.data import Batch, Data, DataSource, Plane

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


#: The orders in which training examples may be visited (see `batches`).
ORDERS = ("shuffled", "sequential", "replacement")


@dataclass(frozen=True)
class Problem(ABC):
    """Something to minimise. Subclasses are frozen dataclasses and set the class variables."""

    name: ClassVar[str]
    #: Raised whenever the numbers change; part of every cell's identity.
    version: ClassVar[int] = 1
    #: Parameters that older results don't know: left out of a cell's identity where they have their default.
    later: ClassVar[tuple[str, ...]] = ()
    #: `quadratic` problems, and a smooth `function`, take their learning-rate ranges from `curvature`.
    kind: ClassVar[Literal["network", "quadratic", "function"]] = "network"
    metric_name: ClassVar[str] = "accuracy"
    metric_higher_is_better: ClassVar[bool] = True
    batch_sizes: ClassVar[tuple[int, ...]] = (32, 128)
    run_budget: ClassVar[str] = "2epochs"
    #: Images (N, C, H, W) are held channels-last, which convolutions on the CPU prefer.
    channels_last: ClassVar[bool] = False
    #: Examples evaluated at once, whatever the training batch, which so can't change a reported figure.
    evaluation_batch: ClassVar[int] = 250
    #: On a CPU, larger batches are computed in chunks of about so many examples, whose activations stay
    #: in the cache. Only where the loss is a mean or sum over examples; see `couples_examples`, `chunk_weight`.
    chunk: ClassVar[int | None] = None

    #: A parameter of every problem: how training examples are visited, one of `ORDERS`.
    order: str = field(default="shuffled", kw_only=True)

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise unknown(f"order of {title(self)}", self.order, ORDERS)

    def check(self) -> None:  # noqa: B027  (a problem without constraints need not override it)
        """Raises UserError for parameter values that make no sense. Must not need torch."""

    def training_examples(self) -> int:
        """Number of examples in the training split. Unless said otherwise, those that `load_data` gives are counted,
        without a download: planning then takes as long as that, and the data have to be where the plan is made.
        """
        return self._counted

    @cached_property
    def _counted(self) -> int:
        from optbench.problem.data import default_data_dir

        try:
            return len(loaded(self, DataSource(default_data_dir(), download=False)).train[0])
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"problem {title(self)} can't load its data: {one_line(error)}") from error

    @property
    def files(self) -> str | Path | Sequence[str | Path]:
        """The file that `load_data` or `model` read, or several: what they hold is part of a cell's identity."""
        return ()

    @abstractmethod
    def model(self) -> nn.Module:
        """A freshly initialised model on the CPU; randomness from torch's global generator only."""

    @abstractmethod
    def load_data(self, source: DataSource) -> Data:
        """The three splits on the CPU. Raises UserError where data is missing or corrupt.

        Called once a run where workers can share memory: `loss` and `metric` may run in a process in which
        it never was.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean loss over the batch, a scalar to differentiate."""

    @abstractmethod
    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean metric over the batch, a scalar."""

    def stacked_loss(self, model: nn.Module, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor | None:
        """Losses of several replicas, (replicas,), from their stacked parameters, (replicas, …), by name, and
        their batches, (replicas, N, …); None where `torch.func.vmap` shall derive it from `loss`.

        Override where one formula is faster; it has to be `loss` of every replica.
        """
        return None

    def stacks(self, device_type: str, batch_size: int) -> bool:
        """Whether many replicas at once train faster than one after another on `cpu`, `cuda`, …"""
        return False

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss and mean metric; override where one forward pass gives both."""
        return self.loss(model, batch), self.metric(model, batch)

    @property
    def couples_examples(self) -> bool:
        """Whether examples of a batch see each other, as in batch normalisation: it is then never chunked."""
        return False

    def chunk_weight(self, examples: int, batch_size: int) -> float:
        """What the loss of a chunk counts in the loss of its batch: its share of a mean; 1 in a sum."""
        return examples / batch_size

    @property
    def freezing(self) -> Mapping[str, float]:
        """The parts of the model that start frozen: beginnings of parameter names, each with the share of the run's
        budget after which it is trained too. 1 is never."""
        return {}

    def augment_batch(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The training batch as the model sees it; random numbers from `generator` only."""
        return batch

    @property
    def target(self) -> float | None:
        """The validation metric that counts as solved, or None."""
        return None

    @property
    def curvature(self) -> float | None:
        """Largest eigenvalue of the Hessian at the minimum where it is known, else None."""
        return None

    @property
    def plane(self) -> Plane | None:
        """For the trajectory plot of a two-dimensional problem, else None."""
        return None

    @property
    def microseconds_per_example(self) -> float:
        """Time for one example's gradient on one CPU thread; for the estimates of `plan` only."""
        return 1.0

    @property
    def microseconds_per_step(self) -> float:
        """Time that a step takes besides, likewise."""
        return 100.0

    def identity(self) -> dict[str, Any]:
        """The parameters as they enter a cell's hash; a path is replaced by what it holds."""
        later = ("order", *self.later)
        unsaid = {f.name for f in fields(self) if f.name in later and getattr(self, f.name) == f.default}
        parameters = {name: value for name, value in asdict(self).items() if name not in unsaid}
        files = [self.files] if isinstance(self.files, (str, Path)) else self.files
        read: dict[str, str] = {}
        for file in map(Path, files):  # of one name there may be several, in folders of their own
            read[file.name] = read.get(file.name, "") + self._digest(file)
        return {**parameters, "files": read} if read else parameters

    def _digest(self, file: Path) -> str:
        try:
            with file.expanduser().open("rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest()[:12]
        except OSError as error:
            raise _unreadable(self, file, error) from None

    def display(self) -> dict[str, Any]:
        """The parameters that differ from their defaults, as they are shown in labels."""
        own_first = sorted(fields(self), key=lambda f: bool(f.kw_only))
        chosen = {f.name: getattr(self, f.name) for f in own_first if getattr(self, f.name) != f.default}
        # The word `none` as the grammar has it, without quotes.
        return {name: None if value == "none" else value for name, value in chosen.items()}


def title(problem: Problem) -> str:
    """What a problem is called in messages, which there are also of one without a proper name."""
    name = getattr(problem, "name", None)
    return name if isinstance(name, str) and name.strip() else type(problem).__name__


def loaded(problem: Problem, source: DataSource) -> Data:
    """What `load_data` gives; raises UserError for a file that isn't there."""
    try:
        return problem.load_data(source)
    except FileNotFoundError as error:
        raise _unreadable(problem, error.filename, error) from error


def _unreadable(problem: Problem, file: object, error: OSError) -> UserError:
    """Names the file, and quotes the first line of the problem's docstring, which may say how it is made."""
    said = (type(problem).__doc__ or "").strip().partition("\n")[0]
    own = said and not said.startswith(f"{type(problem).__name__}(")  # that is what dataclass writes
    hint = f" (its docstring: {said})" if own else ""
    return UserError(f"file {file} of problem {title(problem)} can't be read: {error.strerror or error}{hint}")
