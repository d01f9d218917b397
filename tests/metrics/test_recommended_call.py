"""The call that `recommend` gives for an own script has the values of the recommendation, or there is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import optbench
from optbench.results import frozen
from tests.support.studies import Study, study


def call(monkeypatch: pytest.MonkeyPatch, found: Study, identity: dict[str, Any] | None = None) -> str:
    identities = {cell: {"optimizer": identity or {}} for cell in found.cells["cell_id"]}
    results = SimpleNamespace(**vars(found), identities=identities, warnings=[], machines=[])
    monkeypatch.setattr(frozen, "open_results", lambda folder: results)
    return str(optbench.recommend(".").attrs["constructor"])


def test_it_has_the_schedule_of_the_recommended_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    found = study({"adam": [1.0] * 3})
    better = study({("bowl", 20, "adam"): [0.5] * 3})
    for name in ("runs", "trials", "cells", "curves"):
        other = getattr(better, name).assign(schedule="cosine")
        setattr(found, name, pd.concat([getattr(found, name), other], ignore_index=True))
    assert call(monkeypatch, found) == "torch.optim.Adam(params, lr=0.01)  # with the schedule cosine"


def test_several_tasks_have_a_call_if_it_has_the_values_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = study({(name, 10, "adam"): [1.0] * 3 for name in "ab"})
    assert call(monkeypatch, alike) == "torch.optim.Adam(params, lr=0.01)"
    search = {"search": {"lr": {}, "beta1": {}}}
    assert call(monkeypatch, alike, search) == "", "the chosen beta1 may differ"
    rates = study({(name, 10, "adam"): [1.0] * 3 for name in "ab"}, trials={("a", 10, "adam"): [0.1, 0.5, 0.7]})
    assert call(monkeypatch, rates) == ""
    alike.cells.loc[1, "schedule"] = "cosine"
    for name in ("runs", "trials"):
        frame = getattr(alike, name)
        frame.loc[frame["problem"] == "b", "schedule"] = "cosine"
    assert call(monkeypatch, alike) == ""


def test_the_largest_budget_has_none_if_it_recommends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = study({"adam": [None] * 3})
    default = found.runs.assign(tuned=False, lr=0.001, status="ok", test_metric=1.0, test_loss=1.0)
    found.runs = pd.concat([found.runs, default], ignore_index=True)
    assert call(monkeypatch, found) == ""
    ended = study({"adam": [1.0] * 3})
    assert call(monkeypatch, ended) == "torch.optim.Adam(params, lr=0.01)"


def test_an_optimizer_that_was_renamed_in_joined_results_is_called_by_its_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = {"constructor": "torch.optim:SGD", "arguments": {"momentum": 0.5}, "groups": {"rest": ["*"]}}
    written = call(monkeypatch, study({"heavy (other)": [1.0] * 3}), table)
    assert written == "torch.optim.SGD(params, lr=0.01, momentum=0.5)  # with its parameter groups"
