"""The grid of optimizers by tasks: each field at the right place."""

from __future__ import annotations

from optbench.plots import style
from optbench.plots.grid import fields, grid
from optbench.results.stored import GROUP
from tests.support.frames import PROBLEMS, TEN, make


def test_columns_are_tasks_and_lines_optimizers() -> None:
    frames = make()
    names = sorted(TEN)
    _, ax, columns = grid(frames.cells, names, "title", "subtitle", [])
    tasks = frames.cells[GROUP].drop_duplicates().sort_values(GROUP)
    assert columns == list(tasks.itertuples(index=False, name=None))
    assert [text.get_text() for text in ax.get_yticklabels()] == names
    assert [text.get_text() for text in ax.get_xticklabels()] == ["batch 32", "batch 128"] * 3
    found = {(row["cell_id"]): (column, line) for column, line, row in fields(frames.cells, names, columns)}
    assert len(found) == 60
    for problem, batch, name in ((PROBLEMS[0], 128, "adam"), (PROBLEMS[1], 32, "sgd")):
        column, line = found[f"{problem}-{name}-{batch}"]
        assert (columns[column][:2], names[line]) == ((problem, batch), name)


def test_devices_are_named_where_there_are_several() -> None:
    cells = make(optimizers=["adam"], problems=[PROBLEMS[0]]).cells
    cells.loc[0, "device"] = "cuda"
    _, ax, _ = grid(cells, ["adam"], "title", "subtitle", [])
    assert sorted(text.get_text() for text in ax.get_xticklabels()) == ["batch 128\ncpu", "batch 32\ncuda"]
    assert style.INK
