"""Schemas of results directories: which are read, and how a directory of an earlier one becomes one of the present.

1: plans that grew in place: the first have no sampler, threads, evaluations and version of the problem, which are in
   `cell.json` of what was begun; records have no checksum.
2: plans that have all of that; records carry a checksum (those of a migrated directory where they are written anew).

A directory is migrated in memory when it is read, and on the disk when a run goes on in it. What a cell computed is
never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optbench.errors import UserError

SCHEMA_VERSION = 2
READABLE = (1, 2)

#: What is known of a cell by its id: the content of its `cell.json`, or nothing.
Identities = Callable[[str], Mapping[str, Any] | None]


def check_schema(folder: object, found: Mapping[str, Any]) -> int:
    """The schema that `format.json` names. Raises UserError for one that this version doesn't know."""
    schema = found["schema"]
    if type(schema) is int and schema in READABLE:
        return schema
    writer = f", written by optbench {found['optbench']}" if isinstance(found.get("optbench"), str) else ""
    raise UserError(
        f"{folder} has schema version {schema!r}{writer} (accepted: {', '.join(map(str, READABLE))}); choose another "
        "--name, or --fresh to start over"
    )


def migrated_plan(plan: Mapping[str, Any], schema: int, identities: Identities) -> dict[str, Any]:
    """A plan of an earlier schema as the present one has it."""
    if schema == SCHEMA_VERSION:
        return dict(plan)
    cells = [_from_1(cell, identities(cell["cell_id"]) or {}) for cell in plan["cells"]]
    return {"seeds": plan["seeds"], "studies": plan.get("studies", 1), "cells": cells}


def _from_1(cell: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, Any]:
    problem, tuning = identity.get("problem") or {}, identity.get("tuning") or {}
    version = " ".join(str(problem[name])[:12] for name in ("version", "source") if name in problem)
    known = {
        "execution": "eager",  # before there was a choice
        "sampler": tuning.get("sampler") if cell["tuned"] else "",
        "problem_version": version or None,
        "threads": identity.get("threads"),
        "evaluations": identity.get("evaluations"),
    }
    return {**known, **cell}
