"""The author API of problems.

A problem is a frozen dataclass whose fields are its parameters. Built-in problems must not import torch when their
module is imported, nor in `check` and `training_examples`, so that planning stays fast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from optbench.errors import UserError, one_line, unknown
from optbench.problem.content import data_digest, file_digest
from optbench.problem.data import Batch, Data, DataSource, Plane, WatchedSource, check_splits, planning_source

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


#: The orders in which training examples can be visited (see `batches`).
ORDERS = ("shuffled", "sequential", "replacement")


@dataclass(frozen=True)
class Problem(ABC):
    """A minimisation problem: a model, its data and its loss.

    Subclasses are frozen dataclasses, whose fields are the parameters, and set the class variables.
    """

    name: ClassVar[str]
    #: Increase it whenever results change; it is part of the identity of every cell.
    version: ClassVar[int] = 1
    #: Parameters added after the first results: omitted from a cell's identity at their default, so that ids stay.
    later: ClassVar[tuple[str, ...]] = ()
    #: For `quadratic` problems and a smooth `function`, learning-rate ranges are derived from `curvature`.
    kind: ClassVar[Literal["network", "quadratic", "function"]] = "network"
    metric_name: ClassVar[str] = "accuracy"
    metric_higher_is_better: ClassVar[bool] = True
    batch_sizes: ClassVar[tuple[int, ...]] = (32, 128)
    run_budget: ClassVar[str] = "2epochs"
    #: Whether images (N, C, H, W) are stored channels-last, which is faster for convolutions on the CPU.
    channels_last: ClassVar[bool] = False
    #: Examples per evaluation batch. It is independent of the training batch size, so that this size cannot change
    #: reported losses and metrics.
    evaluation_batch: ClassVar[int] = 250
    #: On a CPU, larger batches are computed in chunks of about this many examples, whose activations fit into the
    #: cache. Only for losses that are a mean or sum over examples; see `couples_examples` and `chunk_weight`.
    chunk: ClassVar[int | None] = None

    #: A parameter of every problem: the order in which training examples are visited, one of `ORDERS`.
    order: str = field(default="shuffled", kw_only=True)

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise unknown(f"order of {display_name(self)}", self.order, ORDERS)

    def check(self) -> None:  # noqa: B027  (a problem without constraints need not override it)
        """Check the parameter values. Must not need torch.

        Raises:
            UserError: If a value is invalid.
        """

    def training_examples(self) -> int:
        """Return the number of examples in the training split.

        By default, this loads the data without a download and counts the examples; if `load_data` reads the data
        directory, what it loads becomes part of the identity of every cell. Override it if loading is slow or if
        the data are not available on the machine that makes the plan.
        """
        return self._counted[0]

    @property
    def data_digest(self) -> str:
        """A hash of the data if `training_examples` loaded them from the data directory; otherwise ""."""
        return self._counted[1] if "_counted" in self.__dict__ else ""

    @cached_property
    def _counted(self) -> tuple[int, str]:
        """The number of training examples, and the hash of data from the data directory."""
        where = planning_source()
        source = WatchedSource(where.directory, where.download)
        try:
            data = load_problem_data(self, source)
            # The data of other problems come from their code and parameters, which are identified themselves.
            return len(data.train[0]), data_digest(data) if source.used else ""
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"problem {display_name(self)} can't load its data: {one_line(error)}") from error

    @property
    def files(self) -> str | Path | Sequence[str | Path]:
        """The file or files that `load_data` or `model` read; their content is part of the identity of every cell."""
        return ()

    @abstractmethod
    def model(self) -> nn.Module:
        """Return a newly initialised model on the CPU. Random numbers must come from torch's global generator."""

    @abstractmethod
    def load_data(self, source: DataSource) -> Data:
        """Load the three splits as tensors on the CPU.

        Each split is a tuple of tensors with the same number of examples. Other data (arrays, dicts, a `Dataset`) are
        refused.

        If workers can share memory, this is called once per run, so `loss` and `metric` may be called in a process
        that has not called it.

        Args:
            source: The directory of the data, and whether missing data may be downloaded.

        Raises:
            UserError: If the data are missing or corrupt.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss over the batch, a differentiable scalar."""

    def metric(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean metric over the batch, a scalar. Override it, or both `predict` and `score`."""
        return self.score(self.predict(model, batch), batch)  # type: ignore[return-value]

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return what `score` needs of each example of a batch, (N, …).

        For metrics that are not means over examples, such as F1, AUC and R²: the predictions of a whole split are
        joined in the order of its examples before `score` is called.
        """
        raise NotImplementedError

    def score(self, predictions: Tensor, batch: Batch) -> Tensor | float:
        """Return the metric of a whole split.

        Args:
            predictions: The outputs of `predict` for all examples, (N, …).
            batch: All examples of the split.
        """
        raise NotImplementedError

    @property
    def aggregates(self) -> bool:
        """Whether the metric is computed from the predictions of a whole split (see `predict`)."""
        return type(self).metric is Problem.metric

    def stacked_loss(self, model: nn.Module, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor | None:
        """Compute the losses of several replicas at once.

        Override this if one formula is faster than `torch.func.vmap` over `loss`. Its result must equal `loss` of every
        replica.

        Args:
            model: A model with the structure of the replicas.
            parameters: Stacked parameters of the replicas by name, (replicas, …) each.
            batch: Stacked batches, (replicas, N, …) each.

        Returns:
            The losses, (replicas,), or None to use `torch.func.vmap`.
        """
        return None

    def stacks(self, device_type: str, batch_size: int) -> bool:
        """Whether training many replicas at once is faster than one after another on a device type (`cpu`, `cuda`).

        Args:
            device_type: The type of the device, without a number.
            batch_size: Training examples per batch of a replica.
        """
        return False

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the mean metric. Override this if one forward pass gives both."""
        return self.loss(model, batch), self.metric(model, batch)

    @property
    def couples_examples(self) -> bool:
        """Whether examples of a batch affect each other, as in batch normalisation. Such batches are not chunked."""
        return False

    def chunk_weight(self, examples: int, batch_size: int) -> float:
        """Return the weight of a chunk's loss in the loss of its batch: its share of the batch for a mean, 1 for a sum.

        Args:
            examples: Examples in the chunk.
            batch_size: Examples in the batch.
        """
        return examples / batch_size

    @property
    def freezing(self) -> Mapping[str, float]:
        """The parts of the model that start frozen: prefixes of parameter names, each with the share of the run budget
        after which the part is trained. A share of 1 means that it is never trained."""
        return {}

    def augment_batch(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the augmented training batch. Random numbers must come from `generator`."""
        return batch

    @property
    def target(self) -> float | None:
        """The validation metric at which the problem counts as solved, or None."""
        return None

    @property
    def curvature(self) -> float | None:
        """The largest eigenvalue of the Hessian at the minimum, or None if it is unknown."""
        return None

    @property
    def plane(self) -> Plane | None:
        """The plane in which trajectories of a two-dimensional problem are plotted, or None for other problems."""
        return None

    @property
    def microseconds_per_example(self) -> float:
        """Time for the gradient of one example on one CPU thread; used only for the time estimates of `plan`."""
        return 1.0

    @property
    def microseconds_per_step(self) -> float:
        """Additional time per step, independent of the batch size; used only for the time estimates of `plan`."""
        return 100.0

    def identity(self) -> dict[str, Any]:
        """Return the parameters as they enter a cell's hash; a path is replaced by the content of its file."""
        later = ("order", *self.later)
        omitted = {f.name for f in fields(self) if f.name in later and getattr(self, f.name) == f.default}
        parameters = {name: value for name, value in asdict(self).items() if name not in omitted}
        files = [self.files] if isinstance(self.files, (str, Path)) else self.files
        digests: dict[str, str] = {}
        for file in map(Path, files):  # files in different folders may have the same name
            digests[file.name] = digests.get(file.name, "") + self._digest(file)
        return {**parameters, "files": digests} if digests else parameters

    def _digest(self, file: Path) -> str:
        try:
            return file_digest(file.expanduser())[:12]
        except OSError as error:
            raise _unreadable(self, file, error) from None

    def display(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults, as shown in labels."""
        own_first = sorted(fields(self), key=lambda f: bool(f.kw_only))
        chosen = {f.name: getattr(self, f.name) for f in own_first if getattr(self, f.name) != f.default}
        # None is written as the word `none`, without quotes, in the selection grammar.
        return {name: None if value == "none" else value for name, value in chosen.items()}


def display_name(problem: Problem) -> str:
    """Return the name of a problem for messages: its `name` if that is valid, otherwise that of its class."""
    name = getattr(problem, "name", None)
    return name if isinstance(name, str) and name.strip() else type(problem).__name__


def load_problem_data(problem: Problem, source: DataSource) -> Data:
    """Load the data of a problem.

    Raises:
        UserError: If a file does not exist, the data have another form than `Data`, or as `load_data` does.
    """
    try:
        return check_splits(display_name(problem), problem.load_data(source))
    except FileNotFoundError as error:
        raise _unreadable(problem, error.filename, error) from error


def _unreadable(problem: Problem, file: object, error: OSError) -> UserError:
    """Names the file and quotes the first line of the problem's docstring, which may explain how to create the file."""
    summary = (type(problem).__doc__ or "").strip().partition("\n")[0]
    is_written = summary and not summary.startswith(
        f"{type(problem).__name__}("
    )  # dataclass generates such a docstring
    hint = f" (its docstring: {summary})" if is_written else ""
    place = "" if Path(str(file)).expanduser().is_absolute() else f" in {Path.cwd()}"
    reason = error.strerror or error
    return UserError(f"file {file} of problem {display_name(problem)} can't be read: {reason}{place}{hint}")
