"""Machines that share nothing but a network: the quick preset, as on one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import optbench
from tests.scale.test_engine import Told, wait_for
from tests.support.cluster import Cluster
from tests.support.namespaces import Namespaces
from tests.support.same_results import assert_same_results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Namespaces.possible(), reason="namespaces may not be made here"),
]


@pytest.mark.timeout(2400)
def test_the_quick_preset_on_machines_that_share_no_disk(tmp_path: Path) -> None:
    """Two workers, of which one is killed on the way, and a third one that comes: equal to a serial run."""
    optbench.run(engine="serial", name="serial", results=tmp_path, outputs=False)
    quick_preset_in_namespaces(tmp_path)
    assert_same_results(tmp_path / "hidden" / "dask", tmp_path / "serial")


def quick_preset_in_namespaces(folder: Path) -> list[str]:
    """Fills `hidden/dask` in the folder; returns what the user would have read."""
    hidden, told = folder / "hidden", Told()
    hidden.mkdir()
    finished = hidden / "dask" / "cells"
    with Namespaces() as namespaces, Cluster(folder, namespaces.machine(hidden)) as cluster:
        first = cluster.add_worker(machine=namespaces.machine(hidden))
        cluster.add_worker(machine=namespaces.machine(hidden))

        def compute() -> None:
            optbench.run(
                engine="dask", scheduler=cluster.address, name="dask", results=hidden, outputs=False, progress=told
            )

        work = threading.Thread(target=compute)
        work.start()
        wait_for(lambda: len(list(finished.glob("*/result.json"))) >= 5, work, seconds=600)
        first.kill()
        wait_for(lambda: len(list(finished.glob("*/result.json"))) >= 15, work, seconds=600)
        cluster.add_worker(machine=namespaces.machine(hidden))
        work.join(1200)
    return told.lines
