"""Seeds: one number a training, from which every source of its randomness gets its own.

Final runs use the seeds 0, 1, 2, …; trials use a range of their own, so that no tuning seed is ever
reported on. Both are the same for all optimizers, so that their differences are paired.
"""

from __future__ import annotations

import hashlib

#: Trial t trains with seed TUNING_SEEDS + t; `Config.seeds` stays below.
TUNING_SEEDS = 1_000_000
#: So far apart are the seeds of a tuning and of the next one that repeats it.
STUDY_SEEDS = 1_000_000


def trial_seed(trial: int, study: int = 0) -> int:
    """The seed of a trial: the same for all optimizers, and another one in each repeated study."""
    return TUNING_SEEDS + STUDY_SEEDS * study + trial


def derive(seed: int | str, purpose: str) -> int:
    """An independent 63-bit seed for one purpose (initial weights, data order, …)."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
