"""Digests of files and tensors: they follow the content, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from optbench.config.load import configure
from optbench.planning.matrix import Cell, make_plan
from optbench.problem.content import data_digest, file_digest
from optbench.problem.data import Data, DataSource

OWN = '''
import torch
from optbench import Data, Problem

class Own(Problem):
    """Regression on a file in the data directory."""

    name = "own"
    metric_name = "error"
    metric_higher_is_better = False

    def load_data(self, source):
        FIRST
        return Data.split(x, x.sum(1, keepdim=True))

    def model(self):
        return torch.nn.Linear(3, 1)

    def loss(self, model, batch):
        return (model(batch[0]) - batch[1]).square().mean()

    metric = loss
'''
READS = 'x = torch.load(source.directory / "x.pt")'


def planned(folder: Path, first: str = READS, directory: str = "here") -> Cell:
    path = folder / "own.py"
    path.write_text(OWN.replace("FIRST", first))
    config = configure(problems=[f"{path}:Own"], optimizers=["sgd"], batch_sizes=[10], devices=["cpu"])
    return make_plan(config, source=DataSource(folder / directory)).cells[0]


def save(folder: Path, examples: int = 100, value: float = 0.0) -> None:
    folder.mkdir(exist_ok=True)
    torch.save(torch.full((examples, 3), value), folder / "x.pt")


def test_a_file_is_read_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = file_digest(path)
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read again"))
    assert file_digest(path) == first
    monkeypatch.undo()
    path.write_bytes(b"two")
    os.utime(path, ns=(0, 0))
    assert file_digest(path) != first


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_are_known_by_type_shape_and_values(kind: torch.dtype) -> None:
    x = torch.from_numpy(np.arange(12) % 2).reshape(4, 3).to(kind)
    digests = [  # the last two have other values and another type
        data_digest(Data((tensor,), (x,), (x,))) for tensor in (x, x.T.contiguous().T, x.T, 1 - x.int(), x.double())
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_data_from_the_data_directory_are_part_of_the_identity(tmp_path: Path) -> None:
    save(tmp_path / "here")
    first = planned(tmp_path)
    save(tmp_path / "there")
    assert planned(tmp_path, directory="there").id == planned(tmp_path).id == first.id
    save(tmp_path / "here", value=1.0)
    assert planned(tmp_path).id != first.id


def test_examples_are_counted_where_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "here", 100)
    save(tmp_path / "default", 50)
    monkeypatch.setattr("optbench.problem.data.default_data_dir", lambda: tmp_path / "default")
    assert planned(tmp_path).training_examples == 80


def test_a_problem_that_makes_its_data_keeps_its_id(tmp_path: Path) -> None:
    cell = planned(tmp_path, "x = torch.zeros(100, 3)")
    assert set(cell.identity["problem"]) == {"name", "version", "parameters", "source", "statistics"}
