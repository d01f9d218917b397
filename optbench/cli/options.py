"""Options that several verbs of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from optbench.cli import completion
from optbench.config.presets import PRESETS, preset


def selection(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that choose what is run; shared by `run` and `plan`."""
    quick = preset("quick")
    options = [
        click.option(
            "--preset",
            metavar="NAME",
            help=f"Configuration to start from: {PRESETS[0]} (default), {', '.join(PRESETS[1:-1])} or {PRESETS[-1]}.",
            shell_complete=completion.complete_presets,
        ),
        click.option(
            "--config",
            "file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="TOML file whose settings override the preset (`optbench init` writes one).",
        ),
        click.option(
            "--problem",
            "problems",
            multiple=True,
            metavar="NAME[parameter=value,…]",
            help="Problem to train; repeatable. Names: `optbench list problems`, or FILE.py:CLASS.",
            shell_complete=completion.complete_problems,
        ),
        click.option(
            "--optimizer",
            "optimizers",
            multiple=True,
            metavar="NAME[parameter=value,…]",
            help="Optimizer to compare; repeatable. Names: `optbench list optimizers`, or FILE.py:NAME.",
            shell_complete=completion.complete_optimizers,
        ),
        click.option(
            "--batch-size",
            "batch_sizes",
            multiple=True,
            type=int,
            metavar="N",
            help="Batch size (default: those of each problem); repeatable.",
        ),
        click.option(
            "--device",
            "devices",
            multiple=True,
            metavar="DEVICE",
            help="Device to train on: auto, cpu, cuda, …; repeatable.",
        ),
        click.option(
            "--schedule",
            "schedules",
            multiple=True,
            metavar="NAME[parameter=value,…]",
            help="Learning rate schedule, such as cosine[warmup=0.05] or wsd[decay=0.2,warmup=100]; repeatable. "
            "Names: `optbench list schedules`.",
            shell_complete=completion.complete_from("optimizers.schedule:NAMES"),
        ),
        click.option(
            "--seeds",
            type=int,
            metavar="N",
            help=f"Number of final runs per cell, each with its own seed (quick: {quick['seeds']}).",
        ),
        click.option(
            "--run-budget",
            multiple=True,
            metavar="AMOUNT",
            help="Length of each training, such as 2epochs, 20000examples or 30seconds (default: set by each problem); "
            "repeatable.",
        ),
        click.option(
            "--tuning-worth",
            type=float,
            metavar="K",
            help="Tuning budget of each cell as a multiple of the run budget "
            f"(quick: {quick['tuning']['worth']}); 0 switches tuning off.",
        ),
        click.option(
            "--studies",
            "tuning_studies",
            type=int,
            metavar="N",
            help="Number of independent tunings per cell; the first one chooses the hyperparameters of the final runs.",
        ),
        click.option(
            "--trials-per-round",
            "--trials-a-round",
            "tuning_round",
            type=int,
            metavar="N",
            help="Number of trials that are proposed and trained together.",
        ),
        click.option(
            "--sampler",
            "tuning_sampler",
            metavar="NAME",
            help="How trials are proposed: tpe (default), random, quasi-random, gp or grid.",
            shell_complete=completion.complete_from("config.schema:SAMPLERS"),
        ),
        click.option(
            "--pruner",
            "tuning_pruner",
            metavar="NAME",
            help="How unpromising trials are stopped early: race (default), none, median or successive-halving.",
            shell_complete=completion.complete_from("config.schema:PRUNERS"),
        ),
        click.option("--threads", type=int, metavar="N", help="CPU threads per training (default: 1)."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


results = click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True, metavar="DIR",
    help="Folder that contains the results directories.",
)  # fmt: skip


data_dir = click.option(
    "--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Folder with data sets in torchvision's layout."
)


no_download = click.option("--no-download", is_flag=True, help="Do not download missing data sets.")


device = click.option(
    "--device", default="cpu", show_default=True, metavar="DEVICE", help="Device to run on: auto, cpu, cuda, …"
)


workers = click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Worker processes (default: one per core)."
)


execution = click.option(
    "--execution", default="auto", metavar="NAME",
    shell_complete=completion.complete_from("planning.execution:EXECUTIONS"),
    help="How trainings are executed: auto (default), eager, population (many at once, where the optimizer allows "
    "it), compile, or cuda_graph (on a CUDA device).",
)  # fmt: skip


engine = click.option(
    "--engine", default="processes", metavar="NAME",
    help="How cells are distributed: processes (default), serial (one after another in this process) or dask.",
    shell_complete=completion.complete_from("runner.engines:ENGINES"),
)  # fmt: skip


rank_by = click.option(
    "--rank-by", default="test_metric", metavar="METRIC",
    help="Metric by which optimizers are compared (default: test_metric; see `optbench list metrics`).",
    shell_complete=completion.complete_from("metrics:METRICS"),
)  # fmt: skip


against = click.option(
    "--against", metavar="NAME", shell_complete=completion.complete_stored_results,
    help="Results to compare with, on their problems and budgets: `reference`, `recipe`, or a results directory.",
)  # fmt: skip


def choices(selection: dict[str, Any]) -> dict[str, Any]:
    """Returns the given options of `selection` as keyword arguments of `optbench.run` and `optbench.plan`."""
    return {key: value for key, value in selection.items() if value is not None and value != ()}
