"""Code that a configuration names, and who may have it run: a file that lies in a results directory may not.

Results are handed around, and whoever reads them must not run what their author wrote. So code that a configuration
in a results directory names is run only where the user names it too.
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

#: What frozen results say of themselves, their configuration included.
_ABOUT = "about.json"


def check_named_code(config: Config, file: Path, named: Iterable[str]) -> None:
    """Raises UserError where a configuration from a file in a results directory names code that isn't among the
    selections `named` by the user.
    """
    if not _in_results(file):
        return
    allowed = {chosen.name for text in named for chosen in selection.parse(text)}
    for target in _targets(config):
        if target not in allowed:
            raise UserError(
                f"{file} lies in a results directory and names code, {target}, which is run only where you name it "
                "(accepted: --problem or --optimizer with that name; a copy of the file elsewhere)"
            )


def without_named_code(config: Config) -> tuple[Config, tuple[str, ...]]:
    """A configuration without the problems and optimizers for which code that it names would run, and that code."""
    kept: dict[str, Any] = {
        "problems": [item for item in config.problems if not any(_of_selection(item, config))],
        "optimizers": [text for text in config.optimizers if not any(_of_selection(text, config))],
        # Also those that nothing selects: a plan looks at all of them.
        "optimizer": {name: table for name, table in config.optimizer.items() if not any(_of_table(table))},
    }
    return config.model_copy(update=kept), tuple(_targets(config))


def _in_results(file: Path) -> bool:
    """Whether it lies in a results directory, or is of frozen results or beside them."""
    path = file.expanduser().resolve()
    frozen = path.name == _ABOUT or all((path.parent / name).exists() for name in (_ABOUT, "runs.parquet"))
    return frozen or any((folder / "format.json").exists() for folder in path.parents)


def _targets(config: Config) -> Iterator[str]:
    """Whatever is imported from a file or a package by its name."""
    found = [name for item in (*config.problems, *config.optimizers) for name in _of_selection(item, config)]
    found += [name for table in config.optimizer.values() for name in _of_table(table)]
    yield from dict.fromkeys(found)


def _of_selection(item: str | ProblemEntry, config: Config) -> Iterator[str]:
    for chosen in selection.parse(item if isinstance(item, str) else item.select):
        if ":" in chosen.name:
            yield chosen.name
        elif chosen.name in config.optimizer:
            yield from _of_table(config.optimizer[chosen.name])


def _of_table(table: OptimizerTable) -> Iterator[str]:
    names = [table.base, table.constructor, table.reset]
    names += [name for group in table.groups.values() for name in (group.base, group.constructor)]
    yield from (name for name in names if name and ":" in name)
