"""What can be known to fail before the first training starts, as one line instead of many rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optbench.errors import Inapplicable, UserError, one_line
from optbench.planning.matrix import Cell
from optbench.planning.optimizer_choice import OptimizerChoice
from optbench.planning.problem_choice import ProblemChoice
from optbench.problem.base import Problem, loaded
from optbench.problem.data import Batch, Data, DataSource
from optbench.training.shared_data import SharedMemory


def check_data(
    cells: Iterable[Cell],
    source: DataSource,
    memory: SharedMemory | None = None,
    known: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Loads the data of every problem once (downloading it where allowed and needed), into `memory` if given.

    Returns the planes of two-dimensional problems by label, but for those that are `known` already. Raises
    UserError for missing or corrupt data.
    """
    if not (choices := {cell.problem.key: cell.problem for cell in cells}):
        return {}
    from optbench.training.landscape import plane_values

    planes: dict[str, Any] = {}
    for choice in choices.values():
        problem = choice.make()
        try:
            data = _checked(choice.label, problem, source)
            if memory is not None:
                memory.add(choice.key, data, problem.channels_last)
            of = choice.key[1]
            plane = plane_values(problem, data) if (known or {}).get(choice.label, {}).get("of") != of else None
        except UserError:
            raise
        except Exception:
            continue  # a problem that raises is an error row of its own cells, and the rest goes on
        if plane is not None:
            planes[choice.label] = {"of": of, **plane}
    return planes


def _checked(label: str, problem: Problem, source: DataSource) -> Data:
    data = loaded(problem, source)
    if len(data.train[0]) != problem.training_examples():
        raise UserError(
            f"{label} loads {len(data.train[0])} training examples, but training_examples() says "
            f"{problem.training_examples()}"
        )
    for split in ("train", "valid", "test"):
        batch: Batch = getattr(data, split)
        if any(map(_holds_nan, batch)):
            raise UserError(f"{label} loads {split} examples that hold NaN (accepted: numbers)")
        _check_classes(label, problem, split, batch)
    return data


def _holds_nan(tensor: Any) -> bool:
    import torch

    if not (isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and tensor.is_floating_point()):
        return False
    # The extremes are NaN where any is: one pass, without a mask as large as the data.
    return tensor.numel() > 0 and bool(torch.aminmax(tensor).min.isnan())


def _check_classes(label: str, problem: Problem, split: str, batch: Batch) -> None:
    """Raises UserError for classes that the model has no output for: found by the loss of the lowest and the highest.

    In a training they would be an error of every cell, and on a GPU the end of its process.
    """
    import torch

    classes = batch[-1]
    if len(batch) < 2 or classes.dim() != 1 or classes.dtype not in (torch.int64, torch.int32) or not len(classes):
        return
    extremes = torch.stack([classes.argmin(), classes.argmax()])
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            problem.loss(problem.model().eval(), tuple(tensor[extremes] for tensor in batch))
    except IndexError as error:
        if "out of bounds" not in str(error):  # torch's words for a class
            return
        low, high = classes[extremes].tolist()
        raise UserError(
            f"{label} loads {split} examples of the classes {low} to {high}, for which its loss has no place: "
            f"{one_line(error)}"
        ) from None
    except Exception:  # a problem that raises is an error row of its own cells
        return


def check_optimizers(cells: Sequence[Cell]) -> list[str]:
    """Constructs every optimizer once. Returns a line for each that makes no sense on some of the problems.

    Raises UserError for refused arguments, for what makes no optimizer, and where no cell makes sense.
    """
    import torch

    from optbench.training.construct import make_optimizer

    model = torch.nn.Linear(2, 2)
    senseless: dict[tuple[str, str], str] = {}
    for (label, _), (choice, problem) in _different(cells).items():
        try:
            tried = problem.make().model() if choice.groups else model
            made: object = make_optimizer(choice, tried, choice.defaults)
            if not isinstance(made, torch.optim.Optimizer):
                raise UserError(f"{label} makes a {type(made).__name__} (accepted: a torch.optim.Optimizer)")
        except Inapplicable as error:  # a row of those cells; the rest of the matrix goes on
            senseless[label, problem.label] = f"{problem.label}: {error}"
        except UserError:
            raise
        except (ValueError, TypeError) as error:
            raise UserError(f"optimizer {label} refuses its arguments: {one_line(error)}") from None
        except Exception:  # what only fails on other models is a row of its own cells
            continue
    lost = Counter((cell.optimizer.label, cell.problem.label) for cell in cells)
    if senseless and sum(lost[pair] for pair in senseless) == len(cells):
        raise UserError("; ".join(senseless.values()))
    return [f"{line}; cells that will be recorded as failed: {lost[pair]}" for pair, line in senseless.items()]


def _different(cells: Iterable[Cell]) -> dict[tuple[str, str], tuple[OptimizerChoice, ProblemChoice]]:
    """Every optimizer with a problem; one with parameter groups with all of them, as it names their parameters."""
    return {
        (cell.optimizer.label, cell.problem.label if cell.optimizer.groups else ""): (cell.optimizer, cell.problem)
        for cell in cells
    }
