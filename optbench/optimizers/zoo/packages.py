"""Optimizers from other packages, which the extra `zoo` installs: each is the package's unmodified class.

Schedule-Free and Prodigy come from their authors' packages, all others from pytorch-optimizer.
"""

from __future__ import annotations

from functools import partial

from optbench.optimizers.search_space import Range
from optbench.optimizers.spec import OptimizerSpec

_spec = partial(OptimizerSpec, extra="zoo", linear_in_rate=False)
_pytorch_optimizer = partial(_spec, package="pytorch-optimizer")
_BETAS = (0.9, 0.999)

LION = _pytorch_optimizer(
    name="lion",
    constructor="pytorch_optimizer:Lion",
    default_lr=1e-4,
    learning_rate=Range(1e-6, 1e-2),
    hyperparameters={"betas": (0.9, 0.99), "weight_decay": 0.0},
    linear_in_rate=True,
    rule="w ← w − η sign(β₁ m + (1 − β₁) g);  m ← β₂ m + (1 − β₂) g",
    source="Chen et al. (2023), Symbolic Discovery of Optimization Algorithms, Algorithm 2",
)

SOAP = _pytorch_optimizer(
    name="soap",
    constructor="pytorch_optimizer:SOAP",
    default_lr=3e-3,
    learning_rate=Range(1e-5, 1e-1),
    arguments={"weight_decay": 0.0},
    hyperparameters={"betas": (0.95, 0.95), "precondition_frequency": 10, "eps": 1e-8, "weight_decay": 0.0},
    rule="Adam in the eigenbasis of Shampoo's preconditioners, which is recomputed every 10 steps",
    source="Vyas et al. (2025), SOAP: Improving and Stabilizing Shampoo using Adam, Algorithm 3",
)

SHAMPOO = _pytorch_optimizer(
    name="shampoo",
    constructor="pytorch_optimizer:Shampoo",
    default_lr=1e-3,
    learning_rate=Range(1e-3, 1e1),
    hyperparameters={"momentum": 0.0, "preconditioning_compute_steps": 1, "matrix_eps": 1e-6, "weight_decay": 0.0},
    rule="L ← L + G Gᵀ, R ← R + Gᵀ G;  W ← W − η L^(−1/4) G R^(−1/4); for tensors of order k, roots of order 2k",
    source="Gupta, Koren and Singer (2018), Shampoo: Preconditioned Stochastic Tensor Optimization, Algorithms 1 and 2",
)

SOPHIA = _pytorch_optimizer(
    name="sophia",
    constructor="pytorch_optimizer:SophiaH",
    default_lr=6e-2,
    learning_rate=Range(1e-3, 1e1),
    hyperparameters={"betas": (0.96, 0.99), "p": 0.01, "update_period": 10, "eps": 1e-12, "weight_decay": 0.0},
    second_backward=True,
    rule="w ← w − η clip(m / max(h, ε), p), h the average of Hutchinson's estimates of the Hessian's diagonal, one "
    "every 10 steps, each with a second backward pass",
    source="Liu et al. (2024), Sophia, Algorithm 3 with the estimator of Algorithm 1",
)

ADAHESSIAN = _pytorch_optimizer(
    name="adahessian",
    constructor="pytorch_optimizer:AdaHessian",
    default_lr=1e-1,
    learning_rate=Range(1e-3, 1e1),
    hyperparameters={"betas": _BETAS, "hessian_power": 1.0, "update_period": 1, "eps": 1e-16, "weight_decay": 0.0},
    second_backward=True,
    rule="Adam with the squares of Hutchinson's estimates of the Hessian's diagonal, one per step, instead of g²",
    source="Yao et al. (2021), ADAHESSIAN: An Adaptive Second Order Optimizer, Algorithm 1",
)

SAM = _spec(
    name="sam",
    constructor="optbench.optimizers.zoo.sam:sam",
    package="pytorch-optimizer",
    default_lr=1e-2,
    learning_rate=Range(1e-3, 1e1),
    family="sgd",
    heavy_ball=True,
    hyperparameters={"rho": 0.05, "momentum": 0.9, "weight_decay": 0.0},
    needs_closure=True,
    rule="momentum with the gradient at w + ρ g / ‖g‖ on the same batch: two evaluations per step",
    source="Foret et al. (2021), Sharpness-Aware Minimization, Algorithm 1",
)

ADAN = _pytorch_optimizer(
    name="adan",
    constructor="pytorch_optimizer:Adan",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"betas": (0.98, 0.92, 0.99), "eps": 1e-8, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="moments of g, of Δg = gₜ − gₜ₋₁ and of (g + β Δg)²;  w ← w − η (m + β v) / (√n + ε)",
    source="Xie et al. (2024), Adan: Adaptive Nesterov Momentum Algorithm, Algorithm 1",
)

