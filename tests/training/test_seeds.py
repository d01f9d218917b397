"""Seeds: the same on every machine and in every version, different for every purpose."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from optbench.config.schema import Config
from optbench.training.seeds import TUNING_SEEDS, derive


def test_seeds_stay_what_they_are() -> None:
    """Stored results depend on these numbers: a change makes every resumed run a mixture."""
    assert derive(0, "initial weights") == 1127407204323782063
    assert derive("cell/3", "sampler") == derive("cell/3", "sampler")


@given(st.integers() | st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["initial weights", "x"]))
def test_seeds_fit_every_generator(seed: int | str, purpose: str) -> None:
    assert 0 <= derive(seed, purpose) < 2**63


def test_every_purpose_and_every_seed_gets_its_own() -> None:
    purposes = ("initial weights", "data order", "augmentation", "training", "sampler")
    found = {derive(seed, purpose) for seed in (*range(100), TUNING_SEEDS) for purpose in purposes}
    assert len(found) == 101 * len(purposes)


def test_final_runs_can_never_take_a_tuning_seed() -> None:
    assert Config(problems=("a",), optimizers=("b",), seeds=TUNING_SEEDS - 1).seeds <= TUNING_SEEDS
    limits = [getattr(rule, "lt", None) for rule in Config.model_fields["seeds"].metadata]
    assert TUNING_SEEDS in limits
