"""Schema versions of results directories, and the conversion of earlier ones to the present one.

1: plans of growing content: the first ones lack sampler, threads, evaluations and problem version, which are in the
   `cell.json` of cells that have begun; records have no checksum.
2: plans have all of these; records have a checksum (in a migrated directory, those written after the migration).

A directory is migrated in memory when it is read, and on the disk when a run continues in it. What a cell computed
never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optbench.errors import UserError

SCHEMA_VERSION = 2
READABLE = (1, 2)

#: Maps a cell id to the content of its `cell.json`, or None if there is none.
Identities = Callable[[str], Mapping[str, Any] | None]


def check_schema(folder: object, content: Mapping[str, Any]) -> int:
    """Returns the schema version that `format.json` declares.

    Args:
        folder: The results directory, for the message.
        content: The content of format.json.

    Raises:
        UserError: This version of optbench cannot read the schema.
    """
    schema = content["schema"]
    if type(schema) is int and schema in READABLE:
        return schema
    writer = f", written by optbench {content['optbench']}" if isinstance(content.get("optbench"), str) else ""
    raise UserError(
        f"{folder} has unknown schema version {schema!r}{writer} (accepted: {', '.join(map(str, READABLE))}); choose "
        "another --name, or start over with --fresh"
    )


def migrate_plan(plan: Mapping[str, Any], schema: int, identities: Identities) -> dict[str, Any]:
    """Returns a plan in the present schema.

    Args:
        plan: The content of plan.json.
        schema: The schema version of the directory.
        identities: Returns the content of a cell's `cell.json`, which has fields that older plans lack.
    """
    if schema == SCHEMA_VERSION:
        return dict(plan)
    cells = [_migrate_from_1(cell, identities(cell["cell_id"]) or {}) for cell in plan["cells"]]
    return {"seeds": plan["seeds"], "studies": plan.get("studies", 1), "cells": cells}


def _migrate_from_1(cell: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, Any]:
    problem, tuning = identity.get("problem") or {}, identity.get("tuning") or {}
    version = " ".join(str(problem[name])[:12] for name in ("version", "source") if name in problem)
    known = {
        "execution": "eager",  # the only execution of older versions
        "sampler": tuning.get("sampler") if cell["tuned"] else "",
        "problem_version": version or None,
        "threads": identity.get("threads"),
        "evaluations": identity.get("evaluations"),
    }
    return {**known, **cell}
