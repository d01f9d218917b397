"""Completion for shells: `optbench completion SHELL`, and what can be named where a name is expected.

The scripts are click's; they complete the command `optbench`, not `python -m optbench`, which shells take for Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
)

SHELLS = ("bash", "zsh", "fish")


@add_completion_class
class _Bash(BashComplete):
    """Bash hands `--option=value` over in three words, of which click would take the `=` for the value."""

    def get_completion_args(self) -> tuple[list[str], str]:
        arguments, incomplete = super().get_completion_args()
        return [word for word in arguments if word != "="], incomplete.removeprefix("=")


class _WholeWords(ShellComplete):
    """Zsh and fish expect the whole word, where click offers what follows `--option=`."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        option, equals, _ = incomplete.partition("=")
        before = f"{option}=" if equals and option.startswith("--") else ""
        return [
            CompletionItem(before + item.value, item.type, item.help) if item.type == "plain" else item
            for item in super().get_completions(args, incomplete)
        ]


@add_completion_class
class _Zsh(_WholeWords, ZshComplete): ...


@add_completion_class
class _Fish(_WholeWords, FishComplete): ...


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell: eval "$(optbench completion bash)" in ~/.bashrc."""
    script = get_completion_class(shell)
    assert script is not None, shell
    cli = click.get_current_context().find_root().command
    # Not `source()`, which in bash starts a shell only to ask for its version.
    made = script(cli, {}, "optbench", "_OPTBENCH_COMPLETE")
    click.echo(made.source_template % made.source_vars())


def presets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of presets."""
    from optbench.config.presets import PRESETS

    return _starting(incomplete, PRESETS)


def problems(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of problems, built in and by entry point, or files where none begins like that."""
    from optbench.problem.registry import problem_names

    return _starting(incomplete, problem_names()) or _file(incomplete)


def optimizers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of optimizers, built in and by entry point, or files where none begins like that."""
    from optbench.optimizers.registry import optimizer_names

    return _starting(incomplete, optimizer_names()) or _file(incomplete)


def targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What can be checked: optimizers, problems, files."""
    found = [*problems(ctx, parameter, incomplete), *optimizers(ctx, parameter, incomplete)]
    return [item for item in found if item.type == "plain"] or _file(incomplete)


def experiments(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of experiments."""
    from optbench.experiments.claims import CLAIMS

    return _starting(incomplete, CLAIMS)


def folders(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Results directories below `--results`, or folders where none begins like that."""
    results = Path(ctx.params.get("results") or "results")
    there = sorted(file.parent.name for file in results.glob("*/format.json"))
    return _starting(incomplete, there) or [CompletionItem(incomplete, type="dir")]


def stored(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Results directories, and the reference that comes with optbench."""
    from optbench.baselines.located import REFERENCE

    found = folders(ctx, parameter, incomplete)
    plain = [item for item in found if item.type == "plain"]
    return [*plain, *_starting(incomplete, [REFERENCE])] or found


def listed(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What `list` lists."""
    from optbench.cli.text import WHAT

    return _starting(incomplete, WHAT)


def among(place: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Completes the names that `module:CONSTANT` of optbench lists, which is imported only then."""

    def found(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        module, _, constant = place.partition(":")
        return _starting(incomplete, getattr(import_module(f"optbench.{module}"), constant))

    return found


def _starting(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _file(incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]
