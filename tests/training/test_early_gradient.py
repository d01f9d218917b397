"""The gradient of the present batch is there for an optimizer that reads it before it calls its closure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from optbench.problem.data import Batch
from optbench.training.early_gradient import GradientReadEarly, Placeholder, place, remove
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


@pytest.mark.parametrize("name", ["KeepsReference", "MovesFirst", "Batchwise"])
def test_it_is_the_gradient_that_a_training_loop_would_have_left_there(name: str) -> None:
    """Kept references stay the first gradient, and it is that of the weights before the step."""
    stepper = stepper_of(cell_of(TINY_NET, f"{PASSES}:{name}"))
    plain = stepper_of(cell_of(TINY_NET, f"{PASSES}:{name}"))
    for _ in range(4):
        batch = plain._next_batch()

        def closure(batch: Batch = batch) -> torch.Tensor:
            plain.optimizer.zero_grad(set_to_none=True)
            plain._seed(plain._training_seed + plain.steps)
            loss = plain.problem.loss(plain.model, batch)
            loss.backward()
            return loss

        closure()
        plain.optimizer.step(closure)  # type: ignore[arg-type]
        plain.steps += 1
        assert stepper.step()
    for a, b in zip(stepper.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_optimizer_that_only_zeroes_gradients_pays_for_none() -> None:
    stepper = stepper_of(cell_of(TINY_NET, f"{PASSES}:ZeroesFirst"))
    assert stepper.step()
    assert stepper.ledger.backwards == 1


def test_one_that_reads_early_in_a_later_step_only_is_told_so() -> None:
    stepper = stepper_of(cell_of(TINY_NET, f"{PASSES}:ReadsLater"))
    assert stepper.step()
    with pytest.raises(GradientReadEarly, match="did not do so in its first step"):
        stepper.step()
    assert not any(isinstance(parameter.grad, Placeholder) for parameter in stepper.model.parameters())


def test_a_step_that_does_not_call_its_closure_is_an_error() -> None:
    stepper = stepper_of(cell_of(TINY_NET, "lbfgs"))
    stepper.optimizer.step = lambda closure: None  # type: ignore[assignment,method-assign]
    with pytest.raises(RuntimeError, match="did not call its closure"):
        stepper.step()


class TestPlaceholder:
    def setup_method(self) -> None:
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        place([self.weight])
        assert self.weight.grad is not None
        self.grad = self.weight.grad

    def test_its_shape_and_type_are_known(self) -> None:
        assert (self.grad.shape, self.grad.dtype, self.grad.numel()) == ((2,), torch.float32, 2)

    @pytest.mark.parametrize(
        "read", [lambda g: g * 2, lambda g: torch._foreach_norm([g]), lambda g: g.is_sparse, lambda g: g.clone()]
    )
    def test_whatever_depends_on_its_values_is_noticed(self, read: Callable[[torch.Tensor], object]) -> None:
        with pytest.raises(GradientReadEarly):
            read(self.grad)

    def test_none_is_left_over(self) -> None:
        remove([self.weight])
        assert self.weight.grad is None
