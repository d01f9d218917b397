"""The ten optimizers of the presets: unmodified classes of `torch.optim`, with weight decay 0.

The learning-rate ranges for networks span four decades around commonly used values. Those of SGD are declared without
momentum, and are searched ten times lower with a momentum of 0.9. In the update rules, g is the
gradient of the mini-batch, w are the parameters and η is the learning rate; all operations are per coordinate.
"""

from __future__ import annotations

from dataclasses import replace

from optbench.optimizers.search_space import Range
from optbench.optimizers.spec import OptimizerSpec

SGD = OptimizerSpec(
    name="sgd",
    constructor="torch.optim:SGD",
    default_lr=1e-3,
    learning_rate=Range(1e-3, 1e1),
    family="sgd",
    heavy_ball=True,
    hyperparameters={"momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="w ← w − η g",
    source="Robbins and Monro (1951), A Stochastic Approximation Method",
)

MOMENTUM = OptimizerSpec(
    name="momentum",
    constructor="torch.optim:SGD",
    default_lr=1e-3,
    learning_rate=Range(1e-3, 1e1),
    family="sgd",
    heavy_ball=True,
    arguments={"momentum": 0.9},
    hyperparameters={"momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="u ← μ u + (1 − τ) g (first step: u ← g);  w ← w − η u, with momentum μ = 0.9, dampening τ = 0",
    source="Polyak (1964), Some Methods of Speeding Up the Convergence of Iteration Methods",
)

NESTEROV = OptimizerSpec(
    name="nesterov",
    constructor="torch.optim:SGD",
    default_lr=1e-3,
    learning_rate=Range(1e-3, 1e1),
    family="sgd",
    heavy_ball=True,
    arguments={"momentum": 0.9, "nesterov": True},
    hyperparameters={"momentum": 0.9, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="u ← μ u + g (first step: u ← g);  w ← w − η (g + μ u), with μ = 0.9",
    source="Nesterov (1983); in this form Sutskever et al. (2013), On the Importance of Initialization and Momentum",
)

ADAM = OptimizerSpec(
    name="adam",
    constructor="torch.optim:Adam",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  w ← w − η m̂ / (√v̂ + ε), m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)",
    source="Kingma and Ba (2015), Adam, Algorithm 1",
)

ADAGRAD = OptimizerSpec(
    name="adagrad",
    constructor="torch.optim:Adagrad",
    default_lr=1e-2,
    learning_rate=Range(1e-4, 1e0),
    hyperparameters={"lr_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="s ← s + g²;  w ← w − η g / (√s + ε)",
    source="Duchi, Hazan and Singer (2011), Adaptive Subgradient Methods",
)

ADADELTA = OptimizerSpec(
    name="adadelta",
    constructor="torch.optim:Adadelta",
    default_lr=1.0,
    learning_rate=Range(1e-2, 1e2),
    hyperparameters={"rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="v ← ρ v + (1 − ρ) g²;  δ = g √(d + ε) / √(v + ε);  d ← ρ d + (1 − ρ) δ²;  w ← w − η δ",
    source="Zeiler (2012), ADADELTA, Algorithm 1 (where η = 1)",
)

RMSPROP = OptimizerSpec(
    name="rmsprop",
    constructor="torch.optim:RMSprop",
    default_lr=1e-2,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="v ← α v + (1 − α) g²;  w ← w − η g / (√v + ε)",
    source="Tieleman and Hinton (2012), Lecture 6.5",
)

ADAMAX = OptimizerSpec(
    name="adamax",
    constructor="torch.optim:Adamax",
    default_lr=2e-3,
    learning_rate=Range(2e-5, 2e-1),
    hyperparameters={"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="m ← β₁ m + (1 − β₁) g;  s ← max(β₂ s, |g| + ε);  w ← w − η m / ((1 − β₁ᵗ) s)",
    source="Kingma and Ba (2015), Adam, Algorithm 2",
)

NADAM = OptimizerSpec(
    name="nadam",
    constructor="torch.optim:NAdam",
    default_lr=2e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"betas": (0.9, 0.999), "eps": 1e-8, "momentum_decay": 4e-3, "weight_decay": 0.0},
    linear_in_rate=True,
    rule=(
        "μₜ = β₁ (1 − ½·0.96^(t ψ));  m, v as in Adam;  "
        "w ← w − η [μₜ₊₁ m/(1 − ∏ᵗ⁺¹μ) + (1 − μₜ) g/(1 − ∏ᵗμ)] / (√v̂ + ε), with ψ = 0.004"
    ),
    source="Dozat (2016), Incorporating Nesterov Momentum into Adam",
)

LBFGS = OptimizerSpec(
    name="lbfgs",
    constructor="torch.optim:LBFGS",
    default_lr=1.0,
    learning_rate=Range(1e-3, 1e1),
    family="quasi-newton",
    # With max_iter=1 alone, torch would set max_eval to 1, which is too few evaluations for the line search.
    arguments={"max_iter": 1, "max_eval": 25, "history_size": 10, "line_search_fn": "strong_wolfe"},
    hyperparameters={
        "max_iter": 1,
        "max_eval": 25,
        "history_size": 10,
        "line_search_fn": "strong_wolfe",
        "tolerance_grad": 1e-7,
        "tolerance_change": 1e-9,
    },
    needs_closure=True,
    contiguous_parameters=True,
    linear_in_rate=False,
    waived={"zero_rate": "torch's line search divides by the learning rate, and no schedule reaches exactly zero"},
    rule=(
        "d = −H g by the two-loop recursion over the last 10 pairs (Δw, Δg);  w ← w + a d with a step a that "
        "satisfies the strong Wolfe conditions, first tried at η (in the first step at η min(1, 1/‖g‖₁))"
    ),
    source="Liu and Nocedal (1989); Nocedal and Wright (2006), Algorithms 7.4, 3.5 and 3.6",
)

BUILT_IN = {
    spec.name: replace(spec, follows_curvature=True)
    for spec in (SGD, MOMENTUM, NESTEROV, ADAM, ADAGRAD, ADADELTA, RMSPROP, ADAMAX, NADAM, LBFGS)
}
