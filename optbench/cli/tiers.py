"""The verb `optbench tiers SMALL LARGE`."""

from __future__ import annotations

from pathlib import Path

import click

from optbench.cli import completion, options


@click.command(short_help="Show how far a small tier predicts a large one.")
@click.argument("small", shell_complete=completion.complete_stored_results)
@click.argument("large", shell_complete=completion.complete_stored_results)
@options.results
@click.option(
    "--reference",
    metavar="OPTIMIZER",
    help="Optimizer of the verdicts (default: adam, adamw, sgd, or the first one that was run).",
)
@options.rank_by
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Folder to which tables are written.")
def tiers(small: str, large: str, results: Path, reference: str | None, rank_by: str, output: Path | None) -> None:
    """Show how far the results of small problems predict those of large ones.

    SMALL and LARGE are names of results directories, their paths, `reference` or `recipe`, with the same optimizers.
    Problems belong together if they have the same name without parameters, such as mnist_cnn on digits and on MNIST.
    """
    from optbench import api
    from optbench.baselines.located import locate

    places = locate(small, results), locate(large, results)
    found = api.tiers(*places, reference=reference, metric=rank_by, output=output)
    click.echo(found)
    if output is not None:
        click.echo(f"\ntables   {output}")
