"""Problems of language modelling: how a text becomes examples, and the loss, against plain loops."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from optbench.errors import UserError
from optbench.planning.matrix import problem_identity
from optbench.problem.data import DataSource
from optbench.problem.datasets.text import unicode_names
from optbench.problem.registry import make_problem
from optbench.problems.char_rnn import CharRnn

NOWHERE = DataSource(Path("/nonexistent"), download=False)


def test_every_character_but_the_first_is_predicted_once_in_order() -> None:
    problem = CharRnn(length=50)
    data, text = problem.load_data(NOWHERE), unicode_names()
    splits = [split[0] for split in (data.train, data.valid, data.test)]
    assert [len(split) for split in splits] == [problem.training_examples(), 400, 400]
    rows = torch.cat(splits)
    for inputs, targets in ((rows[:, :-1], text.content), (rows[:, 1:], text.content[1:])):
        read = "".join(text.alphabet[token] for token in inputs.flatten().tolist())
        assert read == targets[: len(read)]
    assert 0 <= len(text.content) - 1 - rows[:, 1:].numel() < 50  # what is left is less than a sequence


def test_small_texts_give_a_tenth_of_their_sequences(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcd" * 100)
    problem = CharRnn(data=str(tmp_path / "a.txt"), length=8)
    data = problem.load_data(NOWHERE)
    assert [len(split[0]) for split in (data.train, data.valid, data.test)] == [41, 4, 4]
    assert (problem.training_examples(), problem.alphabet) == (41, 4)


def test_the_loss_is_the_mean_negative_logarithm_of_what_came() -> None:
    problem = CharRnn(length=7, hidden=5)
    model = problem.model().double()
    (tokens,) = (part[:6] for part in problem.load_data(NOWHERE).train)
    scores = model(tokens[:, :-1]).detach().numpy()
    found = [
        math.log(np.exp(scores[i, t]).sum()) - scores[i, t, int(tokens[i, t + 1])] for i in range(6) for t in range(7)
    ]
    with torch.no_grad():
        loss, metric = problem.evaluate(model, (tokens,))
        assert problem.loss(model, (tokens,)) == loss
        assert problem.metric(model, (tokens,)) == metric
    assert float(loss) == pytest.approx(np.mean(found), rel=1e-12)
    assert float(metric) == pytest.approx(np.mean(found) / math.log(2), rel=1e-12)


def test_a_file_is_known_by_its_content_and_shown_by_its_name(tmp_path: Path) -> None:
    identities = {}
    for folder, content in {"a": "to be or not " * 20, "b": "to be or not " * 20, "c": "to be or nor " * 20}.items():
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "play.txt"
        path.write_text(content)
        problem = make_problem("char_rnn", {"data": str(path), "length": 8})
        assert problem.display() == {"data": "play.txt", "length": 8}
        assert problem.target is None
        identities[folder] = problem_identity("char_rnn", problem)
        assert str(tmp_path) not in str(identities[folder])
    assert identities["a"] == identities["b"] != identities["c"]
    (tmp_path / "unicode_names").write_text("to be or not " * 20)
    problem = make_problem("char_rnn", {"data": str(tmp_path / "unicode_names"), "length": 8})
    assert problem.display() == {"data": "./unicode_names", "length": 8}


@pytest.mark.parametrize(
    ("content", "parameters", "line"),
    [
        ("abc" * 100, {"length": 1}, r"char_rnn\[length\] = 1 is out of range"),
        ("abc" * 100, {"length": 4097}, r"char_rnn\[length\] = 4097 is out of range"),
        (
            "abc" * 100,
            {"length": 16},
            r"char_rnn\[length\] = 16 leaves 18 sequences of the text .*, which has 300 char",
        ),
        ("", {}, r"char_rnn\[length\] = 64 leaves 0 sequences"),
        ("a" * 9000, {}, r"char_rnn\[data\]: .* has only one distinct character"),
    ],
)
def test_texts_that_make_no_sense_are_refused(
    content: str, parameters: dict[str, object], line: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(UserError, match=line) as caught:
        make_problem("char_rnn", {"data": str(tmp_path / "a.txt"), **parameters})
    assert "\n" not in str(caught.value)


@pytest.mark.processes
def test_planning_needs_no_torch() -> None:
    code = (
        "import sys; from optbench.problem.registry import make_problem\n"
        "for name in ('char_rnn', 'transformer', 'pinn'):\n"
        "    p = make_problem(name, {}); p.training_examples(), p.identity(), p.display(), p.target\n"
        "    p.microseconds_per_example, p.microseconds_per_step, p.stacks('cpu', 1)\n"
        "print({'torch', 'sklearn', 'pandas', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
