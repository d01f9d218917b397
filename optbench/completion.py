"""Completion for shells: `optbench completion SHELL`, and what can be named where a name is expected.

The scripts are click's; they complete the command `optbench`, not `python -m optbench`, which shells take for Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell: eval "$(optbench completion bash)" in ~/.bashrc."""
    from optbench.cli import cli

    script = get_completion_class(shell)
    assert script is not None, shell
    # Not `source()`, which in bash starts a shell only to ask for its version.
    made = script(cli, {}, "optbench", "_OPTBENCH_COMPLETE")
    click.echo(made.source_template % made.source_vars())


def presets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of presets."""
    from optbench.config import PRESETS

    return _starting(incomplete, PRESETS)


def problems(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of problems, built in and by entry point, or files where none begins like that."""
    from optbench.registry import names

    return _starting(incomplete, names("problems")) or _file(incomplete)


def optimizers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of optimizers, built in and by entry point, or files where none begins like that."""
    from optbench.registry import names

    return _starting(incomplete, names("optimizers")) or _file(incomplete)


def targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What can be checked: optimizers, problems, files."""
    found = [*problems(ctx, parameter, incomplete), *optimizers(ctx, parameter, incomplete)]
    return [item for item in found if item.type == "plain"] or _file(incomplete)


def experiments(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of experiments."""
    from optbench.experiments.registry import CLAIMS

    return _starting(incomplete, CLAIMS)


def folders(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Results directories below `--results`, or folders where none begins like that."""
    results = Path(ctx.params.get("results") or "results")
    there = sorted(file.parent.name for file in results.glob("*/format.json"))
    return _starting(incomplete, there) or [CompletionItem(incomplete, type="dir")]


def _starting(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _file(incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]
