"""Decides whether code that a configuration refers to may run.

Results are exchanged between people, and reading someone's results must not run that person's code. Therefore a
configuration inside a results directory can only refer to code that the user names explicitly as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench import selection
from optbench.errors import UserError

if TYPE_CHECKING:
    from optbench.config.optimizer_table import OptimizerTable
    from optbench.config.schema import Config, ProblemEntry

#: The file that describes frozen results, including their configuration.
_ABOUT = "about.json"


def check_named_code(config: Config, file: Path, named: Iterable[str]) -> None:
    """Check that a configuration from a results directory refers only to code that the user names too.

    Args:
        config: The configuration.
        file: The file that it was read from. Files outside of results directories are not restricted.
        named: Selections that the user gave explicitly.

    Raises:
        UserError: If the configuration refers to other code.
    """
    if not _in_results(file):
        return
    allowed = {chosen.name for text in named for chosen in selection.parse(text)}
    for target in _targets(config):
        if target not in allowed:
            raise UserError(
                f"{file} is in a results directory and refers to code, {target}, which runs only if you name it "
                "(accepted: --problem or --optimizer with that name; a copy of the file outside of results)"
            )


def without_named_code(config: Config) -> tuple[Config, tuple[str, ...]]:
    """Remove the problems and optimizers that refer to code from a configuration.

    Returns:
        The remaining configuration, and the code that the removed parts refer to.
    """
    remaining: dict[str, Any] = {
        "problems": [item for item in config.problems if not any(_selection_targets(item, config))],
        "optimizers": [text for text in config.optimizers if not any(_selection_targets(text, config))],
        # This includes tables that nothing selects, because a plan builds all of them.
        "optimizer": {name: table for name, table in config.optimizer.items() if not any(_table_targets(table))},
    }
    return config.model_copy(update=remaining), tuple(_targets(config))


def _in_results(file: Path) -> bool:
    """Whether a file is in a results directory, or is part of frozen results or in the same folder."""
    path = file.expanduser().resolve()
    frozen = path.name == _ABOUT or all((path.parent / name).exists() for name in (_ABOUT, "runs.parquet"))
    return frozen or any((folder / "format.json").exists() for folder in path.parents)


def _targets(config: Config) -> Iterator[str]:
    """The code that a configuration imports from files or packages, as `location:Attribute`, without duplicates."""
    targets = [name for item in (*config.problems, *config.optimizers) for name in _selection_targets(item, config)]
    targets += [name for table in config.optimizer.values() for name in _table_targets(table)]
    yield from dict.fromkeys(targets)


def _selection_targets(item: str | ProblemEntry, config: Config) -> Iterator[str]:
    for chosen in selection.parse(item if isinstance(item, str) else item.select):
        if ":" in chosen.name or chosen.name.endswith(".py"):
            yield chosen.name
        elif chosen.name in config.optimizer:
            yield from _table_targets(config.optimizer[chosen.name])


def _table_targets(table: OptimizerTable) -> Iterator[str]:
    names = [table.base, table.constructor, table.reset]
    names += [name for group in table.groups.values() for name in (group.base, group.constructor)]
    yield from (name for name in names if name and ":" in name)
