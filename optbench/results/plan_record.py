"""The plan as a results directory holds it: checked before anything is made of it.

Results are handed around; a plan that somebody wrote by hand must be no traceback, and no path out of its folder.
"""

from __future__ import annotations

from typing import Any

_NUMBER = (int, float)
#: What every cell has had since the first version, and of which kind it is.
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


def fault(plan: Any) -> str:
    """What is wrong with a plan, in a few words; empty where nothing is."""
    if not isinstance(plan, dict) or not {"seeds", "cells"} <= plan.keys():
        return "it has no seeds and cells"
    seeds, cells = plan["seeds"], plan["cells"]
    if not (isinstance(seeds, list) and all(map(_whole, seeds)) and _whole(plan.get("studies", 1))):
        return "its seeds are no whole numbers"
    if not isinstance(cells, list):
        return "its cells are no list"
    for number, cell in enumerate(cells):
        if reason := _fault_of_cell(cell):
            return f"cell {number} {reason}"
    return ""


def _fault_of_cell(cell: Any) -> str:
    if not isinstance(cell, dict):
        return "is no table"
    for name, kinds in _CELL.items():
        if name not in cell:
            return f"has no {name}"
        if not isinstance(cell[name], kinds) or (isinstance(cell[name], bool) and bool not in kinds):
            return f"has an improper {name}"
    rate = cell["lr_range"]
    if rate is not None and not (len(rate) == 2 and all(isinstance(bound, _NUMBER) for bound in rate)):
        return "has an improper lr_range"
    # The name of a folder below `cells`, and of no other one.
    return "" if cell["cell_id"].isalnum() and cell["cell_id"].isascii() else "has an improper cell_id"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
