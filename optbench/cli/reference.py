"""The verbs `optbench reference make` and `optbench reference show`."""

from __future__ import annotations

from pathlib import Path

import click

from optbench.cli import options
from optbench.errors import UserError

#: Enough seeds for 20 comparisons: the smallest p of the paired sign-flip test is 2/2¹⁰, and 20 · 2/2¹⁰ < 0.05 (Holm).
SEEDS = 10


@click.group(short_help="Show or make the reference results.")
def reference() -> None:
    """Show or make the results that ship with optbench (for `optbench run --against reference|recipe`)."""


@reference.command(short_help="Compute and freeze reference results.")
@click.option("--preset", default="quick", show_default=True, metavar="NAME", help="Preset to run.")
@options.results
@click.option("--name", metavar="NAME", help="Name of the results directory (default: the preset's name).")
@options.workers
@click.option(
    "--seeds", type=click.IntRange(min=1), default=SEEDS, show_default=True, metavar="N",
    help="Number of final runs per cell, each with its own seed.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder for the frozen results (default: replace the installed ones of this preset).",
)  # fmt: skip
def make(preset: str, results: Path, name: str | None, workers: int | None, seeds: int, output: Path | None) -> int:
    """Run a preset, or resume it, and freeze its results as its reference, or in another folder with --output."""
    from optbench import api
    from optbench.baselines.freeze import freeze
    from optbench.baselines.located import PRESETS, reference_folder
    from optbench.runner.progress import for_stderr

    names = {of: name for name, of in PRESETS.items()}
    if output is None and preset not in names:
        accepted = f"{', '.join(names)}, or --output DIR"
        raise UserError(f"no results of the preset {preset} ship with optbench (accepted: {accepted})")
    folder = output or reference_folder(names[preset])
    done = api.run(
        preset=preset, seeds=seeds, name=name or preset, results=results, workers=workers, outputs=False,
        progress=for_stderr(),
    )  # fmt: skip
    frozen = freeze(done, folder)
    size = sum(path.stat().st_size for path in frozen.folder.iterdir() if path.is_file())
    click.echo(f"{len(frozen.plan['cells'])} cells, {size / 1e6:.2f} MB, version {frozen.about['version']}")
    click.echo(f"reference  {frozen.folder}")
    return 0


@reference.command(short_help="Show the reference and cells that are out of date.")
@click.argument("name", default="reference", metavar="[NAME]")
def show(name: str) -> int:
    """Show the contents of a reference, the machine that computed it, and cells that are out of date.

    NAME is `reference` (the default), `recipe`, or a folder of frozen results. The exit code is 1 if a cell is out of
    date, otherwise 0.
    """
    from optbench.baselines.located import SHIPPED, reference_folder
    from optbench.baselines.stale import find_stale_cells
    from optbench.formatting import align_columns
    from optbench.results.frozen import FrozenResults
    from optbench.results.machines import describe_machine

    frozen = FrozenResults(reference_folder(name) if name in SHIPPED else Path(name))
    stale = find_stale_cells(frozen)
    rows = [("problem", "batch", "device", "optimizers", "of problem version", "state")]
    groups: dict[tuple[str, str, str, str], list[dict[str, str]]] = {}
    for cell in frozen.plan["cells"]:
        key = (cell["problem"], str(cell["batch_size"]), cell["device"], cell["problem_version"])
        groups.setdefault(key, []).append(cell)
    for (problem, batch, device, of_version), cells in groups.items():
        old = [cell for cell in cells if cell["cell_id"] in stale]
        state = f"{len(old)} out of date: {stale[old[0]['cell_id']]}" if old else "up to date"
        rows.append((problem, batch, device, str(len(cells)), of_version, state))
    about = frozen.about
    click.echo(f"{frozen.folder}: version {about['version']}, made {about['made']} by optbench {about['optbench']}")
    for name, environment in frozen.environments.items():
        click.echo(f"environment {name}: {describe_machine(environment, name)}")
    optimizers = list(dict.fromkeys(cell["optimizer"] for cell in frozen.plan["cells"]))
    click.echo(f"{len(optimizers)} optimizers: {', '.join(optimizers)}; {len(frozen.plan['seeds'])} seeds\n")
    click.echo(align_columns(rows, right=(1, 3, 4)))
    return 1 if stale else 0
