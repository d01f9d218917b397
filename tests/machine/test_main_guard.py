"""Scripts that their worker processes would run again are refused; others are not."""

from __future__ import annotations

import multiprocessing
import runpy
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from optbench.errors import UserError
from optbench.machine.main_guard import require_main_guard
from tests.support.tiny import TINY

REFUSED = {
    "at the top level": "require_main_guard()",
    "in a function that is called at the top level": "def main():\n    require_main_guard()\n\nmain()",
    "in a condition": "import sys\nif sys.argv:\n    require_main_guard()",
    "beside a guard": "if __name__ == '__main__':\n    pass\nrequire_main_guard()",
    "in an imported module": "import own_unguarded",
}
ACCEPTED = {
    "below a guard": "if __name__ == '__main__':\n    require_main_guard()",
    "in a function that is called below a guard": "def main():\n    require_main_guard()\n\n"
    "if '__main__' == __name__:\n    for _ in range(1):\n        main()",
    "below another condition that tells": "import multiprocessing\n"
    "if multiprocessing.parent_process() is None:\n    require_main_guard()",
}


def run_script(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a text as the main script, in this process."""
    path = folder / "script.py"
    path.write_text("from optbench.machine.main_guard import require_main_guard\n" + dedent(text) + "\n")
    monkeypatch.syspath_prepend(folder)
    (folder / "own_unguarded.py").write_text("from optbench.machine.main_guard import *\nrequire_main_guard()\n")
    monkeypatch.delitem(sys.modules, "own_unguarded", raising=False)
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("kind", REFUSED)
def test_a_script_without_a_guard_is_refused_in_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        UserError, match=r'line \d+ of .*script\.py starts worker .*`if __name__ == "__main__":`'
    ) as caught:
        run_script(tmp_path, REFUSED[kind], monkeypatch)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_script_with_a_guard_is_not(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_script(tmp_path, ACCEPTED[kind], monkeypatch)


def test_notebooks_packages_and_tests_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    require_main_guard()
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    require_main_guard()


def test_a_worker_that_runs_the_script_again_ends_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(SystemExit, match=r"^optbench: .*starts worker processes"):
        require_main_guard()


def test_such_a_script_leaves_nothing_behind_and_may_read_complete_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = f"""
        import optbench
        optbench.run(problems=[{TINY!r}], optimizers=["sgd"], batch_sizes=[10], seeds=1, tuning_worth=0, outputs=False,
                     results={str(tmp_path / "results")!r}, name="plain", engine=ENGINE)
    """
    with pytest.raises(UserError, match="starts worker processes"):
        run_script(tmp_path, run.replace("ENGINE", "'processes'"), monkeypatch)
    assert not (tmp_path / "results").exists()
    run_script(tmp_path, run.replace("ENGINE", "'serial'"), monkeypatch)
    run_script(tmp_path, run.replace("ENGINE", "'processes'"), monkeypatch)
