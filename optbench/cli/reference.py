"""`optbench reference make` and `optbench reference show`."""

from __future__ import annotations

from pathlib import Path

import click

#: So many that twenty comparisons with paired seeds can be decided: 2 / 2^10, times twenty, is below 0.05.
SEEDS = 10


@click.group()
def reference() -> None:
    """The reference results that come with optbench, for `optbench run --against reference`."""


@reference.command()
@click.option("--preset", default="quick", show_default=True, metavar="NAME", help="What is run.")
@click.option(
    "--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True, metavar="DIR",
    help="Where the results directory lies that is filled, or completed.",
)  # fmt: skip
@click.option("--name", metavar="NAME", help="Name of that results directory (default: that of the preset).")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Worker processes (default: one a core).")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=SEEDS, show_default=True, metavar="N", help="Final runs a cell."
)
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Where the frozen results go.")
def make(preset: str, results: Path, name: str | None, workers: int | None, seeds: int, output: Path | None) -> int:
    """Run a preset, or complete it, and freeze its results: the reference, or with --output others like it."""
    from optbench import api
    from optbench.baselines.freeze import freeze
    from optbench.baselines.located import reference_folder
    from optbench.runner.progress import for_stderr

    done = api.run(
        preset=preset, seeds=seeds, name=name or preset, results=results, workers=workers, outputs=False,
        progress=for_stderr(),
    )  # fmt: skip
    frozen = freeze(done, output or reference_folder())
    size = sum(path.stat().st_size for path in frozen.folder.iterdir() if path.is_file())
    click.echo(f"{len(frozen.plan['cells'])} cells, {size / 1e6:.2f} MB, version {frozen.about['version']}")
    click.echo(f"reference  {frozen.folder}")
    return 0


@reference.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
def show(folder: Path | None) -> int:
    """Say what the reference holds, who made it on what, and what of it is out of date (then ends with 1)."""
    from optbench.baselines.located import reference_folder
    from optbench.baselines.stale import stale_cells
    from optbench.formatting import table
    from optbench.results.frozen import Frozen
    from optbench.results.join import machine

    frozen = Frozen(folder or reference_folder())
    stale = stale_cells(frozen)
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
        click.echo(f"environment {name}: {machine(environment, name)}")
    optimizers = list(dict.fromkeys(cell["optimizer"] for cell in frozen.plan["cells"]))
    click.echo(f"{len(optimizers)} optimizers: {', '.join(optimizers)}; {len(frozen.plan['seeds'])} seeds\n")
    click.echo(table(rows, right=(1, 3, 4)))
    return 1 if stale else 0
