"""Machines that share nothing but a network: the quick preset, as on one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import optbench
from tests.support.cluster import Cluster, Told, background
from tests.support.namespaces import Namespaces
from tests.support.same_results import assert_same_results

pytestmark = [
    pytest.mark.processes,
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
    with Namespaces() as namespaces, Cluster(folder, namespaces.machine(hidden)) as cluster, background() as start:
        first = cluster.add_worker(machine=namespaces.machine(hidden))
        cluster.add_worker(machine=namespaces.machine(hidden))
        work = start(
            lambda: optbench.run(
                engine="dask", scheduler=cluster.address, name="dask", results=hidden, outputs=False, progress=told
            )
        )

        def wait_for(cells: int) -> None:  # only the time limit of the test ends it: the cells take minutes
            while len(list(finished.glob("*/result.json"))) < cells:
                assert not work.done(), work.exception()
                time.sleep(0.1)

        wait_for(5)
        first.kill()
        wait_for(15)
        cluster.add_worker(machine=namespaces.machine(hidden))
        work.result()
    return told.lines
