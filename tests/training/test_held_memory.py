"""What an optimizer holds is measured wherever it is, and nothing else is."""

from __future__ import annotations

import array
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optbench.conformance.subject import make_trainable
from optbench.optimizers.builtin import BUILT_IN
from optbench.training.construct import make_optimizer
from optbench.training.held_memory import state_bytes
from tests.support.tiny import TINY_NET

WEIGHTS = 4 * (30 * 20 + 20)
KEPT: dict[str, Tensor] = {}


class Holding(torch.optim.SGD):
    """Gradient descent that keeps something."""

    def __init__(self, params: Any, keep: Callable[[Any, list[Tensor]], Any]) -> None:
        super().__init__(params, lr=0.1)
        keep(self, [p for group in self.param_groups for p in group["params"]])


class Slotted:
    __slots__ = ("copies",)


class Wrapping(torch.optim.Optimizer):
    """Shows the groups of another optimizer, and no state."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner = inner
        self.slow = [[p.detach().clone() for p in group["params"]] for group in inner.param_groups]

    @property
    def param_groups(self) -> Any:
        return self.inner.param_groups

    @property
    def defaults(self) -> Any:
        return self.inner.defaults

    @property
    def state(self) -> Any:
        return {}


class Global(torch.optim.SGD):
    """Keeps a copy in a global variable."""

    def step(self, closure: Any = None) -> Any:
        for place, p in enumerate(self.param_groups[0]["params"]):
            KEPT[str(place)] = p.detach().clone()
        return super().step(closure)


def _copies(parameters: list[Tensor]) -> list[Tensor]:
    return [p.detach().clone() for p in parameters]


def _in_closure(self: Any, parameters: list[Tensor]) -> None:
    slow = _copies(parameters)
    self.mix = lambda: slow


def _in_partial(self: Any, parameters: list[Tensor]) -> None:
    self.mix = functools.partial(max, _copies(parameters))


def _in_slots(self: Any, parameters: list[Tensor]) -> None:
    self.held = Slotted()
    self.held.copies = _copies(parameters)


def _on_parameters(self: Any, parameters: list[Tensor]) -> None:
    for p in parameters:
        p.slow = p.detach().clone()  # type: ignore[attr-defined]


def _in_group(self: Any, parameters: list[Tensor]) -> None:
    self.param_groups[0]["slow"] = _copies(parameters)


def _in_generator(self: Any, parameters: list[Tensor]) -> None:
    def coroutine() -> Any:
        slow = _copies(parameters)
        while True:
            yield slow

    self.running = coroutine()
    next(self.running)


@pytest.fixture
def model() -> nn.Module:
    model = nn.Linear(30, 20)
    model(torch.rand(7, 30)).sum().backward()
    return model


@pytest.mark.parametrize(
    "keep",
    [
        lambda self, ps: setattr(self, "slow", _copies(ps)),
        lambda self, ps: setattr(self, "slow", {p: p.detach().clone() for p in ps}),
        lambda self, ps: setattr(self, "host", {p: p.detach().numpy().copy() for p in ps}),
        lambda self, ps: setattr(self, "host", SimpleNamespace(momenta=[p.detach().numpy().copy() for p in ps])),
        lambda self, ps: setattr(self, "host", np.array([*_copies(ps), None], dtype=object)),
        lambda self, ps: setattr(self, "host", [bytearray(p.detach().numpy().tobytes()) for p in ps]),
        lambda self, ps: setattr(self, "host", [array.array("f", p.detach().flatten().tolist()) for p in ps]),
        lambda self, ps: setattr(self, "average", torch.optim.swa_utils.AveragedModel(nn.ParameterList(_copies(ps)))),
        lambda self, ps: self.register_step_post_hook(functools.partial(print, _copies(ps))),
        _in_closure,
        _in_partial,
        _in_slots,
        _on_parameters,
        _in_group,
        _in_generator,
    ],
)
def test_a_copy_of_the_weights_is_found(model: nn.Module, keep: Callable[[Any, list[Tensor]], Any]) -> None:
    found = state_bytes(Holding(model.parameters(), keep))
    assert found is not None
    assert 0 <= found - WEIGHTS <= 24  # of AveragedModel's counter, and an array's references


def test_lists_of_numbers_are_at_least_as_large_as_their_numbers(model: nn.Module) -> None:
    held = Holding(model.parameters(), lambda self, ps: setattr(self, "host", [p.flatten().tolist() for p in ps]))
    assert (state_bytes(held) or 0) >= 2 * WEIGHTS  # Python computes in float64


def test_wrapped_optimizers_are_part_of_it(model: nn.Module) -> None:
    adam = torch.optim.Adam(model.parameters())
    wrapping = Wrapping(Wrapping(adam))
    assert state_bytes(wrapping) == 2 * WEIGHTS
    adam.step()
    assert state_bytes(adam) == 2 * WEIGHTS + 2 * 4  # a counter of steps per parameter
    assert state_bytes(wrapping) == 4 * WEIGHTS + 2 * 4


def test_global_variables_of_its_own_code_are_part_of_it(model: nn.Module) -> None:
    optimizer = Global(model.parameters(), lr=0.1)
    KEPT.clear()
    assert state_bytes(optimizer) == 0
    optimizer.step()
    assert state_bytes(optimizer) == WEIGHTS


def test_what_others_own_is_not_counted(model: nn.Module) -> None:
    """Parameters, gradients and views of them, settings, and the training whose closure it keeps."""

    def keep(self: Any, parameters: list[Tensor]) -> None:
        self.mine, self.gradients = parameters, [p.grad for p in parameters]
        self.views = [p.detach().view(-1) for p in parameters] + [p.detach().numpy()[:1] for p in parameters]
        self.betas, self.name = [0.9, 0.999], "a name that is longer than sixteen letters"
        self.param_groups[0]["lr"] = torch.tensor(0.1)

    assert state_bytes(Holding(model.parameters(), keep)) == 0
    stepper = make_trainable(TINY_NET, f"{__name__}:Remembering", batch_size=10).stepper()
    stepper.step()
    assert stepper.optimizer.closure is not None
    assert state_bytes(stepper.optimizer) == 0


class Remembering(torch.optim.SGD):
    """Keeps the closure of its last step."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.closure: Any = None

    def step(self, closure: Any) -> Any:
        self.closure = closure
        return super().step(closure)


