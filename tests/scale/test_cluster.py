"""Workers of this run's own: replaced where a nanny is gone, and one line where they don't start."""

from __future__ import annotations

import time

import distributed
import pytest

from optbench.errors import UserError
from optbench.scale.cluster import local, replenish


def test_a_worker_that_was_given_up_is_replaced() -> None:
    with local(1, 1) as client:
        (nanny,) = client.cluster.workers.values()
        replenish(client)
        assert [*client.cluster.workers.values()] == [nanny], "nothing is missing"
        client.sync(nanny.close)
        deadline = time.monotonic() + 60
        while not client.scheduler_info()["workers"] or nanny in client.cluster.workers.values():
            replenish(client)
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3


def test_workers_that_do_not_start_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def killed(self: object) -> None:
        raise RuntimeError("killed\nby whomever")

    monkeypatch.setattr(distributed.Nanny, "instantiate", killed)
    with pytest.raises(UserError, match="the workers of engine dask don't start") as caught, local(1, 1):
        pass
    assert "\n" not in str(caught.value)
