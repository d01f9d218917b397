"""What a comparison with stored results has to share with them, as settings that nobody has to repeat."""

from __future__ import annotations

from pathlib import Path

from optbench.config.layers import Base
from optbench.results.directory import ABOUT
from optbench.results.frozen import Frozen, opened


def protocol_of(folder: Path) -> Base:
    """Problems, devices, seeds and budgets of stored results, without their optimizers: for `load_config`.

    Raises UserError where there are no stored results.
    """
    stored = opened(folder)
    if isinstance(stored, Frozen):
        file = folder / ABOUT
        config = stored.config()
    else:
        file, config = folder / "config.toml", stored.directory.config()
    settings = config.model_dump(mode="json", exclude_none=True, by_alias=True, exclude={"optimizers", "optimizer"})
    # Batch sizes are those of the problems that are there, not of others that are named beside them.
    sizes = settings.pop("batch_sizes")
    entries = [{"select": item} if isinstance(item, str) else item for item in settings["problems"]]
    settings["problems"] = [{**entry, "batch_sizes": entry.get("batch_sizes") or sizes} for entry in entries]
    # By name: what `auto` means differs between machines. Seeds and devices are those of what was computed.
    cells = stored.plan["cells"]
    devices = list(dict.fromkeys(str(cell["device"]) for cell in cells)) or settings["devices"]
    return Base({**settings, "devices": devices, "seeds": len(stored.plan["seeds"])}, file)
