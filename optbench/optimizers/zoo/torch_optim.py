"""The other optimizers of `torch.optim`, such as AdamW, RAdam, Rprop, Adafactor and Muon."""

from __future__ import annotations

from optbench.optimizers.search_space import Choices, Range, make_condition
from optbench.optimizers.spec import OptimizerSpec

#: From almost no effect to weights that shrink visibly within a run.
_WEIGHT_DECAY = Range(1e-4, 1e0)
_ADAMW = {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 0.01}
_ADAMW_RULE = "w ← w − η λ w − η m̂ / (√v̂ + ε), m̂ and v̂ as in Adam, with λ = 0.01 unless it is tuned"
_ADAMW_SOURCE = "Loshchilov and Hutter (2019), Decoupled Weight Decay Regularization, Algorithm 2"

ADAMW = OptimizerSpec(
    name="adamw",
    constructor="torch.optim:AdamW",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters=_ADAMW,
    search={"weight_decay": _WEIGHT_DECAY},
    linear_in_rate=True,
    rule=_ADAMW_RULE,
    source=_ADAMW_SOURCE,
)

ADAMW_SCHEDULED = OptimizerSpec(
    name="adamw_scheduled",
    constructor="torch.optim:AdamW",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    arguments={"lr_schedule": "cosine", "lr_warmup": 0.05},
    hyperparameters=_ADAMW,
    search={
        "weight_decay": _WEIGHT_DECAY,
        "lr_schedule": Choices(("constant", "linear", "cosine")),
        "lr_warmup": Range(0.0, 0.2, log=False, when=make_condition({"lr_schedule": ["linear", "cosine"]})),
    },
    linear_in_rate=True,
    rule=f"{_ADAMW_RULE}; unless tuned, η rises over the first 5 % of the run and then falls to 0 along a cosine",
    source=f"{_ADAMW_SOURCE}; schedule: Loshchilov and Hutter (2017), SGDR; in its common form",
)

RADAM = OptimizerSpec(
    name="radam",
    constructor="torch.optim:RAdam",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "decoupled_weight_decay": False},
    linear_in_rate=True,
    rule="w ← w − η r m̂ / (√v̂ + ε) if ρ > 5, otherwise w ← w − η m̂, with the rectification r of the variance",
    source="Liu et al. (2020), On the Variance of the Adaptive Learning Rate and Beyond, Algorithm 2",
)

RPROP = OptimizerSpec(
    name="rprop",
    constructor="torch.optim:Rprop",
    default_lr=1e-2,
    learning_rate=Range(1e-4, 1e0),
    hyperparameters={"etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0)},
    linear_in_rate=False,
    waived={
        "zero_rate": "the learning rate sets the first step's size only, and later steps are at least 1e-6",
        "groups": "the learning rate sets the first step's size only",
    },
    rule="Δ ← 1.2 Δ if g keeps its sign, 0.5 Δ and no step if it changes;  w ← w − Δ sign g;  Δ₀ = η",
    source="Riedmiller and Braun (1993), A Direct Adaptive Method for Faster Backpropagation Learning",
)

ASGD = OptimizerSpec(
    name="asgd",
    constructor="torch.optim:ASGD",
    default_lr=1e-2,
    learning_rate=Range(1e-3, 1e1),
    family="sgd",
    hyperparameters={"lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0},
    linear_in_rate=False,
    averages=True,
    rule="ηₜ = η / (1 + λ η t)^α;  w ← (1 − λ ηₜ) w − ηₜ g; torch stores the average but does not use it",
    source="Polyak and Juditsky (1992), Acceleration of Stochastic Approximation by Averaging",
)

ADAFACTOR = OptimizerSpec(
    name="adafactor",
    constructor="torch.optim:Adafactor",
    default_lr=1e-2,
    learning_rate=Range(1e-4, 1e0),
    hyperparameters={"beta2_decay": -0.8, "d": 1.0, "weight_decay": 0.0},
    linear_in_rate=False,
    rule="as RMSprop with v ≈ r cᵀ / Σ r from row and column sums; steps clipped to RMS d, times "
    "max(ε, RMS w) min(η, 1/√t)",
    source="Shazeer and Stern (2018), Adafactor, Algorithms 4 and 5",
)

MUON = OptimizerSpec(
    name="muon",
    constructor="torch.optim:Muon",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    # This adjustment allows one learning rate for both: matrices move as far as with AdamW.
    arguments={"adjust_lr_fn": "match_rms_adamw"},
    hyperparameters={"momentum": 0.95, "nesterov": True, "ns_steps": 5, "weight_decay": 0.1,
                     "adjust_lr_fn": "match_rms_adamw", "rest.betas": (0.9, 0.999), "rest.eps": 1e-8},
    search={"weight_decay": _WEIGHT_DECAY},
    groups={"rest": "ndim != 2 or layer == 'Embedding'"},
    partners={"rest": "torch.optim:AdamW"},
    linear_in_rate=False,
    rule="W ← W − η (0.2 √max(n, m) O + λ W), O = U Vᵀ of (1 − μ) G + μ M = U S Vᵀ, by Newton–Schulz steps, with "
    "M ← μ M + (1 − μ) G; AdamW for embeddings and for all parameters that are not matrices",
    source="Jordan et al. (2024), Muon; rate as Liu et al. (2025), Muon is Scalable for LLM Training, section 2.2",
)  # fmt: skip

SPARSE_ADAM = OptimizerSpec(
    name="sparse_adam",
    constructor="torch.optim:SparseAdam",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"betas": (0.9, 0.999), "eps": 1e-8, "rest.betas": (0.9, 0.999), "rest.eps": 1e-8},
    groups={"rest": "not sparse"},
    partners={"rest": "torch.optim:Adam"},
    linear_in_rate=False,
    rule="Adam that updates moments and weights only in the rows with gradient entries; plain Adam for dense gradients",
    source="torch.optim.SparseAdam; Kingma and Ba (2015), Adam, Algorithm 1",
)

TORCH = (ADAMW, ADAMW_SCHEDULED, RADAM, RPROP, ASGD, ADAFACTOR, MUON, SPARSE_ADAM)
