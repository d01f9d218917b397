"""Every experiment on networks conducted very small, and what bad input is told."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench.errors import UserError
from optbench.experiments import data_loading
from optbench.experiments.conduct import Outcome
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from tests.support.conducted import conducted

LOADING = "data-loading[examples=100,workers=0,repetitions=2]"
#: With an odd number of epochs, half of which ends within an epoch.
FROZEN = "frozen-features[epochs=3,batch_size=16,seeds=1]"


@pytest.fixture(scope="module")
def outcome_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    """Conducts an experiment, the same one once. Outcomes are only to be read."""
    return functools.cache(lambda text: conducted(text, tmp_path_factory.mktemp("experiment")))


@pytest.mark.parametrize(
    "text",
    [
        "full-example[epochs=1,batch_size=32,trials=1,seeds=2]",
        "batch-size[batch_sizes=(16,64),evaluations=2,trials=1,seeds=2]",
        "initialisation[draws=2,batch_size=32,epochs=1,evaluations=1,trials=1,seeds=1]",
        "dropout[probabilities=(0.0,0.5),masks=4,batch_size=32,epochs=1,evaluations=1,seeds=2]",
        "batch-norm[budget=64examples,images_budget=64examples,batch_size=32,width=2,evaluations=2,trials=1,seeds=2]",
        "residual[depths=(8,14),width=2,budget=64examples,batch_size=32,evaluations=1,seeds=2]",
        LOADING,
        FROZEN,
    ],
)
def test_each_is_measured_judged_and_drawn(text: str, outcome_of: Callable[[str], Outcome]) -> None:
    outcome = outcome_of(text)
    assert outcome.verdict in (HOLDS, FAILS, UNKNOWN)
    assert len(outcome.summary) >= 3
    assert outcome.summary["measured"].notna().any()
    assert outcome.section.with_suffix(".svg").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.processes
def test_data_are_loaded_by_worker_processes(tmp_path: Path) -> None:
    outcome = conducted("data-loading[examples=100,workers=1,repetitions=2]", tmp_path)
    assert "loader,\n1 worker" in set(outcome.tables["speed"]["way"])
    assert outcome.summary["measured"].notna().all()


def test_what_workers_load_can_be_sent_to_them(outcome_of: Callable[[str], Outcome]) -> None:
    """A fresh interpreter receives the data set as a pickle."""
    folder = outcome_of(LOADING).section.with_suffix("") / "images"
    again = pickle.loads(pickle.dumps(data_loading._folder(folder)))
    assert len(again) == 100
    image, label = again[0]
    assert (image.shape[0], label) == (3, 0)


def test_a_layer_is_freed_at_half_of_an_odd_number_of_epochs(outcome_of: Callable[[str], Outcome]) -> None:
    found = outcome_of(FROZEN).summary.set_index("quantity")
    share = found.loc["share of the epochs with the first layer frozen"]
    assert share["verdict"] == HOLDS
    assert share["measured"] == pytest.approx(1 / 3, abs=0.04)  # what the last evaluation before the half can see


@pytest.mark.parametrize(
    ("text", "weights", "complaint"),
    [
        ("frozen-features", "missing.pth", "missing.pth is not a file"),
        ("frozen-features", "wrong.pth", "weights file wrong.pth"),
        ("frozen-features", "imagenet", "accepted: weights=FILE"),
        ("residual[data=./folder]", None, "one class"),
        ("dropout[probabilities=(0)]", None, "(0,) is out of range (accepted: at least one value above 0)"),
    ],
)
def test_bad_input_is_one_line(
    text: str, weights: str | None, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from optbench.cli.verbs import WRONG_USE, _main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "wrong.pth").write_bytes(b"no weights")
    for split in ("train", "test"):
        (tmp_path / "folder" / split / "cat").mkdir(parents=True)
        (tmp_path / "folder" / split / "cat" / "1.png").touch()
    options = [] if weights is None else ["--weights", weights]
    assert _main(["experiment", text, "--quick", *options]) == WRONG_USE
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_an_unknown_experiment_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'dropout'"):
        conducted("drop-out", tmp_path)
