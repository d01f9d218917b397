"""Checks before the first training, so that a mistake is one line instead of many failed cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from optbench.errors import Inapplicable, UserError, one_line
from optbench.importing import changed_settings, load_attribute
from optbench.machine.settings import keep_settings
from optbench.optimizers.additions import AVERAGING, averages_itself
from optbench.optimizers.registry import code_targets
from optbench.planning.matrix import Cell, problem_target
from optbench.planning.optimizer_choice import OptimizerChoice
from optbench.planning.problem_choice import ProblemChoice
from optbench.problem.base import Problem, load_problem_data
from optbench.problem.data import Batch, Data, DataSource
from optbench.results.directory import ResultsDirectory
from optbench.results.machines import list_machines
from optbench.selection import format_value
from optbench.training.shared_data import SharedMemory


def check_data(
    cells: Iterable[Cell],
    source: DataSource,
    memory: SharedMemory | None = None,
    known: Mapping[str, Any] | None = None,
    examine: Callable[[Cell, Data], object] | None = None,
) -> dict[str, Any]:
    """Loads and checks the data of every problem once.

    Args:
        cells: The cells to be computed.
        source: Where data are read from, and whether missing data are downloaded.
        memory: Shared memory to which the data are copied for worker processes.
        known: Values of two-dimensional problems that are stored already, by label.
        examine: Called with a cell and the data of each problem that does not come with optbench.

    Returns:
        The values of two-dimensional problems on a grid, by label, except those that are known.

    Raises:
        UserError: Data are missing or corrupt, or do not fit their problem, or a model has lazy layers.
    """
    if not (firsts := {cell.problem.key: cell for cell in reversed(list(cells))}):
        return {}
    from optbench.training.landscape import compute_plane_values

    planes: dict[str, Any] = {}
    for cell in reversed(firsts.values()):
        choice, problem = cell.problem, cell.problem.make()
        try:
            data = _load_and_check(choice.label, problem, source, cell.training_examples)
            if memory is not None:
                memory.add(choice.key, data, problem.channels_last)
            key = choice.key[1]
            stored = (known or {}).get(choice.label, {}).get("of") == key
            plane = None if stored else compute_plane_values(problem, data)
        except UserError:
            raise
        except Exception:
            continue  # the exception is recorded by the cells of this problem; the others can be computed
        if examine is not None and problem_target(choice.selection.name):
            examine(cell, data)
        if plane is not None:
            planes[choice.label] = {"of": key, **plane}
    return planes


def _load_and_check(label: str, problem: Problem, source: DataSource, planned: int) -> Data:
    data = load_problem_data(problem, source)
    _refuse_lazy_layers(problem)
    if len(data.train[0]) != planned:
        raise UserError(
            f"{label} loads {len(data.train[0])} training examples, but training_examples() returns {planned}"
        )
    for split in ("train", "valid", "test"):
        batch: Batch = getattr(data, split)
        if any(map(_contains_nan, batch)):
            raise UserError(f"{label} loads {split} examples that contain NaN (accepted: numbers)")
        _check_classes(label, problem, split, batch)
    return data


def _refuse_lazy_layers(problem: Problem) -> None:
    import torch

    from optbench.training.construct import refuse_lazy_layers

    try:
        with torch.random.fork_rng(devices=[]):
            model = problem.model()
    except Exception:  # recorded by the cells of this problem
        return
    refuse_lazy_layers(problem, model)


def _contains_nan(tensor: Any) -> bool:
    import torch

    if not (isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and tensor.is_floating_point()):
        return False
    # The minimum is NaN if any element is: one pass, without a mask as large as the data.
    return tensor.numel() > 0 and bool(torch.aminmax(tensor).min.isnan())


def _check_classes(label: str, problem: Problem, split: str, batch: Batch) -> None:
    """Computes the loss of the lowest and the highest class, and raises UserError if the model lacks an output.

    In a training such a class would fail every cell, and on a GPU it would end the process.
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
        if "out of bounds" not in str(error):  # torch's message for an invalid class
            return
        low, high = classes[extremes].tolist()
        raise UserError(
            f"{label} loads {split} examples of the classes {low} to {high}, which its loss does not accept: "
            f"{one_line(error)}"
        ) from None
    except Exception:  # recorded by the cells of this problem
        return


def check_second_budgets(cells: Sequence[Cell], directory: ResultsDirectory, environment: Mapping[str, Any]) -> None:
    """Checks that run budgets in seconds are measured on one machine: elsewhere, they buy another number of steps.

    Args:
        cells: All cells of the plan.
        directory: The results directory.
        environment: The present environment.

    Raises:
        UserError: A stored cell has a budget in seconds that was measured on another machine.
    """
    environments = {**directory.environments(), environment["key"]: environment}
    for cell in cells:
        if cell.run_budget.unit != "seconds" or (timing := directory.cell(cell.id).timing()) is None:
            continue
        machines = list_machines(
            (key, environments.get(key, {})) for key in (timing["environment"], environment["key"])
        )
        if len(machines) > 1:
            raise UserError(
                f"the run budget of {cell.problem.label} is in seconds and was measured on another machine "
                f"({machines[0]}) than this one ({machines[1]}), where it buys another number of steps (accepted: "
                "another --name, --fresh, or a budget in examples or epochs)"
            )


