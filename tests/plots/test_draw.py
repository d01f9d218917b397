"""What can't be drawn says why, and costs nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from optbench.plots import draw, style
from optbench.plots.registry import Plot
from tests.frames import VALLEY, make


def test_a_plot_without_data_says_so_and_one_without_meaning_is_left_out(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> None:
        raise style.NothingToDraw("no run reached a target")

    def broken(*_: object) -> None:
        raise ValueError("a defect")

    def fine(*_: object) -> tuple:
        return style.sheet("title", "subtitle", 1)[0], pd.DataFrame({"x": [1.5]})

    plots = {
        "fine": Plot(fine, "how to read it"),
        "nothing": Plot(nothing, "how to read it", each_problem=False),
        "meaningless": Plot(lambda *_: None, "how to read it"),
        "broken": Plot(broken, "how to read it"),
    }
    monkeypatch.setattr(draw, "PLOTS", plots)
    frames = make(optimizers=["adam"], problems=[VALLEY])
    pictures = draw.draw_all(SimpleNamespace(cells=frames.cells), {}, tmp_path)
    assert [(picture.problem, picture.plot) for picture in pictures] == [
        ("", "nothing"), (VALLEY, "fine"), (VALLEY, "broken"),
    ]  # fmt: skip
    assert "no run reached a target" in pictures[0].caption
    assert "a defect" in pictures[2].caption
    assert [bool(picture.svg) for picture in pictures] == [False, True, False]
    assert (tmp_path / f"fine-{VALLEY}.csv").read_text() == "x\n1.5\n"
    assert not list(tmp_path.glob("nothing*"))
