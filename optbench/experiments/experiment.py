"""The parts of an experiment: how it is measured, evaluated and drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.errors import unknown
from optbench.problem.data import DataSource
from optbench.runner.progress import SilentProgress
from optbench.selection import AcceptedValues, convert

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from optbench.experiments.verdict import Measurement
    from optbench.results.load import Results

#: Tables by name; the first one has the values that the figure shows.
Tables = Mapping[str, "pd.DataFrame"]


@dataclass(frozen=True)
class Setting:
    """The conditions under which an experiment is measured.

    `folder` is the folder of the experiment, `size` has its parameters, and `device` is a device of torch. `weights`
    is a file of pretrained weights, or `none`, for experiments that start from pretrained weights.
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
        """Runs a benchmark, or resumes it.

        Args:
            part: The name of its results directory within the folder of the experiment.
            **choices: Arguments of `optbench.run`.

        Returns:
            The results.

        Raises:
            UserError: A cell failed for another reason than divergence; a figure without it would not match its
                caption.
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
    """One claim and how it is tested.

    `measure` computes (and resumes) the measurements and returns flat tables; `evaluate` and `draw` are functions of
    these tables alone. `full` has the parameters of the full setting, `quick` those that differ in the quick setting.
    `caption` explains how to read the figure.
    """

    name: str
    measure: Callable[[Setting], Tables]
    evaluate: Callable[[Tables], Sequence[Measurement]]
    draw: Callable[[Tables, Sequence[Measurement]], Figure]
    caption: str
    full: Mapping[str, Any]
    quick: Mapping[str, Any]
    #: The smallest and the largest accepted value of parameters that may be 0 or must not be large.
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    #: The parameters of a selection, which replace those of both settings.
    chosen: Mapping[str, Any] = field(default_factory=dict)

    @property
    def claim(self) -> str:
        from optbench.experiments.claims import CLAIMS

        return CLAIMS[self.name]

    def size(self, quick: bool) -> dict[str, Any]:
        """The parameters in one of the two settings."""
        return {**self.full, **(self.quick if quick else {}), **self.chosen}

    def _range(self, name: str) -> AcceptedValues:
        default = self.full[name]
        whole = isinstance(default[0] if isinstance(default, tuple) and default else default, int)
        if name in self.limits:
            low, high = self.limits[name]
            return AcceptedValues(low, high, whole=whole, any_length=True)
        return (
            AcceptedValues(1, whole=True, any_length=True) if whole else AcceptedValues(0, above=True, any_length=True)
        )

    def replace_parameters(self, parameters: Mapping[str, Any]) -> Experiment:
        """The experiment with other parameters; raises UserError for an unknown parameter or an invalid value."""
        chosen = {}
        for name, value in parameters.items():
            if name not in self.full:
                raise unknown(f"parameter of experiment {self.name}", name, self.full)
            # The grammar parses `none` as None, but some parameters accept it as a text.
            chosen[name] = "none" if value is None and isinstance(self.full[name], str) else value
            convert(f"{self.name}[{name}]", chosen[name], self.full[name], self._range(name))
        return replace(self, chosen={**self.chosen, **chosen})
