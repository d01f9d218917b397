"""The gradient of the present batch is there for an optimizer that reads it before it calls its closure."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optbench.training.pending_gradient import PendingGradient, place, remove
from tests.support.passes import PASSES
from tests.support.tiny import TINY_NET
from tests.training.test_stepper import cell_of, stepper_of


def test_sam_as_published_is_sam_that_asks_first_bit_by_bit_at_the_same_price() -> None:
    steppers = [stepper_of(cell_of(TINY_NET, f"{PASSES}:{name}")) for name in ("Sharp", "SharpAsking")]
    for stepper in steppers:
        for _ in range(5):
            assert stepper.step()
    published, asking = steppers
    for a, b in zip(published.model.parameters(), asking.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert published.ledger.thirds == asking.ledger.thirds == 5 * 10 * 2 * 3
    assert published.ledger.backwards == 10


def test_a_closure_without_gradients_costs_a_third_and_the_gradient_is_paid_where_it_is_read() -> None:
    stepper = stepper_of(cell_of(TINY_NET, f"{PASSES}:Polyak"))
    before = [parameter.detach().clone() for parameter in stepper.model.parameters()]
    assert stepper.step()
    assert stepper.ledger.thirds == 10 * (1 + 3)
    assert not any(torch.equal(a, b) for a, b in zip(before, stepper.model.parameters(), strict=True))


def test_lbfgs_which_reads_none_pays_for_none() -> None:
    stepper = stepper_of(cell_of(TINY_NET, "lbfgs[max_iter=1,line_search_fn=none]"))
    assert stepper.step()
    assert stepper.ledger.backwards == stepper.ledger.forwards == 1


def test_a_step_that_neither_calls_nor_reads_is_an_error() -> None:
    stepper = stepper_of(cell_of(TINY_NET, f"{PASSES}:Sharp"))
    stepper.optimizer.step = lambda closure: None  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="neither called its closure nor read a gradient"):
        stepper.step()
    assert all(parameter.grad is None for parameter in stepper.model.parameters())


class TestPlaceholder:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    other = nn.Parameter(torch.tensor([3.0]))

    def fill(self) -> None:
        self.calls += 1
        self.weight.grad, self.other.grad = torch.tensor([5.0, 6.0]), None

    def setup_method(self) -> None:
        self.calls = 0
        place([self.weight, self.other], self.fill)

    def test_its_shape_and_type_are_known_without_computing(self) -> None:
        grad = self.weight.grad
        assert isinstance(grad, PendingGradient)
        assert (grad.shape, grad.dtype, grad.numel(), grad.is_sparse) == ((2,), torch.float32, 2, False)
        assert self.calls == 0

    def test_the_first_operation_computes_all_of_them_once(self) -> None:
        first, second = self.weight.grad, self.other.grad
        assert first is not None
        assert second is not None
        assert (first * 2).tolist() == [10.0, 12.0]
        assert torch._foreach_norm([first, second])[0].item() == pytest.approx(61**0.5)
        assert second.tolist() == [0.0], "the loss doesn't depend on this one"
        assert self.calls == 1

    def test_none_is_left_over(self) -> None:
        remove([self.weight, self.other])
        assert self.weight.grad is None
        assert self.calls == 0
