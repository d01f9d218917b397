"""The step of every registered optimizer, and the gradient of every problem of the quick tier.

Adding an entry to a registry adds its timing. Where nothing is measured, three optimizers show that it could be.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest

from optbench.config.presets import preset
from optbench.errors import Inapplicable
from optbench.optimizers.registry import REGISTERED_OPTIMIZERS, optimizer_names

PROBLEMS = {
    "quadratic": "quadratic_valley",
    "mnist_cnn": "mnist_cnn[data=digits]",
    "resnet8": "cifar_resnet[data=digits,depth=8,width=8,augment=false]",
}
QUICK = [entry["select"] if isinstance(entry, dict) else entry for entry in preset("quick")["problems"]]


def _there(package: str | None) -> bool:
    return not package or find_spec(package.replace("-", "_")) is not None


OPTIMIZERS = [
    pytest.param(name, marks=() if name in ("sgd", "adam", "lbfgs") else pytest.mark.slow)
    for name in optimizer_names()
    if name not in REGISTERED_OPTIMIZERS or _there(REGISTERED_OPTIMIZERS[name].package)
]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_step(optimizer: str, problem: str, optimizer_step: Callable[..., None]) -> None:
    try:
        optimizer_step(optimizer, PROBLEMS[problem])
    except Inapplicable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("problem", QUICK)
def test_forward_and_backward(problem: str, forward_backward: Callable[..., None]) -> None:
    forward_backward(problem)


@pytest.mark.parametrize("problem", ["quadratic", "mnist_cnn"])
def test_training(problem: str, training: Callable[..., None]) -> None:
    training("adam", PROBLEMS[problem], 2000)
