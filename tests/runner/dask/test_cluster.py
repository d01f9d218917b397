"""Workers of this run's own: replaced where a nanny is gone, and one line where they don't start."""

from __future__ import annotations

import distributed
import pytest

from optbench.errors import UserError
from optbench.runner.dask.cluster import replenish, start_workers
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.processes


def test_a_worker_that_was_given_up_is_replaced() -> None:
    with start_workers(1, 1) as client:
        (nanny,) = client.cluster.workers.values()
        replenish(client)
        assert [*client.cluster.workers.values()] == [nanny], "nothing is missing"
        client.sync(nanny.close)

        def replaced() -> bool:
            replenish(client)
            return bool(client.scheduler_info()["workers"]) and nanny not in client.cluster.workers.values()

        wait_until(replaced, "another worker starts")
        assert client.submit(sum, [1, 2]).result(timeout=PATIENCE) == 3


def test_workers_that_do_not_start_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def killed(self: object) -> None:
        raise RuntimeError("killed\nby whomever")

    monkeypatch.setattr(distributed.Nanny, "instantiate", killed)
    with pytest.raises(UserError, match="the workers of engine 'dask' did not start") as caught, start_workers(1, 1):
        pass
    assert "\n" not in str(caught.value)
