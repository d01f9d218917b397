"""The zoo: each spec against the signature of its class, and update rules against NumPy written from the papers."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optbench.config.load import configure
from optbench.errors import UserError
from optbench.importing import load_attribute
from optbench.optimizers import registry
from optbench.optimizers.builtin import BUILT_IN
from optbench.optimizers.registry import optimizer_names
from optbench.optimizers.spec import OptimizerSpec
from optbench.optimizers.zoo import ZOO
from optbench.planning.matrix import make_plan
from optbench.training.construct import make_optimizer
from tests.support.tiny import TINY_NET, TinyNet
from tests.support.zoo_rules import FIRST_ORDER, orthogonal, sharpness_aware


def is_there(name: str) -> bool:
    """Whether the package of an optimizer is installed."""
    package = ZOO[name].package
    return not package or find_spec(package.replace("-", "_")) is not None


def there(name: str) -> Any:
    """A parameter that is skipped where the package of the optimizer isn't installed."""
    reason = f"needs the package {ZOO[name].package}"
    return pytest.param(name, marks=pytest.mark.skipif(not is_there(name), reason=reason))


def chosen(name: str) -> Any:
    config = configure(problems=[TINY_NET], optimizers=[name], batch_sizes=[10], devices=["cpu"])
    return make_plan(config).cells[0].optimizer


def test_the_zoo_holds_all_of_torch_optim() -> None:
    classes = {name for name, thing in vars(torch.optim).items() if isinstance(thing, type)}
    specs = {spec.constructor for spec in (*BUILT_IN.values(), *ZOO.values())}
    assert {f"torch.optim:{name}" for name in classes - {"Optimizer"}} == {s for s in specs if s.startswith("torch.")}
    assert not BUILT_IN.keys() & ZOO.keys()
    assert optimizer_names().keys() >= {*BUILT_IN, *ZOO}


def test_defaults_are_the_class_s_own() -> None:
    """But for what the spec fixes, and what it says of a group of another class."""
    assert {name: wrong for name in ZOO if is_there(name) and (wrong := wrong_defaults(ZOO[name]))} == {}


def wrong_defaults(spec: OptimizerSpec) -> dict[str, tuple[Any, Any]]:
    """The hyperparameters whose defaults differ, each with its default in the spec and in the class."""
    signature = {key: p.default for key, p in inspect.signature(load_attribute(spec.constructor)).parameters.items()}
    pairs = {"lr": (spec.default_lr, signature["lr"])}
    partners = {group: inspect.signature(load_attribute(cls)).parameters for group, cls in spec.partners.items()}
    for key, value in spec.hyperparameters.items():
        group, _, name = key.rpartition(".")
        if not group:
            pairs[key] = (value, spec.arguments.get(key, signature[key]))
        elif group in partners:
            pairs[key] = (value, partners[group][name].default)
    return {key: (ours, theirs) for key, (ours, theirs) in pairs.items() if ours != theirs}


def test_a_default_that_differs_is_found() -> None:
    spec = replace(ZOO["adamw"], default_lr=0.5, hyperparameters={**ZOO["adamw"].hyperparameters, "eps": 1.0})
    assert wrong_defaults(spec) == {"lr": (0.5, 1e-3), "eps": (1.0, 1e-8)}


def test_each_has_its_own_space_rule_and_source() -> None:
    assert {name: wrong for name, spec in ZOO.items() if (wrong := wrong_description(spec))} == {}


def wrong_description(spec: OptimizerSpec) -> list[str]:
    """What a spec lacks, or has and should not."""
    space, defaults = spec.configured({}).search_space(TinyNet()), spec.configured({}).defaults
    decay = {**spec.hyperparameters, **spec.arguments}.get("weight_decay", 0)
    right = {
        "a rule": bool(spec.rule),
        "a source with a year": any(map(str.isdigit, spec.source)) or "torch.optim" in spec.source,
        "defaults within their ranges": all(tried.contains(defaults[key]) for key, tried in space.items()),
        "no weight decay that is not searched": decay == 0 or "weight_decay" in spec.search,
        "the extra of its package": bool(spec.package) == (spec.extra == "zoo"),
    }
    if spec.learning_rate is None:
        right["nothing to tune, said in its rule"] = space == {} and "nothing is tuned" in spec.rule
    else:
        low, high = space["lr"].bounds
        right["four decades of rates"] = abs(math.log10(high / low) - 4) < 1e-9
        right["the default rate among them"] = space["lr"].contains(spec.default_lr)
    return [what for what, holds in right.items() if not holds]


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(registry, "version", absent)
    with pytest.raises(UserError) as caught:
        chosen("lion")
    assert str(caught.value) == (
        "optimizer lion needs the package pytorch-optimizer, which is not installed: pip install 'optbench[zoo]'"
    )


@pytest.mark.parametrize("name", [there("lion")])
def test_cells_know_the_version_of_the_package(name: str) -> None:
    from importlib.metadata import version

    assert chosen(name).source == f"pytorch-optimizer {version('pytorch-optimizer')}"
    assert chosen("adamw").source == ""


@pytest.mark.parametrize("name", [there(name) for name in FIRST_ORDER])
def test_trajectories_follow_the_published_rules(name: str) -> None:
    for shape in ((5,), (4, 3)):
        follows_its_rule(name, shape)


