"""Finds frozen cells that are out of date: this version of optbench would compute different cells for them."""

from __future__ import annotations

from optbench.config.load import parse_config
from optbench.config.named_code import without_named_code
from optbench.errors import UserError
from optbench.planning.matrix import make_plan
from optbench.results.frozen import FrozenResults
from optbench.results.protocol import list_differences


def find_stale_cells(frozen: FrozenResults) -> dict[str, str]:
    """Returns the reason for each cell that is out of date, such as `problem version is 3, and was 2`, by cell id.

    The frozen configuration is planned again and compared, without training. Code that it names is not run, and cells
    of such code are not judged.
    """
    config, code = without_named_code(parse_config(frozen.about["config"], str(frozen.folder)))
    if not config.problems or not config.optimizers:
        return {}
    # Devices by name, because `auto` differs between machines.
    devices = tuple(dict.fromkeys(cell["device"] for cell in frozen.plan["cells"]))
    try:
        today = make_plan(config.model_copy(update={"devices": devices}), elsewhere=True)
    except UserError as error:  # a problem or optimizer no longer exists
        return {cell["cell_id"]: str(error) for cell in frozen.plan["cells"]}
    known = {cell.id for cell in today.cells}
    by_key = {cell.key: cell.identity for cell in today.cells}
    stale = {}
    for cell in frozen.plan["cells"]:
        if cell["cell_id"] in known:
            continue
        key = tuple(cell[name] for name in ("problem", "optimizer", "batch_size", "device", "schedule"))
        changes = [
            f"{path} is {now}, and was {then}"
            for path, now, then in list_differences(by_key.get(key, {}), frozen.identities[cell["cell_id"]])
        ]
        if key in by_key or not code:
            stale[cell["cell_id"]] = "; ".join(changes[:2]) if key in by_key else "the cell no longer exists"
    return stale
