"""Code that a configuration names, and who may have it run: a file that lies in a results directory may not.

Results are handed around, and whoever reads them must not run what their author wrote. So code that a configuration
in a results directory names is run only where the user names it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from optbench import selection
from optbench.errors import UserError

if TYPE_CHECKING:
    from optbench.config import Config


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


def _in_results(file: Path) -> bool:
    return any((folder / "format.json").exists() for folder in file.expanduser().resolve().parents)


def _targets(config: Config) -> Iterator[str]:
    """Whatever is imported from a file or a package by its name."""
    selected = [item if isinstance(item, str) else item.select for item in config.problems]
    names = [chosen.name for text in (*selected, *config.optimizers) for chosen in selection.parse(text)]
    for table in config.optimizer.values():
        names += [table.base or "", table.constructor or "", table.reset or ""]
        names += [name for group in table.groups.values() for name in (group.base or "", group.constructor or "")]
    yield from dict.fromkeys(name for name in names if ":" in name)