def follows_its_rule(name: str, shape: tuple[int, ...]) -> None:
    """Thirty steps on gradients of a noisy quadratic, in float64."""
    random = np.random.default_rng(len(name))
    start, curvature = random.standard_normal(shape), random.uniform(0.5, 5, shape)
    for lr in (ZOO[name].default_lr, 0.03):
        noise = np.random.default_rng(1)
        parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
        optimizer = make_optimizer(chosen(name), torch.nn.ParameterList([parameter]), {"lr": lr, **_decay(name)})
        if hasattr(optimizer, "train"):
            optimizer.train()
        rule = FIRST_ORDER[name](start, lr)
        w = next(rule)
        for _ in range(30):
            disturbance = 0.3 * noise.standard_normal(shape)
            parameter.grad = torch.from_numpy(curvature * parameter.detach().numpy() + disturbance)
            optimizer.step()
            w = rule.send(curvature * w + disturbance)
            np.testing.assert_allclose(parameter.detach().numpy(), w, rtol=1e-7, atol=1e-9)


def _decay(name: str) -> dict[str, Any]:
    return {"weight_decay": 0.01} if name == "adamw" else {}


@pytest.mark.parametrize("name", [there("schedule_free_sgd")])
def test_schedule_free_evaluates_the_mean_of_its_fast_weights(name: str) -> None:
    """At a constant rate x is the plain mean of all z, which follow from the gradients alone."""
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer: Any = make_optimizer(chosen(name), torch.nn.ParameterList([parameter]), {"lr": 0.3})
    optimizer.train()
    random, z, fast = np.random.default_rng(0), parameter.detach().numpy().copy(), []
    for _ in range(6):
        g = random.standard_normal(2)
        parameter.grad = torch.from_numpy(g)
        optimizer.step()
        z = z - 0.3 * g
        fast.append(z)
    optimizer.eval()
    np.testing.assert_allclose(parameter.detach(), np.mean(fast, axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", [there("sam")])
def test_sharpness_aware_steps_evaluate_twice(name: str) -> None:
    curvature, start = np.array([1.0, 10.0, 3.0]), np.array([1.0, -1.0, 2.0])
    parameter, calls = torch.nn.Parameter(torch.from_numpy(start.copy())), []
    optimizer = make_optimizer(chosen(name), torch.nn.ParameterList([parameter]), {"lr": 0.01})

    def closure() -> torch.Tensor:
        calls.append(1)
        optimizer.zero_grad()
        loss = 0.5 * (torch.from_numpy(curvature) * parameter**2).sum()
        loss.backward()
        return loss

    rule = sharpness_aware(start, lambda w: curvature * w, 0.01)
    for step in range(1, 11):
        optimizer.step(closure)  # type: ignore[arg-type]
        assert len(calls) == 2 * step
        np.testing.assert_allclose(parameter.detach(), next(rule), rtol=1e-7)


def test_muon_orthogonalises_matrices_and_leaves_the_rest_to_adamw() -> None:
    """Torch iterates in bfloat16 towards singular values between 0.7 and 1.2, so directions agree, not digits."""
    torch.manual_seed(0)
    model = TinyNet().model()
    optimizer = make_optimizer(chosen("muon"), model, {"lr": 0.1, "weight_decay": 0.0})
    before = model[1].weight.detach().clone(), model[1].bias.detach().clone()
    model[1].weight.grad, model[1].bias.grad = torch.randn(3, 4), torch.randn(3)
    optimizer.step()
    step = (before[0] - model[1].weight.detach()).numpy() / (0.1 * 0.2 * math.sqrt(4))
    singular = np.linalg.svd(step, compute_uv=False)
    assert ((singular > 0.5) & (singular < 1.4)).all()
    wanted = orthogonal(model[1].weight.grad.double().numpy())
    assert (step * wanted).sum() / np.linalg.norm(step) / np.linalg.norm(wanted) > 0.95
    # AdamW's first step is the sign of the gradient.
    moved = (before[1] - model[1].bias.detach()) / 0.1
    np.testing.assert_allclose(moved, torch.sign(model[1].bias.grad), rtol=1e-5)


def test_sparse_adam_steps_rows_with_a_gradient_and_adam_the_rest() -> None:
    torch.manual_seed(0)
    words = torch.nn.Embedding(4, 3, sparse=True)
    dense = torch.nn.Linear(3, 1)
    # Far above what Adam adds to the root of a squared gradient.
    torch.nn.init.constant_(dense.weight, 0.5)
    model = torch.nn.Sequential(words, dense)
    optimizer = make_optimizer(chosen("sparse_adam"), model, {"lr": 0.1})
    before = words.weight.detach().clone(), dense.weight.detach().clone()
    model(torch.tensor([0, 2])).sum().backward()
    optimizer.step()
    moved = (before[0] - words.weight.detach()).abs()
    assert moved[[1, 3]].max() == 0
    np.testing.assert_allclose(moved[[0, 2]], 0.1, rtol=1e-4)
    np.testing.assert_allclose((before[1] - dense.weight.detach()).abs(), 0.1, rtol=1e-4)


def test_a_scheduled_adamw_is_tuned_as_people_use_it() -> None:
    choice = chosen("adamw_scheduled")
    assert choice.defaults == {"lr": 1e-3, "weight_decay": 0.01, "lr_schedule": "cosine", "lr_warmup": 0.05}
    assert set(choice.search) == set(choice.defaults)
    assert choice.scheduled


def test_the_document_says_of_each_what_is_tuned_and_where_it_is_from() -> None:
    text = (Path(__file__).parents[3] / "docs" / "zoo.md").read_text("utf-8")
    said, expected = {}, {}
    for name, spec in ZOO.items():
        rows = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        said[name] = [[cells[place] for place in (1, 2, 4)]
                      for cells in ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)]  # fmt: skip
        space = {**({"lr": spec.learning_rate} if spec.learning_rate else {}), **spec.search}
        tuned = ", ".join(f"`{key}` {tried}" for key, tried in space.items()) or "nothing"
        expected[name] = [[tuned, f"{spec.default_lr:g}", spec.source]]
    assert said == expected
