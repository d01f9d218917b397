"""The verb `optbench check TARGET…`."""

from __future__ import annotations

from pathlib import Path

import click

from optbench.cli import completion, options


@click.command(short_help="Check an optimizer or a problem for mistakes.")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET…", shell_complete=completion.complete_targets)
@click.option(
    "--config", "file", type=click.Path(path_type=Path), metavar="FILE", help="TOML file that defines optimizers."
)
@click.option("--only", multiple=True, metavar="CHECK", help="Run only this check; repeatable (default: all checks).")
@options.device
@options.data_dir
@options.no_download
def check(
    targets: tuple[str, ...],
    file: Path | None,
    only: tuple[str, ...],
    device: str,
    data_dir: Path | None,
    no_download: bool,
) -> int:
    """Check an optimizer or a problem for anything that would make its results unreliable.

    TARGET is the name of an optimizer or a problem, FILE.py:NAME, or FILE.py for all that are defined in the file.
    Every failed check prints the reason and a fix. The exit code is 1 if a check failed, otherwise 0.
    """
    from optbench import api
    from optbench.config.own_files import list_definitions

    failed = checked = 0
    for target in targets:
        for one in list_definitions(target) if target.endswith(".py") else [target]:
            click.echo(f"{one}" if not checked else f"\n{one}")
            findings = []
            for finding in api.iterate_findings(
                one, config=file, device=device, data_dir=data_dir, download=not no_download, only=only
            ):
                findings.append(finding)
                click.echo(f"  {finding}")
            wrong = [finding.check for finding in findings if finding.outcome == "failed"]
            verdict = (
                f"{len(wrong)} of {len(findings)} checks failed: {', '.join(wrong)}" if wrong else "all checks passed"
            )
            click.echo(f"  {verdict}")
            failed, checked = failed + bool(wrong), checked + 1
    return 1 if failed else 0
