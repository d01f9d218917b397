"""What an experiment is: how it is measured, what it finds, and how that is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.errors import unknown
from optbench.problem.data import DataSource
from optbench.runner.progress import SilentProgress
from optbench.selection import Accepted, convert

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from optbench.experiments.verdict import Finding
    from optbench.results.load import Results

#: Tables by name; the first one is what a figure shows.
Tables = Mapping[str, "pd.DataFrame"]


@dataclass(frozen=True)
class Setting:
    """Where and how large an experiment is measured.

    `size` has the experiment's parameters; `folder` is its own, `device` one that torch knows. `weights` is a
    file of pretrained weights or `none`, for experiments that start from some.
    """

    folder: Path
    size: Mapping[str, Any]
    source: DataSource
    device: str = "cpu"
    workers: int | None = None
    engine: str = "processes"
    weights: str | None = None
    progress: SilentProgress = field(default_factory=SilentProgress)

    def run(self, part: str, **choices: Any) -> Results:
        """Runs a benchmark by the harness, or resumes it; `choices` are those of `optbench.run`.

        `part` names its results directory among those of the experiment. Raises UserError where a cell failed
        for another reason than divergence: a figure without it would not be what its caption says.
        """
        from optbench.api import run
        from optbench.errors import UserError

        folder = self.folder / "runs"
        results = run(
            name=part, results=folder, data_dir=self.source.directory, download=self.source.download,
            workers=self.workers, progress=self.progress, outputs=False,
            **{"engine": self.engine, "devices": [self.device], **choices},
        )  # fmt: skip
        failed = results.cells[results.cells["status"].isin(["error", "oom", "timeout", "missing"])]
        for cell in failed.to_dict("records"):
            raise UserError(f"{cell['problem']} × {cell['optimizer']} failed: {cell['error']} (see {folder / part})")
        return results


@dataclass(frozen=True)
class Experiment:
    """One claim, and how it is tested.

    `measure` computes (and resumes) and gives flat tables; `find` and `draw` are functions of these alone.
    `full` are its parameters in the full setting, `quick` those that are smaller in the quick one; `caption` says
    how to read the figure.
    """

    name: str
    measure: Callable[[Setting], Tables]
    find: Callable[[Tables], Sequence[Finding]]
    draw: Callable[[Tables, Sequence[Finding]], Figure]
    caption: str
    full: Mapping[str, Any]
    quick: Mapping[str, Any]
    #: The least and the greatest value, both accepted, of parameters that may be 0 or must not be large.
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    #: What a selection puts in the place of either.
    chosen: Mapping[str, Any] = field(default_factory=dict)

    @property
    def claim(self) -> str:
        from optbench.experiments.claims import CLAIMS

        return CLAIMS[self.name]

    def size(self, quick: bool) -> dict[str, Any]:
        """The parameters in one of the two settings."""
        return {**self.full, **(self.quick if quick else {}), **self.chosen}

    def _accepted(self, name: str) -> Accepted:
        default = self.full[name]
        whole = isinstance(default[0] if isinstance(default, tuple) and default else default, int)
        if name in self.limits:
            low, high = self.limits[name]
            return Accepted(low, high, whole=whole, any_length=True)
        return Accepted(1, whole=True, any_length=True) if whole else Accepted(0, above=True, any_length=True)

    def changed(self, parameters: Mapping[str, Any]) -> Experiment:
        """The experiment with other parameters; raises UserError for one that it does not have or can't be."""
        chosen = {}
        for name, value in parameters.items():
            if name not in self.full:
                raise unknown(f"parameter of experiment {self.name}", name, self.full)
            # The grammar's `none` is no text, but there are parameters that take this word.
            chosen[name] = "none" if value is None and isinstance(self.full[name], str) else value
            convert(f"{self.name}[{name}]", chosen[name], self.full[name], self._accepted(name))
        return replace(self, chosen={**self.chosen, **chosen})