@pytest.mark.parametrize("name", BUILT_IN)
def test_optimizers_that_keep_all_in_their_state(name: str, model: nn.Module) -> None:
    """Nothing is missed or found twice."""
    choice = make_trainable(TINY_NET, name, batch_size=10).cell.optimizer
    optimizer = make_optimizer(choice, model, choice.defaults)

    def closure() -> Tensor:
        loss = model(torch.ones(7, 30)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    tensors = [t for state in optimizer.state.values() for value in state.values() for t in _flat(value)]
    assert state_bytes(optimizer) == sum(t.untyped_storage().nbytes() for t in tensors)


def _flat(value: Any) -> list[Tensor]:
    if isinstance(value, list):
        return [tensor for item in value for tensor in _flat(item)]
    return [value] if isinstance(value, Tensor) else []


def test_the_share_of_one_of_several_replicas() -> None:
    stacked = nn.Parameter(torch.zeros(10, 30))
    stacked.grad = torch.ones_like(stacked)
    adam = torch.optim.Adam([stacked])
    adam.step()
    adam.host = {stacked: np.zeros((10, 30), dtype=np.float32)}  # type: ignore[attr-defined]
    assert state_bytes(adam, replicas=10) == 3 * 4 * 30 + 4


def test_what_cannot_be_measured_is_missing(model: nn.Module) -> None:
    class Shy(dict):  # type: ignore[type-arg]
        def values(self) -> Any:
            raise RuntimeError("not yours")

    assert state_bytes(Holding(model.parameters(), lambda self, ps: setattr(self, "shy", Shy()))) is None
