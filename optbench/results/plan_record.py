"""Checks plan.json before it is used.

Results are passed around. A plan that somebody edited must lead neither to a traceback nor to a path outside its
folder.
"""

from __future__ import annotations

from typing import Any

_NUMBER = (int, float)
#: Fields that every cell has had since the first version, with their types.
_CELL: dict[str, tuple[type, ...]] = {
    "cell_id": (str,),
    "problem": (str,),
    "optimizer": (str,),
    "batch_size": (int,),
    "device": (str,),
    "schedule": (str,),
    "tuned": (bool,),
    "arguments": (dict,),
    "defaults": (dict,),
    "lr_range": (list, type(None)),
    "metric_name": (str,),
    "metric_higher_is_better": (bool,),
    "target": (*_NUMBER, type(None)),
}


def describe_fault(plan: Any) -> str:
    """Describes what is wrong with a plan in a few words; returns "" for a valid plan."""
    if not isinstance(plan, dict) or not {"seeds", "cells"} <= plan.keys():
        return "it lacks seeds or cells"
    seeds, cells = plan["seeds"], plan["cells"]
    if not (isinstance(seeds, list) and all(map(_is_whole, seeds)) and _is_whole(plan.get("studies", 1))):
        return "its seeds or studies are not integers"
    if not isinstance(cells, list):
        return "its cells are not a list"
    for number, cell in enumerate(cells):
        if reason := _describe_cell_fault(cell):
            return f"cell {number} {reason}"
    return ""


def _describe_cell_fault(cell: Any) -> str:
    if not isinstance(cell, dict):
        return "is not a table"
    for name, kinds in _CELL.items():
        if name not in cell:
            return f"lacks {name}"
        if not isinstance(cell[name], kinds) or (isinstance(cell[name], bool) and bool not in kinds):
            return f"has an invalid {name}"
    rate = cell["lr_range"]
    if rate is not None and not (len(rate) == 2 and all(isinstance(bound, _NUMBER) for bound in rate)):
        return "has an invalid lr_range"
    # The id becomes the name of a folder in `cells` and must not lead elsewhere.
    return "" if cell["cell_id"].isalnum() and cell["cell_id"].isascii() else "has an invalid cell_id"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
