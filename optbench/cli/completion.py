"""Shell completion: the verb `optbench completion SHELL`, and the completion of names in arguments and options.

The scripts are click's. They complete the command `optbench`, but not `python -m optbench`, which shells complete as
a Python command.
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
    """Bash passes `--option=value` as three words, and click would mistake the `=` for the value."""

    def get_completion_args(self) -> tuple[list[str], str]:
        arguments, incomplete = super().get_completion_args()
        return [word for word in arguments if word != "="], incomplete.removeprefix("=")


class _WholeWords(ShellComplete):
    """Zsh and fish expect the whole word, but click returns only the part after `--option=`."""

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


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a shell's completion script.

    To enable completion in bash, add this line to ~/.bashrc: eval "$(optbench completion bash)"
    """
    script = get_completion_class(shell)
    assert script is not None, shell
    cli = click.get_current_context().find_root().command
    # Not `source()`, which in bash starts a shell only to check its version.
    completer = script(cli, {}, "optbench", "_OPTBENCH_COMPLETE")
    click.echo(completer.source_template % completer.source_vars())


def complete_presets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of a preset."""
    from optbench.config.presets import PRESETS

    return _starting(incomplete, PRESETS)


def complete_problems(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of a problem (built in or from an entry point), or a file if no name matches."""
    from optbench.problem.registry import problem_names

    return _starting(incomplete, problem_names()) or _file(incomplete)


def complete_optimizers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of an optimizer (built in or from an entry point), or a file if no name matches."""
    from optbench.optimizers.registry import optimizer_names

    return _starting(incomplete, optimizer_names()) or _file(incomplete)


def complete_targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a target of `check`: an optimizer, a problem, or a file if no name matches."""
    items = [*complete_problems(ctx, parameter, incomplete), *complete_optimizers(ctx, parameter, incomplete)]
    return [item for item in items if item.type == "plain"] or _file(incomplete)


def complete_experiments(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of an experiment."""
    from optbench.experiments.claims import CLAIMS

    return _starting(incomplete, CLAIMS)


def complete_folders(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a results directory in the folder `--results`, or any folder if no name matches."""
    results = Path(ctx.params.get("results") or "results")
    names = sorted(file.parent.name for file in results.glob("*/format.json"))
    return _starting(incomplete, names) or [CompletionItem(incomplete, type="dir")]


def complete_stored_results(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a results directory, or a shipped reference."""
    from optbench.baselines.located import SHIPPED

    folders = complete_folders(ctx, parameter, incomplete)
    plain = [item for item in folders if item.type == "plain"]
    return [*plain, *_starting(incomplete, SHIPPED)] or folders


def complete_lists(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the argument of `list`."""
    from optbench.cli.text import WHAT

    return _starting(incomplete, WHAT)


def complete_from(target: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Returns a completer for the names in a constant of optbench, which is imported on first use.

    Args:
        target: The constant, as `module:CONSTANT` below the package `optbench`.
    """

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        module, _, constant = target.partition(":")
        return _starting(incomplete, getattr(import_module(f"optbench.{module}"), constant))

    return complete


def _starting(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _file(incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]
