"""How often a slowdown is missed, and how often there is an alarm for nothing: whole sittings with real processes.

    python -m tests.support.sittings --injected 20 --unchanged 40

Unchanged code is measured while another process keeps a core busy, from time to time. A sitting takes half a minute,
or a quarter of one unchanged.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optbench.timing.interleaved import measure
from optbench.timing.verdict import FAILING
from optbench.timing.visits import visit

SUITE = Path(__file__).with_name("suite_of_three.py").relative_to(Path.cwd())
#: Of unchanged code only what needs no torch is measured, whose import takes most of a visit.
QUICK = "sleep or copy"
_BUSY = (
    "import time, random\nwhile True:\n end = time.time() + random.uniform(0.5, 3)\n while time.time() < end: pass\n"
)
_BUSY_AND_IDLE = _BUSY + " time.sleep(random.uniform(0, 2))\n"


def sitting(slower: bool) -> dict[str, str]:
    """The verdict of each test, with the second side slower or not."""
    found = measure(
        ("before", "after"),
        (
            lambda select: visit(SUITE, select=select, expression="" if slower or select else QUICK),
            lambda select: visit(
                SUITE,
                environment={"OPTBENCH_TEST_SLOWER": "1"} if slower else None,
                select=select,
                expression="" if slower or select else QUICK,
            ),
        ),
    )
    return {str(row.test).rsplit("::", 1)[-1]: str(row.verdict) for row in found.frame.itertuples()}


@contextmanager
def _load() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", _BUSY_AND_IDLE])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Prints the verdicts of all sittings, counted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--injected", type=int, default=20)
    parser.add_argument("--unchanged", type=int, default=40)
    arguments = parser.parse_args()
    started = time.monotonic()
    injected: Counter[tuple[str, str]] = Counter()
    for number in range(arguments.injected):
        injected.update(sitting(slower=True).items())
        print(f"injected {number + 1}: {dict(injected)}", flush=True)
    unchanged: Counter[tuple[str, str]] = Counter()
    alarms = 0
    with _load():
        for number in range(arguments.unchanged):
            found = sitting(slower=False)
            unchanged.update(found.items())
            alarms += any(verdict in FAILING for verdict in found.values())
            print(f"unchanged {number + 1}: {alarms} alarms, {dict(unchanged)}", flush=True)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
