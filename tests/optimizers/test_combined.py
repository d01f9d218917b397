"""Several optimizers as one, against the members stepping by themselves."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from optbench.optimizers.combined import combine
from optbench.training.construct import describe_optimizer
from optbench.training.held_memory import state_bytes

SEEDS = range(5)


def start() -> list[torch.nn.Parameter]:
    random = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 3, generator=random)) for _ in range(3)]


def members(places: list[torch.nn.Parameter]) -> list[torch.optim.Optimizer]:
    return [torch.optim.Adagrad([places[0]], lr=0.1), torch.optim.AdamW(places[1:], lr=0.01, weight_decay=0.1)]


def stepped(places: list[torch.nn.Parameter], optimizers: list[Any], seeds: Any = SEEDS) -> list[Tensor]:
    for seed in seeds:
        random = torch.Generator().manual_seed(seed)
        for place in places:
            place.grad = torch.randn(3, 3, generator=random)
        for optimizer in optimizers:
            optimizer.step()
    return [place.detach().clone() for place in places]


def test_it_steps_as_its_members_do() -> None:
    alone, together = start(), start()
    expected = stepped(alone, members(alone))
    assert all(map(torch.equal, stepped(together, [combine(members(together))]), expected))


def test_groups_are_the_members_own_so_that_schedules_reach_them() -> None:
    places = start()
    optimizer = combine(members(places))
    before = [place.detach().clone() for place in places]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    assert all(map(torch.equal, stepped(places, [optimizer]), before))


def test_saved_state_goes_on_to_the_same_bits() -> None:
    whole, resumed = start(), start()
    first = combine(members(whole))
    stepped(whole, [first])
    second = combine(members(resumed))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for place, other in zip(resumed, whole, strict=True):
        place.data.copy_(other)
    expected = stepped(whole, [first], range(5, 9))
    assert all(map(torch.equal, stepped(resumed, [second], range(5, 9)), expected))
    for group in second.param_groups:
        group["lr"] = 0.0
    assert all(map(torch.equal, stepped(resumed, [second]), expected))


def test_what_is_recorded_names_all_members_and_counts_all_state() -> None:
    places = start()
    optimizer = combine(members(places))
    stepped(places, [optimizer])
    found = describe_optimizer(optimizer)
    assert found["class"].endswith("Adagrad")
    assert [name.rpartition(":")[2] for name in found["members"]] == ["Adagrad", "AdamW"]
    assert [group["parameters"] for group in found["groups"]] == [9, 18]
    # Adagrad keeps a sum, AdamW two moments; each a count of steps.
    assert state_bytes(optimizer) == 9 * 4 + 2 * 2 * 9 * 4 + 3 * 4


def test_a_closure_is_evaluated_once() -> None:
    places, calls = start(), []
    for place in places:
        place.grad = torch.ones(3, 3)

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        return torch.tensor(2.0)

    assert combine(members(places)).step(closure) == 2.0
    assert calls == [True]


@pytest.mark.parametrize("switching", [True, False])
def test_switches_are_there_where_a_member_has_them(switching: bool) -> None:
    calls: list[str] = []

    class Free(torch.optim.SGD):
        def train(self) -> None:
            calls.append("train")

        def eval(self) -> None:
            calls.append("eval")

    places = start()
    first = (Free if switching else torch.optim.SGD)([places[0]], lr=0.1)
    optimizer: Any = combine([torch.optim.SGD(places[1:], lr=0.1), first])
    assert hasattr(optimizer, "eval") == switching
    if switching:
        optimizer.eval()
        optimizer.train()
        assert calls == ["eval", "train"]
