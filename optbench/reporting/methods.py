"""The protocol in words, with the numbers of a configuration where it has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def methods(settings: Mapping[str, Any], rank_by: str) -> list[str]:
    """One paragraph a rule. `settings` is a parsed configuration, possibly empty."""
    tuning = settings.get("tuning", {})
    worth = f"{tuning['worth']:g} run budgets" if "worth" in tuning else "a fixed number of run budgets"
    sampler = {"tpe": "TPE", "gp": "Gaussian-process", "quasi-random": "quasi-random (Halton)"}.get(
        tuning.get("sampler", ""), tuning.get("sampler", "the configured")
    )
    return [
        "Equal compute. Every optimizer at every batch size of a problem has the same budget for a run, and the "
        f"same for tuning ({worth}). The unit is the example gradient: a forward and a backward pass on one "
        "example is 1, a forward pass alone 1/3. Whatever is computed for gradients is charged: line searches, "
        "diverged and pruned trials. Evaluation is not charged.",
        f"Tuning. The learning rate is searched over a range that belongs to the optimizer: four decades on "
        "networks; on quadratics the range of the SGD family follows the curvature. The first trial is the "
        f"optimizer's default rate, the next follow a design that is the same for all, further ones the {sampler} "
        "sampler. A trial starts only while a whole run still fits into the budget. A best rate near an edge "
        "extends the range.",
        "Selection on validation, report on test. The validation split is carved from the training set by a fixed "
        "seed; trials are compared by their validation loss. The test set is evaluated once, after the last step "
        "of a final run.",
        "Fresh seeds. Final runs use seeds that no trial has used, the same for all optimizers: equal initial "
        "weights and equal order of the data, so that differences are paired.",
        f"Ranks. Optimizers are ranked by the median over seeds of {rank_by.replace('_', ' ')}, within one problem, "
        "batch size, device and schedule; ties share the better rank. A failed seed counts as worse than any "
        "number, and a median that falls on one ranks last. A target that a seed misses counts as reached at "
        "infinite cost. A mean rank is over the groups in which the optimizer was run.",
        "Divergence. Training ends where loss or parameters are no longer finite, or the loss stays far above the "
        "initial one. What it has spent stays charged.",
        "Evaluation is at points fixed in cost, and off the clock. Times per step are from a separate pass "
        "with the machine to itself.",
        "Weight decay is 0, gradients are not clipped, and the learning rate is constant unless a schedule is named.",
    ]
