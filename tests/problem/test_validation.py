"""A wrong type, or a value out of range, of what a problem says of itself is one line, whatever is done with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench.cli.verbs import COMPLETE, WRONG_USE, _main

PROBLEM = """
from dataclasses import dataclass
from tests.support.tiny import Tiny

@dataclass(frozen=True)
class Mine(Tiny):
    name = "mine"
    {line}
"""
WRONG = {
    "name = 3": "problem Mine has name = 3 (accepted: a string)",
    "name = ' '": "problem Mine has name = ' ' (accepted: a string)",
    "version = 0": "problem mine has version = 0 (accepted: a whole number of at least 1)",
    "version = '2'": "problem mine has version = '2' (accepted: a whole number of at least 1)",
    "later = 3": "problem mine has later = 3 (accepted: names of parameters)",
    "kind = 'netwrk'": "problem mine has kind = 'netwrk' (accepted: 'network', 'quadratic', 'function')",
    "metric_name = None": "problem mine has metric_name = None (accepted: a string)",
    "metric_higher_is_better = 1": "problem mine has metric_higher_is_better = 1 (accepted: True or False)",
    "batch_sizes = 32": "problem mine has batch_sizes = 32 (accepted: whole numbers of at least 1, as in (32, 128))",
    "batch_sizes = '32'": "problem mine has batch_sizes = '32' (accepted: whole numbers of at least 1",
    "batch_sizes = (8, 0)": "problem mine has batch_sizes = (8, 0) (accepted: whole numbers of at least 1",
    "batch_sizes = (1.5,)": "problem mine has batch_sizes = (1.5,) (accepted: whole numbers of at least 1",
    "batch_sizes = (True,)": "problem mine has batch_sizes = (True,) (accepted: whole numbers of at least 1",
    "run_budget = 3": "problem mine has run_budget = 3 (accepted: an amount, as in \"2epochs\")",
    "run_budget = 'abc'": "invalid run budget 'abc' (accepted: amounts such as 2epochs, 20000examples, 30seconds)",
    "channels_last = 'x'": "problem mine has channels_last = 'x' (accepted: True or False)",
    "evaluation_batch = 0": "problem mine has evaluation_batch = 0 (accepted: a whole number of at least 1)",
    "chunk = 'a'": "problem mine has chunk = 'a' (accepted: a whole number of at least 1, or None)",
    "files = 3": "problem mine has files = 3 (accepted: a path, or a list of paths)",
    "files = [None]": "problem mine has files = [None] (accepted: a path, or a list of paths)",
    "target = '0.1'": "problem mine has target = '0.1' (accepted: a finite number, or None)",
    "target = True": "problem mine has target = True (accepted: a finite number, or None)",
    "target = float('nan')": "problem mine has target = nan (accepted: a finite number, or None)",
    "target = property(lambda self: 1 / 0)": "problem mine failed to compute its target: ZeroDivisionError: division ",
    "curvature = 0": "problem mine has curvature = 0 (accepted: a number above 0, or None)",
    "plane = (1, 2)": "problem mine has plane = (1, 2) (accepted: Plane(start=(x, y), minimum=(x, y), domain=",
    "plane = Tiny().plane.__class__((0, 0), (0, 0), ((1, 0), (0, 1)))": "problem mine has plane = Plane(start=(0, 0), ",
    "freezing = ['a']": "problem mine has freezing = ['a'] (accepted: prefixes of parameter names, each with a share",
    "freezing = {'a': 2}": "problem mine has freezing = {'a': 2} (accepted: prefixes of parameter names, each with",
    "couples_examples = 'x'": "problem mine has couples_examples = 'x' (accepted: True or False)",
    "microseconds_per_step = float('nan')": "problem mine has microseconds_per_step = nan (accepted: a number of at ",
    "microseconds_per_example = None": "problem mine has microseconds_per_example = None (accepted: a number of at ",
    "training_examples = 3": "problem mine has training_examples = 3 (accepted: a method)",
    "training_examples = lambda self: 1.5": "problem mine has training_examples() = 1.5 (accepted: a whole number of",
    "training_examples = lambda self: 1 / 0": "problem mine failed to compute its training_examples: ZeroDivision",
    "loss = None": "problem mine has loss = None (accepted: a method)",
    "stacks = 3": "problem mine has stacks = 3 (accepted: a method)",
    "display = 3": "problem mine has display = 3 (accepted: a method)",
}  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "every"),
    [
        ("plan", 1), ("run", 5), ("check", 5),
        *(pytest.param(verb, 1, marks=pytest.mark.slow) for verb in ("run", "check")),
    ],
)  # fmt: skip
def test_what_is_declared_wrongly_is_one_line(
    verb: str, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it where nothing is planned, and some of it in the other commands, which plan first."""
    monkeypatch.chdir(tmp_path)
    chosen = ["mine.py:Mine"] if verb == "check" else ["--problem", "mine.py:Mine", "--optimizer", "sgd"]
    wrong = []
    for line, said in list(WRONG.items())[::every]:
        (tmp_path / "mine.py").write_text(PROBLEM.format(line=line))
        code = _main([verb, *chosen])
        err = capsys.readouterr().err
        if (code, said in err, len(err.splitlines())) != (WRONG_USE, True, 1):
            wrong.append((line, code, err))
    assert wrong == []
    assert not (tmp_path / "results").exists()


def test_a_problem_without_a_name_is_called_by_its_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (
        "from dataclasses import dataclass\nfrom optbench import Plane, PlaneFunction\n@dataclass(frozen=True)\n"
        "class Bowl(PlaneFunction):\n    {}\n    plane = Plane((1, 1), (0, 0), ((-2, 2), (-2, 2)))\n"
        "    def value(self, x, y):\n        return x**2 + y**2\n"
    )
    (tmp_path / "mine.py").write_text(text.format("pass"))
    assert _main(["plan", "--problem", "mine.py:Bowl", "--optimizer", "sgd"]) == COMPLETE
    assert "  Bowl  " in capsys.readouterr().out
    (tmp_path / "mine.py").write_text(text.format("files = 'nowhere.pt'"))
    assert _main(["plan", "--problem", "mine.py:Bowl", "--optimizer", "sgd"]) == WRONG_USE
    assert "file nowhere.pt of problem Bowl can't be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("plan", "files = 'points.pt'"),
        ("plan", "training_examples = lambda self: 200"),
        ("plan", "pass"),
        ("run", "training_examples = lambda self: 200"),
        ("check", "pass"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_what_the_problem_says_of_it(
    verb: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nimport torch\nfrom optbench import Problem\n"
        "from tests.support.tiny import Tiny\n"
        "@dataclass(frozen=True)\nclass Mine(Tiny):\n    'A valley; points.pt is made by dig.py.'\n    name = 'mine'\n"
        "    training_examples = Problem.training_examples\n"
        f"    {says}\n    def load_data(self, source):\n        torch.load('points.pt')\n"
    )
    chosen = ["mine.py:Mine"] if verb == "check" else ["--problem", "mine.py:Mine", "--optimizer", "sgd"]
    unread = verb == "plan" and "training_examples" in says
    assert _main([verb, *chosen]) == (COMPLETE if unread else WRONG_USE)
    line = f"points.pt of problem mine can't be read: No such file or directory in {Path.cwd()} (its docstring: A va"
    assert unread or line in capsys.readouterr().err
