"""Two ways to the same numbers, each timed: the ratio of a pair holds across machines better than its times.

`extra_info["reference"]` names the other side of a pair, in the same run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from optbench.machine.device import make_deterministic
from optbench.problem.data import DataSource
from optbench.timing.bench.populations import at_once, loops, rates, small_cell
from optbench.timing.bench.throughput import bare_throughput, conv_net_cell, run_throughput

SOURCE = DataSource(Path("unused"), download=False)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    make_deterministic(1)


def _beside(benchmark: Any, name: str) -> None:
    """Names the other side of the pair: a test of this file, in the same run."""
    benchmark.extra_info["reference"] = f"{benchmark.fullname.split('::')[0]}::{name}"


@pytest.mark.parametrize("kind", ["loop", "batch"])
def test_product(kind: str, benchmark: Any) -> None:
    """300 examples of 1000 numbers times 500 columns: one after another, or as one matrix."""
    random = torch.Generator().manual_seed(0)
    x, w = torch.randn(300, 1000, generator=random), torch.randn(500, 1000, generator=random)

    def loop() -> torch.Tensor:
        return torch.stack([w.mv(example) for example in x])

    def batch() -> torch.Tensor:
        return x.mm(w.T)

    if kind == "batch":
        _beside(benchmark, "test_product[loop]")
    found = benchmark.pedantic(loop if kind == "loop" else batch, rounds=10, warmup_rounds=2)
    torch.testing.assert_close(found, (x.double() @ w.double().T).float(), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("side", [bare_throughput, run_throughput])
def test_conv_net(side: Any, benchmark: Any) -> None:
    """A thousand examples of the lecture's network, by a bare torch loop and by optbench."""
    if side is run_throughput:
        _beside(benchmark, "test_conv_net[bare_throughput]")
    assert benchmark.pedantic(side, args=(conv_net_cell(None, 100), SOURCE, 1000), rounds=5, warmup_rounds=1) > 0


@pytest.mark.parametrize("side", [loops, at_once])
def test_sixteen_rates(side: Any, benchmark: Any) -> None:
    """Sixteen learning rates of Adam on a 20-dimensional quadratic: one after another, and as one population."""
    cell = small_cell("quadratic_valley[dim=20]", "adam", 10, "200examples", 16)
    if side is at_once:
        _beside(benchmark, "test_sixteen_rates[loops]")
    assert benchmark.pedantic(side, args=(cell, rates(cell, 16), SOURCE), rounds=5, warmup_rounds=1) > 0
