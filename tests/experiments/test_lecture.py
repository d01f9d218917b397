"""The experiments on networks: their verdicts from made-up tables, both ways, and each one conducted very small."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from optbench.errors import UserError
from optbench.experiments import (
    batch_norm,
    batch_size,
    data_loading,
    dropout,
    frozen_features,
    full_example,
    initialisation,
    residual,
)
from optbench.experiments.arms import with_parameters
from optbench.experiments.forward import gains
from optbench.experiments.verdict import FAILS, HOLDS, UNKNOWN, Finding
from tests.experiments.conducted import conducted

SEEDS = range(4)


def verdicts(findings: list[Finding]) -> list[str]:
    return [finding.verdict for finding in findings]


def noise() -> float:
    return 1 + 0.01 * float(np.random.default_rng().normal())


def test_parameters_come_from_labels_with_defaults() -> None:
    frame = pd.DataFrame({"problem": ["mnist_cnn[data=digits,dropout=0.5]", "mnist_cnn[norm=none]", "mnist_cnn"]})
    found = with_parameters(frame, dropout=0.0, norm="batch")
    assert list(found["dropout"]) == [0.5, 0.0, 0.0]
    assert list(found["norm"]) == ["batch", "none", "batch"]


# full-example


def example(fall: float, error: float) -> dict[str, pd.DataFrame]:
    epochs = [
        {"tuned": tuned, "seed": seed, "epoch": epoch, "train_loss": 2.3 * fall**epoch * noise()}
        for tuned in (False, True) for seed in SEEDS for epoch in (0, 1)
    ]  # fmt: skip
    final = [
        {"tuned": tuned, "seed": seed, "test_error": (error if tuned else 0.1) * noise(), "target": 0.98}
        for tuned in (False, True) for seed in SEEDS
    ]  # fmt: skip
    return {"epochs": pd.DataFrame(epochs), "final": pd.DataFrame(final)}


def test_full_example_follows_the_data() -> None:
    assert verdicts(full_example.find(example(0.5, 0.01))) == [HOLDS] * 3
    assert verdicts(full_example.find(example(1.5, 0.3))) == [FAILS] * 3


# batch-size


def sizes(slow: float, whole: float) -> pd.DataFrame:
    """Losses exp(−speed · examples): batch 10 and 100 at speed 1, the whole set at `whole`; 1 takes `slow` as long."""
    rows = []
    for size, speed, seconds in ((1, 1.0, slow), (10, 1.0, 1.0), (100, 1.0, 1.0), (1000, whole, 1.0)):
        for seed in SEEDS:
            for cost in np.linspace(0, 4, 9):
                loss = math.exp(-speed * cost) * noise()
                rows.append(
                    {"batch_size": size, "seed": seed, "cost": cost, "seconds": cost * seconds, "train_loss": loss}
                )
    return pd.DataFrame(rows)


def test_batch_size_compares_at_the_same_examples_and_time() -> None:
    losses = sizes(4.0, 0.25)
    assert batch_size.medium(losses) == 10
    timed = batch_size.at_the_same(losses, "seconds").groupby("batch_size")["loss"].mean()
    assert timed[1] == pytest.approx(math.exp(-1), rel=0.05)  # a quarter of the examples in the time of the others
    assert timed[10] == pytest.approx(math.exp(-4), rel=0.05)
    assert verdicts(batch_size.find({"losses": losses})) == [HOLDS] * 3
    assert verdicts(batch_size.find({"losses": sizes(0.25, 2.0)})) == [FAILS, FAILS, FAILS]


# initialisation


def test_gains_are_those_of_a_product_in_double_precision() -> None:
    torch.manual_seed(int(np.random.default_rng().integers(1 << 30)))
    model, x = nn.Sequential(nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 50, bias=False)), torch.randn(500, 400)
    found = gains(model, x)
    first = x.double() @ model[0].weight.double().T + model[0].bias.double()
    rms = float(first.detach().square().mean().sqrt())
    assert found["deviation"][0] == pytest.approx(rms, rel=1e-4)
    assert found["gain"][0] == pytest.approx(rms / float(x.square().mean().sqrt()), rel=1e-4)
    assert found["expected"][0] == pytest.approx(1 / math.sqrt(3), rel=0.05)  # uniform within ±1/√fan-in
    assert list(found["fan_in"]) == [400, 300]


def initial(normal_gain: float, normal_loss: float) -> dict[str, pd.DataFrame]:
    layers, losses = [], []
    for init, gain, loss in (("default", 1.0, 0.5), ("normal", normal_gain, normal_loss)):
        for seed in SEEDS:
            for layer, fan_in in ((1, 25), (2, 800)):
                size = (gain if layer == 2 else 1.0) * noise()
                layers.append(
                    {"init": init, "seed": seed, "layer": layer, "fan_in": fan_in, "gain": size, "expected": 1.0}
                )
            status = "ok" if math.isfinite(loss) else "diverged"
            for step, value in ((0, 9.0 * noise()), (1, loss * noise())):
                losses.append({"init": init, "seed": seed, "step": step, "train_loss": value, "status": status})
    return {"layers": pd.DataFrame(layers), "losses": pd.DataFrame(losses)}


def test_initialisation_follows_the_data() -> None:
    assert verdicts(initialisation.find(initial(5.6, 2.0)))[1:] == [HOLDS] * 3
    assert verdicts(initialisation.find(initial(1.1, 0.1)))[1:] == [HOLDS, FAILS, FAILS]
    last = initialisation.find(initial(5.6, math.nan))[-1]  # diverged: as bad as it was at the start
    assert last.measured == pytest.approx(18, rel=0.1)


# dropout


def dropped(mean: float, gap: float, changed: int) -> dict[str, pd.DataFrame]:
    masks = [{"dropout": 0.5, "training": True, "mean": mean + 1e-3 * k, "zeros": 0.5 + 1e-3 * k} for k in (-1, 0, 1)]
    masks.append({"dropout": 0.5, "training": False, "mean": 1.0, "zeros": 0.0})
    final = [{"dropout": p, "seed": s, "gap": (gap if p else 0.2) * noise()} for p in (0.0, 0.5) for s in SEEDS]
    return {"masks": pd.DataFrame(masks).assign(changed=changed), "final": pd.DataFrame(final)}


def test_dropout_follows_the_data() -> None:
    assert verdicts(dropout.find(dropped(1.0, 0.1, 0))) == [HOLDS] * 4
    assert verdicts(dropout.find(dropped(0.5, 0.3, 7))) == [FAILS, HOLDS, FAILS, FAILS]


# batch-norm


def curves(speeds: dict[tuple[str, float], float]) -> pd.DataFrame:
    rows = [
        {"network": "net", "arm": arm, "factor": factor, "seed": seed, "status": "ok", "step": step,
         "valid_metric": min(1.0, speed * step / 100)}
        for (arm, factor), speed in speeds.items() for seed in SEEDS for step in range(0, 110, 10)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def final_errors(batch: float, sequential: float, saved: float) -> pd.DataFrame:
    errors = {
        ("none", 0.0, "shuffled"): 0.2, ("none", 0.5, "shuffled"): 0.2 - saved, ("batch", 0.0, "shuffled"): batch,
        ("batch", 0.5, "shuffled"): batch, ("batch", 0.0, "sequential"): sequential,
    }  # fmt: skip
    return pd.DataFrame([
        {"norm": norm, "dropout": p, "order": order, "seed": seed, "test_error": value + 1e-4 * noise()}
        for (norm, p, order), value in errors.items() for seed in SEEDS
    ])  # fmt: skip


def test_batch_norm_compares_steps_to_what_every_run_without_reached() -> None:
    table = batch_norm.steps(
        curves({("none", 1.0): 0.5, ("batch", 1.0): 1.0, ("batch", 5.0): 4.0, ("batch", 30.0): 0.2})
    )
    reached = table.groupby(["arm", "factor"])["steps"].first()
    assert (reached["none", 1.0], reached["batch", 1.0], reached["batch", 5.0]) == (100.0, 50.0, 12.5)
    assert math.isinf(reached["batch", 30.0])
    findings = batch_norm.find({"steps": table, "final": final_errors(0.1, 0.15, 0.05)})
    assert verdicts(findings) == [HOLDS, HOLDS, FAILS, HOLDS, HOLDS]  # 30 times the rate never gets there
    assert findings[0].measured == pytest.approx(2)
    assert findings[0].predicted == pytest.approx(31.0 / 13.3)
    findings = batch_norm.find({"steps": table, "final": final_errors(0.1, 0.05, -0.05)})
    assert verdicts(findings)[-2:] == [FAILS, FAILS]


def test_some_that_never_get_there_leave_it_open() -> None:
    table = batch_norm.steps(curves({("none", 1.0): 0.5, **{("batch", f): 1.0 for f in batch_norm.TABLE}}))
    table.loc[(table["arm"] == "batch") & (table["factor"] == 5) & (table["seed"] == 0), "steps"] = math.inf
    assert verdicts(batch_norm.find({"steps": table, "final": final_errors(0.1, 0.15, 0.05)}))[:3] == [HOLDS, UNKNOWN, HOLDS]


# residual


def depths(plain: float, shortcut: float, change: float) -> dict[str, pd.DataFrame]:
    rows = [
        {"depth": depth, "shortcut": kind, "init": "he", "seed": seed,
         "train_loss": (1 + worse * (depth == 20)) * noise(), "valid_error": (0.5 + worse * (depth == 20)) * noise()}
        for kind, worse in (("none", plain), ("pad", shortcut)) for depth in (8, 20) for seed in SEEDS
    ]  # fmt: skip
    return {"final": pd.DataFrame(rows), "start": pd.DataFrame({"init": ["he", "identity"], "change": [0.7, change]})}


def test_residual_follows_the_data() -> None:
    assert verdicts(residual.find(depths(0.3, -0.3, 0.0))) == [HOLDS] * 6
    assert verdicts(residual.find(depths(-0.3, 0.3, 0.1))) == [FAILS] * 6


# data-loading, frozen-features


def speeds(loader: float, files: int) -> dict[str, pd.DataFrame]:
    ways = {"resident": 100, "resident,\naugmented": 50, "loader,\naugmented": loader / 2}
    ways |= {"loader,\n0 workers": 0.8 * loader, "loader,\n1 worker": loader}
    rows = [{"way": way, "repetition": k, "speed": speed * noise()} for way, speed in ways.items() for k in range(5)]
    return {"speed": pd.DataFrame(rows), "memory": pd.DataFrame({"way": ["tensors", "files"], "bytes": [1000, files]})}


def test_data_loading_compares_with_the_fastest_loader() -> None:
    found = data_loading.find(speeds(10, 100))
    assert verdicts(found) == [HOLDS] * 3
    assert found[0].measured == pytest.approx(10, rel=0.05)
    assert "1 worker" in found[0].quantity
    assert verdicts(data_loading.find(speeds(200, 2000))) == [FAILS] * 3


def transferred(weights: str, free: float) -> dict[str, pd.DataFrame]:
    final = [
        {"frozen": share, "weights": weights, "seed": seed, "test_error": error * noise()}
        for share, error in ((0.5, 0.1), (1.0, 0.3), (0.0, free)) for seed in SEEDS
    ]  # fmt: skip
    epochs = np.arange(5.0)
    counts = np.where(epochs > 2, 30_000 + frozen_features.FIRST_LAYER, 30_000)
    path = pd.DataFrame({"frozen": 0.5, "epoch": epochs, "trainable_parameters": counts})
    return {"final": pd.DataFrame(final), "curves": path}


def test_frozen_features_say_nothing_of_pretrained_ones_by_random_weights() -> None:
    assert verdicts(frozen_features.find(transferred("imagenet", 0.2))) == [HOLDS] * 4
    assert verdicts(frozen_features.find(transferred("imagenet", 0.05)))[2] == FAILS
    assert verdicts(frozen_features.find(transferred("none", 0.2))) == [HOLDS, HOLDS, UNKNOWN, UNKNOWN]


# Conducted


@pytest.mark.parametrize(
    "text",
    [
        "full-example[epochs=1,trials=1,seeds=2]",
        "batch-size[batch_sizes=(50,200),evaluations=2,trials=1,seeds=2]",
        "initialisation[draws=2,epochs=1,evaluations=1,trials=1,seeds=1]",
        "dropout[probabilities=(0.5),masks=4,epochs=1,evaluations=1,seeds=2]",
        "batch-norm[budget=100examples,images_budget=100examples,width=2,evaluations=2,trials=1,seeds=2]",
        "residual[depths=(8,14),width=2,budget=100examples,evaluations=1,seeds=2]",
        "data-loading[examples=200,workers=1,repetitions=2]",
        "frozen-features[epochs=2,seeds=1]",
    ],
)
def test_each_is_measured_judged_and_drawn(text: str, tmp_path: Path) -> None:
    outcome = conducted(text, tmp_path)
    assert outcome.verdict in (HOLDS, FAILS, UNKNOWN)
    assert len(outcome.summary) >= 3
    assert outcome.summary["measured"].notna().any()
    root = outcome.section.parent
    assert all((root / f"{outcome.experiment.name}.{kind}").stat().st_size > 1000 for kind in ("svg", "png", "pdf"))


@pytest.mark.parametrize(
    ("text", "weights", "complaint"),
    [
        ("frozen-features", "missing.pth", "missing.pth is no file"),
        ("frozen-features", "wrong.pth", "weights file wrong.pth"),
        ("frozen-features", "imagenet", "give weights=FILE"),
        ("residual[data=./folder]", None, "one class"),
    ],
)
def test_bad_input_is_one_line(
    text: str, weights: str | None, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from optbench.cli import WRONG_USE, _main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "wrong.pth").write_bytes(b"no weights")
    for split in ("train", "test"):
        (tmp_path / "folder" / split / "cat").mkdir(parents=True)
        (tmp_path / "folder" / split / "cat" / "1.png").touch()
    options = [] if weights is None else ["--weights", weights]
    assert _main(["experiment", text, "--quick", *options]) == WRONG_USE
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_an_unknown_experiment_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'dropout'"):
        conducted("drop-out", tmp_path)
