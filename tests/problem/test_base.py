"""What a problem need not say itself: splits, the number of its examples, and the files that it is made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from optbench.errors import UserError
from optbench.problem.base import Problem, load_problem_data
from optbench.problem.data import Data, DataSource, check_splits
from tests.support.tiny import TinyNet


@dataclass(frozen=True)
class Own(TinyNet):
    """Reads a file, and leaves its examples to be counted."""

    name = "own"
    file: str = "own.npy"

    def training_examples(self) -> int:
        return Problem.training_examples(self)

    @property
    def files(self) -> list[str]:
        return [self.file]

    def load_data(self, source: DataSource) -> Data:
        x = torch.from_numpy(np.load(self.file))
        return Data.split(x, x.sum(1), valid=0.2, test=0.1)


def test_a_split_takes_every_example_once_with_what_belongs_to_it() -> None:
    x = torch.from_numpy(np.random.default_rng(0).permutation(50)).view(50, 1)
    data = Data.split(x, 2 * x, valid=0.2, test=0.1)
    splits = (data.train, data.valid, data.test)
    assert [len(split[0]) for split in splits] == [35, 10, 5]
    assert sorted(torch.cat([split[0] for split in splits]).flatten().tolist()) == list(range(50))
    assert all(torch.equal(split[1], 2 * split[0]) for split in splits)
    first = data.train[0].flatten().tolist()
    assert first != x[:35].flatten().tolist()
    assert first == Data.split(x, valid=0.2, test=0.1).train[0].flatten().tolist()
    assert first != Data.split(x, valid=0.2, test=0.1, seed=1).train[0].flatten().tolist()


@pytest.mark.parametrize(
    ("lengths", "shares", "line"),
    [
        ((5, 6), {}, "tensors of [5, 6] examples"),
        ((), {}, "tensors of [] examples"),
        ((4,), {}, "4 training, 0 validation and 0 test examples of 4"),
        ((10,), {"valid": 0.5, "test": 0.5}, "0 training, 5 validation and 5 test examples of 10"),
    ],
)
def test_what_can_not_be_split(lengths: tuple[int, ...], shares: dict[str, float], line: str) -> None:
    with pytest.raises(UserError) as caught:
        Data.split(*(torch.zeros(length, 1) for length in lengths), **shares)
    assert line in str(caught.value)


def test_what_is_no_tensor_is_not_split() -> None:
    with pytest.raises(UserError, match=r"^Data.split got a ndarray \(accepted: tensors"):
        Data.split(torch.zeros(20, 1), np.zeros(20))  # type: ignore[arg-type]


def test_examples_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "own.npy", np.zeros((40, 4), np.float32))
    problem = Own(file=str(tmp_path / "own.npy"))
    assert problem.training_examples() == 28
    monkeypatch.setattr(Own, "load_data", lambda *_: pytest.fail("loaded again"))
    assert problem.training_examples() == 28


def test_what_can_not_be_loaded_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^file .*gone\.npy of problem own can't be read: No such file"):
        Own(file=str(tmp_path / "gone.npy")).training_examples()
    with pytest.raises(UserError, match=r"^file .*gone\.npy of problem own can't be read: No such file"):
        Own(file=str(tmp_path / "gone.npy")).identity()


def test_a_problem_is_another_one_when_its_file_changes(tmp_path: Path) -> None:
    identities: list[dict[str, Any]] = []
    for value in (0, 1, 0):
        np.save(tmp_path / "own.npy", np.full((40, 4), value, np.float32))
        identities.append(Own(file=str(tmp_path / "own.npy")).identity())
    assert identities[0] == identities[2] != identities[1]
    assert set(identities[0]["files"]) == {"own.npy"}
    assert "files" not in TinyNet().identity()


def test_files_of_one_name_all_count(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Two(TinyNet):
        files = (tmp_path / "a" / "x.npy", tmp_path / "b" / "x.npy")

    found = []
    for contents in ((1, 2), (3, 2), (1, 3), (2, 1), (1, 2)):
        for folder, content in zip("ab", contents, strict=True):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / "x.npy").write_bytes(bytes([content]))
        found.append(str(Two().identity()))
    assert found[0] == found[-1]
    assert len(set(found)) == 4


@pytest.mark.parametrize("kind", [str, Path])
def test_a_single_file_needs_no_list(kind: Any, tmp_path: Path) -> None:
    file = tmp_path / "own.npy"
    file.write_bytes(b"content")

    @dataclass(frozen=True)
    class One(TinyNet):
        files = kind(file)

    @dataclass(frozen=True)
    class Listed(TinyNet):
        files = (file,)

    assert One().identity() == Listed().identity()
    assert set(One().identity()["files"]) == {"own.npy"}


X, Y = torch.zeros(6, 2), torch.zeros(6)


class Stream(IterableDataset[Any]):
    """Has neither a length nor an end."""

    def __iter__(self) -> Iterator[int]:
        return itertools.count()


@pytest.mark.parametrize(
    ("split", "line"),
    [
        (None, "is None"),
        (X, "is of type Tensor (accepted: a tuple of tensors, such as (x, y), that have the same number of examples"),
        ({"x": X, "y": Y}, "is of type dict"),
        (TensorDataset(X, Y), "default_collate([dataset[i] for i in range(len(dataset))])"),
        (DataLoader(TensorDataset(X, Y)), "optbench draws the batches itself"),
        (Stream(), "is of type Stream"),
        ((item for item in (X, Y)), "is of type generator"),
        ((), "is an empty tuple"),
        ((X, Y.numpy()), "a part that is of type ndarray, at position 1 (accepted"),
        ((X.numpy(), Y), "torch.as_tensor makes them"),
        ((list(X), Y), "a part that is of type list, at position 0"),
        ((X, None), "a part that is None, at position 1"),
        ((X, Y[0]), "has a single number at position 1"),
        ((X, Y[:4]), "has tensors of 6, 4 examples"),
        ((X[:0], Y[:0]), "has no examples"),
    ],
)
@pytest.mark.parametrize("name", ["train", "valid", "test"])
def test_data_of_another_form_are_refused_by_the_name_of_the_split(name: str, split: Any, line: str) -> None:
    with pytest.raises(UserError) as caught:
        check_splits("own", Data(**{"train": (X, Y), "valid": (X, Y), "test": (X, Y)} | {name: split}))
    message = str(caught.value)
    assert f"load_data() of own: split {name} " in message
    assert line in message
    assert "\n" not in message


@pytest.mark.parametrize("loaded", [None, (X, Y), ((X, Y),) * 3, {"train": (X, Y)}])
def test_something_other_than_data_is_refused(loaded: Any) -> None:
    with pytest.raises(UserError, match=r"accepted: Data\(train, valid, test\)"):
        check_splits("own", loaded)


def test_lists_bytes_sparse_tensors_and_inputs_alone_are_accepted() -> None:
    data = Data([X, Y], (X.byte(),), (X.to_sparse(), Y))  # type: ignore[arg-type]
    checked = check_splits("own", data)
    assert isinstance(checked.train, tuple)
    assert all(map(torch.equal, checked.train, (X, Y)))
    assert checked.valid is data.valid


def test_the_form_is_checked_wherever_data_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "load_data", lambda self, source: Data((X, Y), {"x": X}, (X, Y)))  # type: ignore[arg-type]
    problem = Own(file=__file__)
    for load in (problem.training_examples, lambda: load_problem_data(problem, DataSource(tmp_path))):
        with pytest.raises(UserError, match="split valid is of type dict"):
            load()
