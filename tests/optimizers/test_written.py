"""The call that constructs an optimizer in a user's own script, executed with torch."""

from __future__ import annotations

import math

import pytest
import torch

from optbench.optimizers.registry import REGISTERED_OPTIMIZERS
from optbench.optimizers.written import write_constructor


@pytest.mark.parametrize(
    ("label", "lr", "others", "more", "text"),
    [
        ("momentum", 0.01778, "", {}, "torch.optim.SGD(params, lr=0.0178, momentum=0.9)"),
        ("momentum[momentum=0.5]", 0.1, "weight_decay=0.0001", {},
         "torch.optim.SGD(params, lr=0.1, momentum=0.5, weight_decay=0.0001)"),
        ("adam", 1e-3, "beta2=0.99, eps=1e-08", {}, "torch.optim.Adam(params, lr=0.001, eps=1e-08, betas=(0.9, 0.99))"),
        ("adam[clip_norm=1.0]", 1e-3, "lr_warmup=0.1", {"schedule": "cosine"},
         "torch.optim.Adam(params, lr=0.001)  # with the schedule cosine; to add yourself: "
         "clip_norm=1.0, lr_warmup=0.1"),
        ("MyOpt", 0.5, "", {"target": "my_opt.py:MyOpt"}, "MyOpt(params, lr=0.5)  # from my_opt.py"),
        ("Yours[beta=0.5]", math.nan, "", {"target": "package.module:Yours"}, "package.module.Yours(params, beta=0.5)"),
        ("table", 0.1, "", {"target": "torch.optim:SGD", "arguments": {"nesterov": True, "momentum": 0.9}},
         "torch.optim.SGD(params, lr=0.1, nesterov=True, momentum=0.9)"),
        ("adamw_recipe", 0.01, "beta1=0.9", {"target": "torch.optim:AdamW"},
         "torch.optim.AdamW(params, lr=0.01, betas=(0.9, 0.999))"),
        ("table", 0.01, "beta2=0.95", {"target": "torch.optim:NAdam", "arguments": {"betas": [0.8, 0.9]}},
         "torch.optim.NAdam(params, lr=0.01, betas=(0.8, 0.95))"),
        ("MyOpt[beta1=0.5]", 0.1, "momentum=0.9", {"target": "my_opt.py:MyOpt", "grouped": True},
         "MyOpt(params, lr=0.1, momentum=0.9)  # from my_opt.py; to add yourself: beta1=0.5; "
         "with its parameter groups"),
    ],
)  # fmt: skip
def test_calls_by_hand(label: str, lr: float, others: str, more: dict, text: str) -> None:
    assert write_constructor(label, lr, others, **more) == text


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad", "adadelta",
                                  "adamax", "nadam", "lbfgs"])  # fmt: skip
def test_calls_construct_the_optimizer_that_was_run(name: str) -> None:
    spec = REGISTERED_OPTIMIZERS[name]
    made = eval(write_constructor(name, 0.0123), {"torch": torch, "params": [torch.zeros(2, requires_grad=True)]})
    assert f"{type(made).__name__}" == spec.constructor.rpartition(":")[2]
    assert made.defaults["lr"] == 0.0123
    for key, value in spec.arguments.items():
        assert made.defaults[key] == value
