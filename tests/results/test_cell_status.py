"""How far a cell has come: of a finished one from its result alone, and the same as by counting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

from optbench.results.cell_status import CellProgress, read_progress
from optbench.results.checksum import seal
from optbench.results.directory import ResultsDirectory
from optbench.results.load import Results
from optbench.results.store import CellStore


def counted(folder: Path, cell_id: str) -> tuple[int, float, int]:
    """Trials, their cost and runs, from the files alone. Of a trial that was continued, the last line counts."""
    lines = map(json.loads, (folder / "cells" / cell_id / "trials.jsonl").read_text().splitlines())
    trials = {trial["trial"]: trial for trial in lines}.values()
    runs = list((folder / "cells" / cell_id / "runs").glob("*.json"))
    return len(trials), sum(trial["thirds"] for trial in trials) / 3, len(runs)


def of(folder: Path, cell: dict[str, Any]) -> CellProgress:
    return read_progress(ResultsDirectory(folder).cell(cell["cell_id"]), cell, [0, 1], 1)


def test_a_finished_cell_is_known_by_its_result(tiny_run: Results) -> None:
    folder = tiny_run.directory.folder
    for cell in tiny_run.plan["cells"]:
        with patch.object(CellStore, "trials", side_effect=AssertionError("read")):
            found = of(folder, cell)
        assert (found.trials, found.spent, found.runs) == counted(folder, cell["cell_id"])
        assert (found.state, found.budget, found.error) == ("done", 800.0, "")


def test_what_is_not_finished_is_counted(tiny_copy: Path, partly_failed_run: Results) -> None:
    cell, older = json.loads((tiny_copy / "plan.json").read_text())["cells"]
    (tiny_copy / "cells" / cell["cell_id"] / "result.json").unlink()
    next((tiny_copy / "cells" / cell["cell_id"] / "runs").iterdir()).unlink()
    assert of(tiny_copy, cell) == CellProgress("missing", 3, 800.0, None, 3, "")
    # Results of earlier versions don't name their number of trials.
    path = tiny_copy / "cells" / older["cell_id"] / "result.json"
    result = json.loads(path.read_text())
    path.write_text(
        json.dumps(seal({key: value for key, value in result.items() if key not in ("trials", "checksum")}))
    )
    assert of(tiny_copy, older) == CellProgress("done", 3, 800.0, 800.0, 4, "")
    folder = partly_failed_run.directory.folder
    failed = [found for cell in partly_failed_run.plan["cells"] if (found := of(folder, cell)).state == "failed"]
    assert [(one.trials, one.runs, one.error[:12]) for one in failed] == [(3, 0, "RuntimeError")]
