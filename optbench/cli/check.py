"""`optbench check TARGET…`."""

from __future__ import annotations

from pathlib import Path

import click

from optbench.cli import completion


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET…", shell_complete=completion.targets)
@click.option("--config", "file", type=click.Path(path_type=Path), help="TOML file that describes optimizers.")
@click.option("--only", multiple=True, metavar="CHECK", help="Some of the checks; repeatable.")
@click.option("--device", default="cpu", show_default=True, metavar="DEVICE", help="auto, cpu, cuda, …")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Data sets in torchvision's layout.")
@click.option("--no-download", is_flag=True, help="Use only data that is there.")
def check(
    targets: tuple[str, ...],
    file: Path | None,
    only: tuple[str, ...],
    device: str,
    data_dir: Path | None,
    no_download: bool,
) -> int:
    """Check whether an optimizer or a problem does what a benchmark relies on: FILE.py, FILE.py:NAME, or NAME.

    Every finding comes with its reason and the fix. Ends with 1 where something failed.
    """
    from optbench import api
    from optbench.conformance.suite import defined_in

    failed = checked = 0
    for target in targets:
        for one in defined_in(target) if target.endswith(".py") else [target]:
            click.echo(f"{one}" if not checked else f"\n{one}")
            findings = []
            for finding in api.iterate_findings(
                one, config=file, device=device, data_dir=data_dir, download=not no_download, only=only
            ):
                findings.append(finding)
                click.echo(f"  {finding}")
            wrong = [finding.check for finding in findings if finding.outcome == "failed"]
            verdict = (
                f"refused: {len(wrong)} of {len(findings)} checks failed: {', '.join(wrong)}" if wrong else "conforms"
            )
            click.echo(f"  {verdict}")
            failed, checked = failed + bool(wrong), checked + 1
    return 1 if failed else 0
