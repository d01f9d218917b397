"""Which frozen cells are out of date: this optbench would compute others under the same names."""

from __future__ import annotations

from optbench.baselines.fair import differences
from optbench.config.load import parse_config
from optbench.config.named_code import without_named_code
from optbench.errors import UserError
from optbench.planning.matrix import make_plan
from optbench.results.frozen import Frozen


def stale_cells(frozen: Frozen) -> dict[str, str]:
    """By id of each cell that is out of date why it is, such as `problem version is 3, and was 2`.

    The plan that the frozen configuration gives today is made and compared, which takes no training. Code that it
    names isn't run: of what that computed nothing is said.
    """
    config, code = without_named_code(parse_config(frozen.about["config"], str(frozen.folder)))
    if not config.problems or not config.optimizers:
        return {}
    # The devices by name: what `auto` means differs between machines, and makes nothing older.
    devices = tuple(dict.fromkeys(cell["device"] for cell in frozen.plan["cells"]))
    try:
        today = make_plan(config.model_copy(update={"devices": devices}), elsewhere=True)
    except UserError as error:  # a problem or optimizer that is no longer there
        return {cell["cell_id"]: str(error) for cell in frozen.plan["cells"]}
    known = {cell.id for cell in today.cells}
    by_key = {cell.key: cell.identity for cell in today.cells}
    found = {}
    for cell in frozen.plan["cells"]:
        if cell["cell_id"] in known:
            continue
        key = tuple(cell[name] for name in ("problem", "optimizer", "batch_size", "device", "schedule"))
        changes = [
            f"{path} is {now}, and was {then}"
            for path, now, then in differences(by_key.get(key, {}), frozen.identities[cell["cell_id"]])
        ]
        if key in by_key or not code:
            found[cell["cell_id"]] = "; ".join(changes[:2]) if key in by_key else "no such cell any more"
    return found
