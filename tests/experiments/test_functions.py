"""The experiments on functions and on small networks, each conducted very small."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN
from tests.support.conducted import conducted


@pytest.mark.parametrize(
    "text",
    [
        "batch-speedup[inputs=50,outputs=40,samples=(2,30),repetitions=3]",
        "sum-or-mean[batches=(20,50),rates=2,epochs=0.5,valley_batches=(50,100,500),valley_rates=3,valley_epochs=1]",
        "family[steps=10,evaluations=2,epochs=0.5,batch_size=32,worth=1,seeds=2]",
        "parameter-groups[networks=2,epochs=0.5,trials=2,seeds=1]",
    ],
)
def test_each_is_measured_judged_and_drawn(text: str, tmp_path: Path) -> None:
    outcome = conducted(text, tmp_path)
    assert outcome.verdict in (HOLDS, FAILS, UNKNOWN)
    assert outcome.summary["measured"].notna().any()
    assert outcome.section.with_suffix(".svg").stat().st_size > 1000
