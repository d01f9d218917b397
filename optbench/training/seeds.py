"""Seeds: one number per training, from which the seeds of all its random generators are derived.

Final runs use the seeds 0, 1, 2, …. Tuning trials use a separate range, so that no reported result uses a seed of the
tuning. The seeds are the same for all optimizers, so that their differences are paired.
"""

from __future__ import annotations

import hashlib

#: Trials use the seeds from TUNING_SEEDS on; `Config.seeds` is limited to smaller values.
TUNING_SEEDS = 1_000_000
#: Distance between the seeds of repeated tunings (studies).
STUDY_SEEDS = 1_000_000


def trial_seed(repetition: int, study: int = 0) -> int:
    """Returns the seed of a tuning's trials, which is the same for all optimizers.

    All points are trained on the same seed, so that they are compared and not the luck of their seeds.

    Args:
        repetition: 0 for all points, 1 for the best ones that are trained on a second seed.
        study: Number of the tuning, 0 for the first; repeated ones have other seeds.
    """
    return TUNING_SEEDS + STUDY_SEEDS * study + repetition


def derive(seed: int | str, purpose: str) -> int:
    """Derives an independent 63-bit seed for one purpose.

    Args:
        seed: A training's seed, or another identifier.
        purpose: Such as "initial weights" or "data order".
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
