"""The settings that a comparison must share with stored results, so that users need not repeat them."""

from __future__ import annotations

from pathlib import Path

from optbench.config.layers import BaseSettings
from optbench.results.directory import ABOUT
from optbench.results.frozen import FrozenResults, open_results


def load_protocol(folder: Path) -> BaseSettings:
    """Returns problems, devices, seeds and budgets of stored results, without their optimizers, for `load_config`.

    Raises:
        UserError: The folder has no stored results.
    """
    stored = open_results(folder)
    if isinstance(stored, FrozenResults):
        file = folder / ABOUT
        config = stored.config()
    else:
        file, config = folder / "config.toml", stored.directory.config()
    settings = config.model_dump(mode="json", exclude_none=True, by_alias=True, exclude={"optimizers", "optimizer"})
    # The batch sizes belong to the stored problems, not to problems that a user adds.
    sizes = settings.pop("batch_sizes")
    entries = [{"select": item} if isinstance(item, str) else item for item in settings["problems"]]
    settings["problems"] = [{**entry, "batch_sizes": entry.get("batch_sizes") or sizes} for entry in entries]
    # Devices by name, because `auto` differs between machines; seeds and devices as they were computed.
    cells = stored.plan["cells"]
    devices = list(dict.fromkeys(str(cell["device"]) for cell in cells)) or settings["devices"]
    return BaseSettings({**settings, "devices": devices, "seeds": len(stored.plan["seeds"])}, file)
