"""Progress: nothing from Python, lines in a log, a bar on a terminal."""

from __future__ import annotations

import io

import pytest

from optbench.runner import progress
from optbench.runner.progress import BarProgress, LineProgress, Phase, SilentProgress, duration, for_stderr


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3599.4, "59 min 59 s"),
     (3599.6, "1 h 00 min"), (7500, "2 h 05 min"), (90_000, "25 h 00 min")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_phase_counts_what_is_done_and_what_is_under_way() -> None:
    shown: list[float] = []
    phase = Phase(shown.append, lambda text: None)
    phase.advance(2)
    phase.partial("a", 1.5)
    phase.partial("b", 0.5)
    phase.partial("a", 2.5)  # in place of what it was, not beside it
    phase.finish("a", 3)
    phase.finish("b", 1)
    phase.finish("never begun", 1)
    assert shown == [2, 3.5, 4, 5, 5.5, 6, 7]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A list of one number, which is the time."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_come_from_time_to_time_with_what_is_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress().phase("training", total=100) as phase:
        for second in range(1, 41):
            clock[0] = second
            phase.advance(1)
        phase.message("something to say")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "training: 15%, about 1 min 25 s left",
        "training: 30%, about 1 min 10 s left",
        "something to say",
        "training: done in 40 s",
    ]


def test_nothing_is_told_before_anything_is_done(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress().phase("training", total=100) as phase:
        clock[0] = 60
        phase.partial("a", 0)
        assert capsys.readouterr().err == ""


def test_a_phase_that_fails_does_not_claim_to_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), LineProgress().phase("training", total=100):
        raise KeyboardInterrupt
    assert "done" not in capsys.readouterr().err


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    silent = SilentProgress()
    silent.message("x")
    with silent.phase("training", total=1) as phase:
        phase.advance(1)
        phase.message("y")
    assert capsys.readouterr() == ("", "")


def test_a_bar_keeps_to_stderr_and_leaves_markup_alone(capsys: pytest.CaptureFixture[str]) -> None:
    bar = BarProgress()
    bar.message("mnist_cnn[data=digits]")
    with bar.phase("training", total=2) as phase:
        phase.advance(1)
        phase.message("adam[eps=1e-3]: error")
        phase.advance(1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "mnist_cnn[data=digits]" in err
    assert "adam[eps=1e-3]: error" in err
    assert "100%" in err


@pytest.mark.parametrize(("terminal", "kind"), [(True, BarProgress), (False, LineProgress)])
def test_a_bar_is_for_terminals(terminal: bool, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", stream)
    assert type(for_stderr()) is kind