def check_optimizers(cells: Sequence[Cell]) -> list[str]:
    """Constructs every optimizer once.

    Args:
        cells: The cells to be computed.

    Returns:
        One line for each optimizer that is not applicable to some of the problems, for each value of a search
        space with which an optimizer of torch or optbench can't be constructed, and for each hyperparameter without
        effect (see `effects`).

    Raises:
        UserError: An optimizer rejects its arguments, its constructor returns something else, or no cell is
            applicable.
    """
    import torch

    from optbench.runner.effects import describe_idle
    from optbench.training.averaging import averages_weights
    from optbench.training.construct import make_optimizer

    model = torch.nn.Linear(2, 2)
    inapplicable: dict[tuple[str, str], str] = {}
    rejected: dict[str, None] = {}
    idle: dict[str, None] = {}
    for (label, _), (choice, problem) in _distinct_pairs(cells).items():
        try:
            own_model = problem.make().model() if choice.groups else model
            optimizer: object = make_optimizer(choice, own_model, choice.defaults)
            idle |= dict.fromkeys(describe_idle(choice, own_model))
            if choice.trusted and not choice.groups:
                rejected |= dict.fromkeys(_rejected_values(choice, model))
            if not isinstance(optimizer, torch.optim.Optimizer):
                raise UserError(f"{label} returns a {type(optimizer).__name__} (accepted: a torch.optim.Optimizer)")
            if (averaging := choice.added & {*AVERAGING}) and averages_weights(optimizer):
                raise averages_itself(f"optimizer {label}", min(averaging))
        except Inapplicable as error:  # recorded by those cells; the others can be computed
            inapplicable[label, problem.label] = f"{problem.label}: {error}"
        except UserError:
            raise
        except (ValueError, TypeError) as error:
            constructor = load_attribute(choice.constructor)
            if isinstance(constructor, type) and not issubclass(constructor, torch.optim.Optimizer):
                raise UserError(
                    f"optimizer {label} is a class that does not derive from torch.optim.Optimizer"
                ) from None
            raise UserError(f"optimizer {label} rejects its arguments: {one_line(error)}") from None
        except Exception:  # may be specific to this model; recorded by the cells if it occurs again
            continue
    counts = Counter((cell.optimizer.label, cell.problem.label) for cell in cells)
    if inapplicable and sum(counts[pair] for pair in inapplicable) == len(cells):
        raise UserError("; ".join(inapplicable.values()))
    failed = [f"{line}; cells that will be recorded as failed: {counts[pair]}" for pair, line in inapplicable.items()]
    return [*failed, *rejected, *idle]


def _rejected_values(choice: OptimizerChoice, model: Any) -> Iterator[str]:
    """Tries the ends of each range and each value of a list, with the defaults of all other hyperparameters."""
    from optbench.training.construct import make_optimizer

    for name, tried in choice.search.items():
        for value in () if tried.when else tried.bounds:
            try:
                make_optimizer(choice, model, {**choice.defaults, name: value})
            except (ValueError, TypeError) as error:
                yield (
                    f"optimizer {choice.label} rejects {name} = {format_value(value)} of its search space at the "
                    f"defaults of the others ({one_line(error)}); such trials fail"
                )


def _distinct_pairs(cells: Iterable[Cell]) -> dict[tuple[str, str], tuple[OptimizerChoice, ProblemChoice]]:
    """Returns every optimizer with one problem, or with all problems if it selects parameters by name."""
    return {
        (cell.optimizer.label, cell.problem.label if cell.optimizer.groups else ""): (cell.optimizer, cell.problem)
        for cell in cells
    }


def find_changed_settings(cells: Sequence[Cell]) -> list[str]:
    """Finds code of the user that changes torch's settings for the whole process, and so for other cells.

    Changes by an import, by a constructor and by `model()` are found. All of them are put back.

    Args:
        cells: The cells to be computed.

    Returns:
        One line for each problem and each optimizer that does.
    """
    notes = []
    for choice in {cell.problem.key: cell.problem for cell in cells}.values():
        if target := problem_target(choice.selection.name):
            changed = changed_settings(target)
            made = _changed_by(partial(_make_model, choice))
            notes += _describe_change(target, changed, made, "model()")
    for optimizer in {cell.optimizer.label: cell.optimizer for cell in cells}.values():
        if optimizer.own and code_targets(optimizer):
            changed = changed_settings(optimizer.constructor)
            made = _changed_by(partial(_construct, optimizer))
            notes += _describe_change(optimizer.constructor, changed, made, "its constructor")
    return list(dict.fromkeys(notes))


def _changed_by(action: Callable[[], object]) -> list[str]:
    import torch

    with keep_settings() as changed, torch.random.fork_rng(devices=[]), suppress(Exception):
        action()
    return changed


def _make_model(choice: ProblemChoice) -> object:
    return choice.make().model()


def _construct(optimizer: OptimizerChoice) -> object:
    import torch

    from optbench.training.construct import make_optimizer

    return make_optimizer(optimizer, torch.nn.Linear(2, 2), optimizer.defaults)


def _describe_change(target: str, by_import: Sequence[str], by_call: Sequence[str], call: str) -> list[str]:
    where = target.rpartition(":")[0] if by_import else target
    when = "when it is imported" if by_import else f"in {call}"
    if not (names := by_import or by_call):
        return []
    return [
        f"note: {where} changes torch's settings for the whole process {when} ({', '.join(names)}); they are put back "
        f"{'after the import' if by_import else 'before each training'} (use arguments or contexts instead)"
    ]
