"""Conducts an experiment: measures, judges, draws, and writes what a report shows of it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from optbench.experiments.claims import select_experiment
from optbench.experiments.experiment import Experiment, Setting, Tables
from optbench.experiments.verdict import Finding, table, together
from optbench.machine.device import resolve
from optbench.machine.environment import describe
from optbench.plots import style
from optbench.problem.data import DataSource, default_data_dir
from optbench.reporting.files import write_tables
from optbench.reporting.section import Section
from optbench.results.atomic import write_json
from optbench.runner.progress import SilentProgress

#: Tables of more rows are no reading, and are written as parquet and csv only.
_READABLE_ROWS = 60


@dataclass(frozen=True)
class Outcome:
    """What an experiment found, and the JSON file with its section for a report."""

    experiment: Experiment
    findings: Sequence[Finding]
    tables: Tables
    figure: Figure
    section: Path

    @property
    def verdict(self) -> str:
        return together(self.findings)

    @property
    def summary(self) -> pd.DataFrame:
        """One row a number: quantity predicted measured low high n verdict."""
        return table(self.findings)

    @property
    def page_section(self) -> Section:
        """For the page of a results directory: `optbench.report(…, sections=[outcome.page_section])`."""
        name = f"Experiment: {self.experiment.name}"
        text = f"{self.experiment.claim}\n\nVerdict: {self.verdict}."
        caption = "What the claim predicts, what was measured with its 95 % interval, and the verdict on each number."
        return Section(name, text, self.summary, caption, self.figure, self.experiment.caption)


def conduct(experiment: Experiment, setting: Setting, command: str = "") -> Outcome:
    """Measures and writes, beside the experiment's own folder, `NAME.json` (its section for a report) and
    `NAME.{svg,png,pdf}`, and its tables below it.

    Raises UserError for what can't be measured, OSError where the disk does not take it.
    """
    started = time.perf_counter()
    tables = dict(experiment.measure(setting))
    seconds = time.perf_counter() - started
    findings = experiment.find(tables)
    figure = experiment.draw(tables, findings)
    name, root = experiment.name, setting.folder.parent
    written = {"findings": table(findings), **tables}
    readable = {label for label, frame in written.items() if len(frame) <= _READABLE_ROWS}
    write_tables(written, setting.folder / "tables", readable)
    style.save(figure, root, name)
    section = root / f"{name}.json"
    outcome = Outcome(experiment, findings, tables, figure, section)
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
        "environment": describe([setting.device]),
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
    """Conducts one of the lecture's experiments; conducted again, it resumes.

    `text` is `NAME` or `NAME[parameter=value,…]`. `device`, `data_dir`, `download`, `engine`, `workers` and `progress`
    are as for `run`; `weights` is a file of pretrained ones, or "none", for experiments that start from some.

    Returns an `Outcome` with `.verdict`, `.summary`, `.tables` and `.figure`, all of which is also written to
    `experiments` in `results` (`experiments-quick` with `quick`, which needs no network and less than a minute). Raises
    UserError for what can't be measured.
    """
    found = select_experiment(text)
    folder = Path(results) / ("experiments-quick" if quick else "experiments") / found.name
    source = DataSource(Path(data_dir).expanduser() if data_dir else default_data_dir(), download and not quick)
    setting = Setting(
        folder, found.size(quick), source, resolve(device), workers, engine, weights, progress or SilentProgress()
    )
    command = f"python -m optbench experiment {shlex.quote(text)}" + (" --quick" if quick else "")
    return conduct(found, setting, command)
