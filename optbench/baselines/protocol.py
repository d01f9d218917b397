"""What a comparison with stored results has to share with them, as settings that nobody has to repeat."""

from __future__ import annotations

from pathlib import Path

from optbench.results.directory import ABOUT
from optbench.results.frozen import Frozen, opened
from optbench.settings import Base


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
    # By name: what `auto` means differs between machines. Seeds and devices are those of what was computed.
    cells = stored.plan["cells"]
    devices = list(dict.fromkeys(str(cell["device"]) for cell in cells)) or settings["devices"]
    return Base({**settings, "devices": devices, "seeds": len(stored.plan["seeds"])}, file)
