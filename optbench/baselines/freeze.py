"""Makes frozen results of a results directory: what `optbench reference make` writes."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from optbench.errors import UserError
from optbench.formatting import uniform
from optbench.results.atomic import write_bytes, write_json
from optbench.results.directory import ABOUT
from optbench.results.frames import TIMING_COLUMNS
from optbench.results.frozen import FORMAT, FRAMES, Frozen
from optbench.results.load import Results

#: Of a trajectory, which is only looked at.
_POINTS = 100


def freeze(results: Results, folder: Path) -> Frozen:
    """Writes frozen results, in full precision and without timings, over those that may lie there.

    Raises UserError where not every cell is done: what others are measured by has no gaps.
    """
    states = results.states()
    undone = [cell["optimizer"] for cell in results.plan["cells"] if states[cell["cell_id"]] != "done"]
    if undone:
        raise UserError(
            f"{results.folder} can't be frozen: {len(undone)} of {len(states)} cells are not done, the first of "
            f"{undone[0]}"
        )
    # The description last: until it is there, or where it is of other files, nothing is taken for frozen results.
    (folder / ABOUT).unlink(missing_ok=True)
    digests = {}
    for name in FRAMES:
        data = _parquet(_frame(results, name))
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
    return Frozen(folder)


def _frame(results: Results, name: str) -> pd.DataFrame:
    frame: pd.DataFrame = getattr(results, name)
    if name != "trajectories" or frame.empty:
        return frame
    runs = frame.groupby(["cell_id", "seed", "tuned"], sort=False)
    return pd.concat([_drawn(path) for _, path in runs], ignore_index=True)


def _drawn(path: pd.DataFrame) -> pd.DataFrame:
    """A trajectory as a plot shows it: few points, its ends among them, in single precision."""
    places = np.unique(np.linspace(0, len(path) - 1, min(len(path), _POINTS)).astype(int))
    return path.iloc[places].astype({"x": "float32", "y": "float32"})


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    timeless = frame.assign(**{name: np.nan for name in TIMING_COLUMNS if name in frame})
    uniform(timeless).to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()
