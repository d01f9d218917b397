"""`optbench check TARGET…`."""

from __future__ import annotations

from pathlib import Path

import click

from optbench import completion


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
    from optbench.config import load_config
    from optbench.conformance.suite import check as findings_of
    from optbench.conformance.suite import defined_in
    from optbench.device import resolve
    from optbench.locations import default_data_dir
    from optbench.problem import DataSource

    tables = load_config(file=file).model_dump(exclude_none=True, by_alias=True)["optimizer"] if file else {}
    source = DataSource((data_dir or default_data_dir()).expanduser(), not no_download)
    found_device, failed, checked = resolve(device), 0, 0
    for target in targets:
        for one in defined_in(target) if target.endswith(".py") else [target]:
            click.echo(f"{one}" if not checked else f"\n{one}")
            findings = []
            for finding in findings_of(one, device=found_device, tables=tables, source=source, only=only):
                findings.append(finding)
                click.echo(f"  {finding}")
            wrong = [finding.check for finding in findings if finding.outcome == "failed"]
            verdict = (
                f"refused: {len(wrong)} of {len(findings)} checks failed: {', '.join(wrong)}" if wrong else "conforms"
            )
            click.echo(f"  {verdict}")
            failed, checked = failed + bool(wrong), checked + 1
    return 1 if failed else 0
