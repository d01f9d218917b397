"""Conducts an experiment: measures, evaluates and draws it, and writes its section for a report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from optbench import selection
from optbench.errors import UserError, unknown
from optbench.experiments.claims import CLAIMS
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.verdict import Measurement, table, together
from optbench.machine.device import resolve_device
from optbench.machine.environment import describe_environment
from optbench.plots import style
from optbench.problem.data import DataSource, default_data_dir
from optbench.reporting.files import write_tables
from optbench.reporting.section import Section
from optbench.results.atomic import write_json
from optbench.runner.progress import SilentProgress

#: Tables with more rows than this are too long to read and are written as parquet and csv only.
_READABLE_ROWS = 60


@dataclass(frozen=True)
class Outcome:
    """The result of an experiment, and the path of the JSON file with its section for a report."""

    experiment: Experiment
    measurements: Sequence[Measurement]
    tables: Tables
    figure: Figure
    section: Path

    @property
    def verdict(self) -> str:
        return together(self.measurements)

    @property
    def summary(self) -> pd.DataFrame:
        """One row per measured number: quantity predicted measured low high n verdict."""
        return table(self.measurements)

    @property
    def page_section(self) -> Section:
        """The section for the page of a results directory: `optbench.report(…, sections=[outcome.page_section])`."""
        name = f"Experiment: {self.experiment.name}"
        text = f"{self.experiment.claim}\n\nVerdict: {self.verdict}."
        caption = "The predicted and the measured numbers with their 95 % intervals, and the verdict on each of them."
        return Section(name, text, self.summary, caption, self.figure, self.experiment.caption)


def select_experiment(text: str) -> Experiment:
    """The experiment that `NAME[parameter=value,…]` selects, with these parameters instead of its own.

    Raises UserError for an unknown name or parameter, and for a value with another type than the one that it replaces.
    """
    chosen = selection.parse(text)
    if len(chosen) != 1:
        raise UserError(f"experiment {text!r} selects several; select one (tuples are written in parentheses)")
    name = chosen[0].name
    if name not in CLAIMS:
        raise unknown("experiment", name, CLAIMS)
    experiment: Experiment = import_module(f"optbench.experiments.{name.replace('-', '_')}").EXPERIMENT
    return experiment.replace_parameters(dict(chosen[0].parameters))


def conduct(experiment: Experiment, setting: Setting, command: str = "") -> Outcome:
    """Measures, evaluates and draws an experiment, and writes the outputs.

    `NAME.json` (its section for a report) and `NAME.{svg,png,pdf}` are written next to the folder of the experiment,
    its tables to that folder.

    Args:
        experiment: The experiment.
        setting: Its parameters, folder, data and device.
        command: The command that reproduces it, for the section.

    Raises:
        UserError: The experiment cannot be measured in this setting.
        OSError: A file cannot be written.
    """
    started = time.perf_counter()
    tables = dict(experiment.measure(setting))
    seconds = time.perf_counter() - started
    measurements = experiment.evaluate(tables)
    figure = experiment.draw(tables, measurements)
    name, root = experiment.name, setting.folder.parent
    written = {"findings": table(measurements), **tables}
    readable = {label for label, frame in written.items() if len(frame) <= _READABLE_ROWS}
    write_tables(written, setting.folder / "tables", readable)
    style.save(figure, root, name)
    section = root / f"{name}.json"
    outcome = Outcome(experiment, measurements, tables, figure, section)
    write_json(section, _section(outcome, setting, seconds, command))
    return outcome


def _section(outcome: Outcome, setting: Setting, seconds: float, command: str) -> dict[str, Any]:
    name = outcome.experiment.name
    return {
        "name": name,
        "claim": outcome.experiment.claim,
        "verdict": outcome.verdict,
        "findings": outcome.summary.to_dict("records"),
        "caption": outcome.experiment.caption,
        "figure": f"{name}.svg",
        "tables": [f"{name}/tables/{label}.csv" for label in ("findings", *outcome.tables)],
        "parameters": {key: list(v) if isinstance(v, tuple) else v for key, v in setting.size.items()},
        "device": setting.device,
        "environment": describe_environment([setting.device]),
        "command": command,
        "seconds": seconds,
    }


def experiment(
    text: str,
    *,
    quick: bool = False,
    results: str | Path = "results",
    data_dir: str | Path | None = None,
    download: bool = True,
    device: str = "cpu",
    engine: str = "processes",
    workers: int | None = None,
    weights: str | None = None,
    progress: SilentProgress | None = None,
) -> Outcome:
    """Conducts one of the lecture's experiments. A second call resumes it.

    Args:
        text: `NAME` or `NAME[parameter=value,…]`.
        quick: Whether to use the quick setting, which needs no network and less than a minute.
        results: The folder for outputs, which are written to its folder `experiments` (`experiments-quick`).
        data_dir: As for `run`.
        download: As for `run`.
        device: As for `run`.
        engine: As for `run`.
        workers: As for `run`.
        weights: A file of pretrained weights, or "none", for experiments that start from pretrained weights.
        progress: As for `run`.

    Returns:
        An `Outcome` with `.verdict`, `.summary`, `.tables` and `.figure`.

    Raises:
        UserError: The name, a parameter or the setting is invalid, or a cell failed.
    """
    selected = select_experiment(text)
    folder = Path(results) / ("experiments-quick" if quick else "experiments") / selected.name
    source = DataSource(Path(data_dir).expanduser() if data_dir else default_data_dir(), download and not quick)
    setting = Setting(
        folder,
        selected.size(quick),
        source,
        resolve_device(device),
        workers,
        engine,
        weights,
        progress or SilentProgress(),
    )
    command = f"python -m optbench experiment {shlex.quote(text)}" + (" --quick" if quick else "")
    return conduct(selected, setting, command)
