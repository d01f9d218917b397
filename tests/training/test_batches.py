"""Batches: whole ones, every epoch visits each example once, and the order is that of the generator alone."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from optbench.training.batches import BatchStream


class Stream:
    """A stream of one replica."""

    def __init__(self, examples: int, batch_size: int, seed: int = 0) -> None:
        self.batches = BatchStream(examples, batch_size, [torch.Generator().manual_seed(seed)], "cpu")

    def next(self) -> torch.Tensor:
        batch = self.batches.next()
        assert batch.shape == (1, self.batches.batch_size)
        return batch[0]


stream = Stream


@given(examples=st.integers(1, 40), share=st.integers(0, 39), count=st.integers(1, 30), replicas=st.integers(1, 4))
def test_replicas_see_the_orders_that_each_has_alone(examples: int, share: int, count: int, replicas: int) -> None:
    batch_size = 1 + share % examples
    generators = [torch.Generator().manual_seed(seed) for seed in range(replicas)]
    together = BatchStream(examples, batch_size, generators, "cpu")
    alone = [stream(examples, batch_size, seed) for seed in range(replicas)]
    for _ in range(count):
        assert torch.equal(together.next(), torch.stack([one.next() for one in alone]))


@given(examples=st.integers(1, 40), share=st.integers(0, 39), count=st.integers(1, 30), seed=st.integers(0, 2**40))
def test_batches_are_a_chain_of_permutations(examples: int, share: int, count: int, seed: int) -> None:
    batch_size = 1 + share % examples
    batches = stream(examples, batch_size, seed)
    found = [batches.next().clone() for _ in range(count)]
    assert all(len(batch) == batch_size for batch in found)
    generator = torch.Generator().manual_seed(seed)
    epochs = -(-count * batch_size // examples)
    expected = torch.cat([torch.randperm(examples, generator=generator) for _ in range(epochs)])
    assert torch.equal(torch.cat(found), expected[: count * batch_size])


@given(examples=st.integers(1, 30), share=st.integers(0, 29))
def test_every_epoch_visits_each_example_once(examples: int, share: int) -> None:
    """Also where the batch size doesn't divide the number of examples and batches cross epochs."""
    batch_size = 1 + share % examples
    batches = stream(examples, batch_size)
    visited = torch.cat([batches.next() for _ in range(examples)])  # whole epochs: batch_size of them
    for epoch in visited.split(examples):
        assert epoch.sort().values.tolist() == list(range(examples))


def test_the_order_does_not_depend_on_the_global_generator() -> None:
    torch.manual_seed(1)
    one = torch.cat([stream(20, 7).next() for _ in range(1)])
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(stream(20, 7).next(), one)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_order_depends_on_the_seed() -> None:
    assert not torch.equal(stream(100, 50, seed=1).next(), stream(100, 50, seed=2).next())


def test_different_batch_sizes_see_the_examples_in_the_same_order() -> None:
    small, large = stream(60, 10), stream(60, 30)
    assert torch.equal(torch.cat([small.next() for _ in range(6)]), torch.cat([large.next() for _ in range(2)]))


@given(examples=st.integers(1, 30), share=st.integers(0, 29), count=st.integers(1, 20))
def test_sequential_batches_visit_the_examples_as_they_lie(examples: int, share: int, count: int) -> None:
    batch_size = 1 + share % examples
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    batches = BatchStream(examples, batch_size, generators, "cpu", "sequential")
    found = torch.cat([batches.next() for _ in range(count)], dim=1)
    assert found.tolist() == [[index % examples for index in range(count * batch_size)]] * 2


def test_draws_with_replacement_are_uniform_and_independent() -> None:
    """By the number of examples that an epoch misses: (1 - 1/n)^n of n, and by the counts of each over many."""
    examples, epochs = 50, 400
    batches = BatchStream(examples, examples, [torch.Generator().manual_seed(5)], "cpu", "replacement")
    drawn = torch.stack([batches.next()[0] for _ in range(epochs)])
    missed = sum(examples - len(epoch.unique()) for epoch in drawn) / epochs
    assert abs(missed - examples * (1 - 1 / examples) ** examples) < 0.5
    counts = torch.bincount(drawn.flatten(), minlength=examples).double()
    assert abs(((counts - epochs) ** 2 / epochs).sum() - (examples - 1)) < 4 * (2 * (examples - 1)) ** 0.5
    again = BatchStream(examples, examples, [torch.Generator().manual_seed(5)], "cpu", "replacement")
    assert torch.equal(again.next()[0], drawn[0])
