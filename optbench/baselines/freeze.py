"""Creates frozen results from a results directory (`optbench reference make`)."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from optbench.errors import UserError
from optbench.formatting import unify_types
from optbench.results.atomic import write_bytes, write_json
from optbench.results.directory import ABOUT
from optbench.results.frozen import FORMAT, FRAMES, FrozenResults
from optbench.results.load import Results
from optbench.results.machines import TIMING_COLUMNS

#: Points that are kept of each trajectory, which is only plotted.
_POINTS = 100


def freeze(results: Results, folder: Path) -> FrozenResults:
    """Writes frozen results, in full precision and without timings; existing ones in the folder are replaced.

    Args:
        results: Complete results.
        folder: Where to write them.

    Raises:
        UserError: A cell is not done: frozen results, which others are compared with, must have no gaps.
    """
    states = results.states()
    undone = [cell["optimizer"] for cell in results.plan["cells"] if states[cell["cell_id"]] != "done"]
    if undone:
        raise UserError(
            f"cannot freeze {results.folder}: {len(undone)} of {len(states)} cells are not done, the first one of "
            f"{undone[0]}"
        )
    # The description is removed first and written last: without it the folder does not count as frozen results.
    (folder / ABOUT).unlink(missing_ok=True)
    digests = {}
    for name in FRAMES:
        data = _encode_parquet(_select_frame(results, name))
        write_bytes(folder / f"{name}.parquet", data)
        digests[name] = hashlib.sha256(data).hexdigest()
    about = {
        "format": FORMAT,
        "made": datetime.now(UTC).strftime("%Y-%m-%d"),
        "optbench": version("optbench"),
        "version": hashlib.sha256("".join(digests.values()).encode()).hexdigest()[:8],
        "config": results.directory.config().toml(),
        "files": digests,
        "environments": results.environments,
        "plan": results.plan,
        "identities": results.identities,
        "planes": results.planes,
    }
    write_json(folder / ABOUT, about)
    return FrozenResults(folder)


def _select_frame(results: Results, name: str) -> pd.DataFrame:
    frame: pd.DataFrame = getattr(results, name)
    if name != "trajectories" or frame.empty:
        return frame
    runs = frame.groupby(["cell_id", "seed", "tuned"], sort=False)
    return pd.concat([_thin(path) for _, path in runs], ignore_index=True)


def _thin(path: pd.DataFrame) -> pd.DataFrame:
    """Thins a trajectory to the points that a plot needs, both ends included, in single precision."""
    places = np.unique(np.linspace(0, len(path) - 1, min(len(path), _POINTS)).astype(int))
    return path.iloc[places].astype({"x": "float32", "y": "float32"})


def _encode_parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    timeless = frame.assign(**{name: np.nan for name in TIMING_COLUMNS if name in frame})
    unify_types(timeless).to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()