LAMB = _pytorch_optimizer(
    name="lamb",
    constructor="pytorch_optimizer:Lamb",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"betas": _BETAS, "max_grad_norm": 1.0, "eps": 1e-6, "weight_decay": 0.0},
    rule="w ← w − η (‖w‖/‖d‖) d per layer, with Adam's direction d of the gradient clipped to norm 1",
    source="You et al. (2020), Large Batch Optimization for Deep Learning, Algorithm 2",
)

ADABELIEF = _pytorch_optimizer(
    name="adabelief",
    constructor="pytorch_optimizer:AdaBelief",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"betas": _BETAS, "eps": 1e-16, "rectify": False, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="Adam with the moments of (g − m)² instead of those of g²",
    source="Zhuang et al. (2020), AdaBelief Optimizer, Algorithm 2",
)

ADOPT = _pytorch_optimizer(
    name="adopt",
    constructor="pytorch_optimizer:ADOPT",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"betas": (0.9, 0.9999), "eps": 1e-6, "weight_decay": 0.0},
    linear_in_rate=True,
    rule="m ← β₁ m + (1 − β₁) clip(g / max(√v, ε), t^¼) with v of the previous step;  w ← w − η m",
    source="Taniguchi et al. (2024), ADOPT: Modified Adam Can Converge with Any β₂ with the Optimal Rate, Algorithm 2",
)

ADEMAMIX = _pytorch_optimizer(
    name="ademamix",
    constructor="pytorch_optimizer:AdEMAMix",
    default_lr=1e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"betas": (0.9, 0.999, 0.9999), "alpha": 5.0, "t_alpha_beta3": None, "eps": 1e-8,
                     "weight_decay": 0.0},
    from_run={"t_alpha_beta3": "steps"},
    rule="w ← w − η (m̂₁ + α m₂) / (√v̂ + ε), m₂ a slow average whose α and β₃ grow over all steps of the run",
    source="Pagliardini, Ablin and Grangier (2025), The AdEMAMix Optimizer, Algorithm 1",
)  # fmt: skip

SCHEDULE_FREE_SGD = _spec(
    name="schedule_free_sgd",
    constructor="schedulefree:SGDScheduleFree",
    package="schedulefree",
    default_lr=1.0,
    learning_rate=Range(1e-2, 1e2),
    family="sgd",
    averages=True,
    hyperparameters={"momentum": 0.9, "warmup_steps": 0, "r": 0.0, "weight_lr_power": 2.0, "weight_decay": 0.0},
    rule="y = (1 − β) z + β x;  z ← z − η g(y);  x ← (1 − c) x + c z, c = η²/Σ η²; x is evaluated, y trained",
    source="Defazio et al. (2024), The Road Less Scheduled, equations 2 to 4",
)

SCHEDULE_FREE_ADAMW = _spec(
    name="schedule_free_adamw",
    constructor="schedulefree:AdamWScheduleFree",
    package="schedulefree",
    averages=True,
    default_lr=2.5e-3,
    learning_rate=Range(1e-5, 1e-1),
    hyperparameters={"betas": _BETAS, "eps": 1e-8, "warmup_steps": 0, "r": 0.0, "weight_lr_power": 2.0,
                     "weight_decay": 0.0},
    rule="as schedule_free_sgd, with g / (√v̂ + ε) instead of g",
    source="Defazio et al. (2024), The Road Less Scheduled, Algorithm 1",
)  # fmt: skip

PRODIGY = _spec(
    name="prodigy",
    constructor="prodigyopt:Prodigy",
    package="prodigyopt",
    default_lr=1.0,
    learning_rate=None,
    hyperparameters={"betas": _BETAS, "eps": 1e-8, "d0": 1e-6, "d_coef": 1.0, "use_bias_correction": False,
                     "safeguard_warmup": False, "weight_decay": 0.0},
    rule="Adam with learning rate d, an estimate of the distance to the solution that grows with the steps; nothing is "
    "tuned",
    source="Mishchenko and Defazio (2024), Prodigy: An Expeditiously Adaptive Parameter-Free Learner, Algorithm 4",
)  # fmt: skip

DADAPT_ADAM = _pytorch_optimizer(
    name="dadapt_adam",
    constructor="pytorch_optimizer:DAdaptAdam",
    default_lr=1.0,
    learning_rate=None,
    hyperparameters={"betas": _BETAS, "d0": 1e-6, "eps": 1e-8, "weight_decay": 0.0},
    rule="Adam with learning rate d, a lower bound on the distance to the solution; nothing is tuned",
    source="Defazio and Mishchenko (2023), Learning-Rate-Free Learning by D-Adaptation, Algorithm 5",
)

PACKAGES = (
    LION, SOAP, SHAMPOO, SOPHIA, ADAHESSIAN, SAM, ADAN, LAMB, ADABELIEF, ADOPT, ADEMAMIX, SCHEDULE_FREE_SGD,
    SCHEDULE_FREE_ADAMW, PRODIGY, DADAPT_ADAM,
)  # fmt: skip
