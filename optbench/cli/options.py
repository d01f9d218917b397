"""Options that several verbs of the command line share, and the configuration that those of a selection make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from optbench.cli import completion


def selection(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose what is run; shared by `run` and `plan`."""
    options = [
        click.option(
            "--preset", metavar="NAME", help="quick (default), standard or full.", shell_complete=completion.presets
        ),
        click.option("--config", "file", type=click.Path(path_type=Path), help="TOML file; overrides the preset."),
        click.option(
            "--problem",
            "problems",
            multiple=True,
            metavar="SEL",
            help="name[param=value,…]; repeatable.",
            shell_complete=completion.problems,
        ),
        click.option(
            "--optimizer",
            "optimizers",
            multiple=True,
            metavar="SEL",
            help="name[param=value,…]; repeatable.",
            shell_complete=completion.optimizers,
        ),
        click.option("--batch-size", "batch_sizes", multiple=True, type=int, metavar="N", help="Repeatable."),
        click.option("--device", "devices", multiple=True, metavar="DEVICE", help="auto, cpu, cuda, …; repeatable."),
        click.option(
            "--schedule",
            "schedules",
            multiple=True,
            metavar="SEL",
            help="constant, linear, cosine[warmup=…], step[at=…,factor=…]; repeatable.",
        ),
        click.option("--seeds", type=int, metavar="N", help="Final runs a cell."),
        click.option("--run-budget", metavar="AMOUNT", help="2epochs, 20000examples or 30seconds."),
        click.option("--tuning-worth", type=float, metavar="K", help="Tuning budget in run budgets."),
        click.option("--studies", "tuning_studies", type=int, metavar="N", help="Tunings a cell; the first decides."),
        click.option(
            "--trials-per-round",
            "--trials-a-round",
            "tuning_round",
            type=int,
            metavar="N",
            help="Trials that are proposed and trained together.",
        ),
        click.option(
            "--sampler",
            "tuning_sampler",
            metavar="NAME",
            help="tpe (default), random, quasi-random, gp or grid.",
            shell_complete=completion.among("config.schema:SAMPLERS"),
        ),
        click.option(
            "--pruner",
            "tuning_pruner",
            metavar="NAME",
            help="none (default), median or successive-halving.",
            shell_complete=completion.among("config.schema:PRUNERS"),
        ),
        click.option("--threads", type=int, metavar="N", help="CPU threads of a training (default 1)."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


results = click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True, metavar="DIR",
    help="Where results directories lie.",
)  # fmt: skip


execution = click.option(
    "--execution", default="auto", metavar="NAME", shell_complete=completion.among("planning.execution:EXECUTIONS"),
    help="How trainings are executed: auto (default), eager, population where the optimizer allows it, compile, or "
    "cuda_graph on a CUDA device.",
)  # fmt: skip


engine = click.option(
    "--engine", default="processes", metavar="NAME", help="processes (default), serial or dask.",
    shell_complete=completion.among("runner.engines:ENGINES"),
)  # fmt: skip


rank_by = click.option(
    "--rank-by", default="test_metric", metavar="METRIC", help="What optimizers are compared by (`list metrics`).",
    shell_complete=completion.among("metrics:METRICS"),
)  # fmt: skip


against = click.option(
    "--against", metavar="NAME", shell_complete=completion.stored,
    help="Stored results to compare with, on their problems and budgets: reference, or a results directory.",
)  # fmt: skip


def choices(selection: dict[str, Any]) -> dict[str, Any]:
    """The options of `selection`, as click gives them, as `optbench.run` and `optbench.plan` take them."""
    return {key: value for key, value in selection.items() if value is not None and value != ()}
