"""`optbench report`: where the page goes, and what isn't a results directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench.cli.verbs import COMPLETE, WRONG_USE, _main
from tests.support.directories import write_directory
from tests.support.drawn import only


@pytest.mark.parametrize("kind", ["missing", "foreign", "file", "damaged"])
def test_what_is_no_results_directory_is_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "thing"
    folder.parent.mkdir()
    if kind == "file":
        folder.write_text("no folder")
    elif kind != "missing":
        folder.mkdir()
        (folder / ("notes.txt" if kind == "foreign" else "format.json")).write_text("{")
    assert _main(["report", "thing"]) == WRONG_USE
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "thing" in err
    assert not (tmp_path / "reports").exists()


def test_the_page_goes_to_reports_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"optimizers": ("adam", "sgd"), "problems": ("clouds",), "batch_sizes": (32,), "seeds": 2, "trials": 3}
    write_directory(tmp_path / "results" / "small", points=6, **options)
    with only("recommendation", "loss_against_cost"):
        assert _main(["report", "small"]) == COMPLETE
    path = Path(capsys.readouterr().out.strip())
    assert path.resolve() == tmp_path / "reports" / "small.html"
    text = path.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count('<svg role="img"') == 2, "figures for where there is no script"
    assert "too large for the page" not in text
