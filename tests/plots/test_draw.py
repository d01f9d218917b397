"""What can't be drawn says why, and costs nothing else."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from optbench.plots import draw, style
from optbench.plots.registry import PLOTS, Plot
from tests.support import forked
from tests.support.directories import write_directory
from tests.support.frames import PROBLEMS, VALLEY, make
from tests.support.waiting import PATIENCE, wait_until

CORES = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


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
    for stem in ("nothing", f"broken-{VALLEY}", f"meaningless-{VALLEY}"):
        (tmp_path / f"{stem}.pdf").touch()  # of earlier results
    pictures = draw.draw_all(SimpleNamespace(cells=frames.cells), {}, tmp_path)
    assert [(picture.problem, picture.plot) for picture in pictures] == [
        ("", "nothing"), (VALLEY, "fine"), (VALLEY, "broken"),
    ]  # fmt: skip
    assert "no run reached a target" in pictures[0].caption
    assert "a defect" in pictures[2].caption
    assert [bool(picture.svg) for picture in pictures] == [False, True, False]
    assert (tmp_path / f"fine-{VALLEY}.csv").read_text() == "x\n1.5\n"
    assert {path.stem for path in tmp_path.iterdir()} == {f"fine-{VALLEY}"}


@pytest.mark.processes
def test_several_processes_draw_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = make(optimizers=["adam", "sgd"], problems=PROBLEMS[:2], batch_sizes=[32], trials=4, points=6)
    monkeypatch.setattr(style, "FORMATS", {"svg": style.FORMATS["svg"]})
    monkeypatch.setattr(draw, "PLOTS", {name: PLOTS[name] for name in ("loss_against_cost", "lr_sensitivity")})
    results = SimpleNamespace(cells=frames.cells, curves=frames.curves, trials=frames.trials, runs=frames.runs)
    drawn = {}
    for many in (1, 1000):
        monkeypatch.setattr(draw, "_MANY", many)
        folder = tmp_path / str(many)
        pictures = draw.draw_all(results, {}, folder)
        drawn[many] = [(picture.problem, picture.plot, picture.title, picture.svg) for picture in pictures]
        assert all(picture.file is not None and picture.file.exists() for picture in pictures)
    assert drawn[1] == drawn[1000]
    names = {path.name for path in (tmp_path / "1").iterdir()}
    assert names == {path.name for path in (tmp_path / "1000").iterdir()}
    assert all((tmp_path / "1" / name).read_bytes() == (tmp_path / "1000" / name).read_bytes() for name in names)


@pytest.mark.processes
@pytest.mark.parametrize("many", [1, 1000])
def test_a_disk_that_takes_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    frames = make(optimizers=["adam"], problems=[VALLEY], batch_sizes=[32])
    monkeypatch.setattr(draw, "_MANY", many)
    monkeypatch.setattr(draw, "PLOTS", {"loss_against_cost": PLOTS["loss_against_cost"]})
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        draw.draw_all(SimpleNamespace(cells=frames.cells, curves=frames.curves), {}, tmp_path / "file")


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="only there are plots drawn by several processes")
def test_a_process_that_is_killed_costs_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()

    def deadly(*_: object) -> tuple:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return style.sheet("title", "subtitle", 1)[0], pd.DataFrame({"x": [1.5]})

    monkeypatch.setattr(draw, "_MANY", 1)
    monkeypatch.setattr(draw, "PLOTS", {"deadly": Plot(deadly, "how to read it"), "other": Plot(deadly, "as well")})
    frames = make(optimizers=["adam"], problems=[VALLEY])
    pictures = draw.draw_all(SimpleNamespace(cells=frames.cells), {}, tmp_path)
    assert [bool(picture.svg) for picture in pictures] == [True, True]


#: `python -m optbench`, all of whose plots take until there is a file `end`, those beyond the first few for ever.
#: Every process that draws leaves a file, and so does the one that waits for them when it no longer does.
ENDLESS = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from optbench.cli import main
from optbench.plots import draw, style
from optbench.plots.registry import Plot

files = Path(os.environ["OPTBENCH_TEST_FILES"])
begun = 2 * len(os.sched_getaffinity(0)) + 1  # handed to the processes before the first of them ends

def slow(number):
    def plot(*_):
        (files / f"draws-{os.getpid()}").touch()
        while number >= begun or not (files / "end").exists():
            time.sleep(0.01)
        raise style.NothingToDraw("nothing")
    return Plot(plot, "how to read it", each_problem=False)

class Watched(ProcessPoolExecutor):
    def __exit__(self, *error):
        (files / "interrupted").touch()
        return super().__exit__(*error)

draw._MANY = 1
draw.ProcessPoolExecutor = Watched
draw.PLOTS = {f"plot{number}": slow(number) for number in range(2 * begun)}
main()
"""


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="only there are plots drawn by several processes")
@pytest.mark.skipif(CORES < 2, reason="one core draws in one process")
@pytest.mark.parametrize("sent", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_an_interrupted_report_ends_at_once_and_without_a_word_too_many(tmp_path: Path, sent: signal.Signals) -> None:
    """What is being drawn when it is interrupted is finished, what is not yet begun is left out."""
    options = {"problems": ("valley",), "batch_sizes": (32,), "seeds": 1, "trials": 2, "points": 6}
    folder = write_directory(tmp_path / "results" / "made", ("adam", "sgd"), **options)
    (tmp_path / "endless.py").write_text(ENDLESS)
    files = tmp_path / "files"
    files.mkdir()
    command = [sys.executable, str(tmp_path / "endless.py"), "report", "made", "--results", str(folder.parent)]
    process = forked.start(command, env={**os.environ, "OPTBENCH_TEST_FILES": str(files)}, start_new_session=True)

    def runs() -> bool:
        return process.poll() is None

    try:
        wait_until(lambda: len(list(files.glob("draws-*"))) > 1, "two processes draw", runs)
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)
            wait_until((files / "interrupted").exists, "the process stops waiting", runs)
            (files / "end").touch()
        else:
            process.send_signal(sent)
        # Which ends when the last process that draws has closed its end.
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        with suppress(ProcessLookupError):  # nothing is left, unless the test fails
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == (130 if sent == signal.SIGINT else -sent)
    assert out == ""
    if sent == signal.SIGINT:
        assert "Traceback" not in err
