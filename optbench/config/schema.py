"""The schema of a configuration, which pydantic validates.

Pydantic is used in this package only; all other code uses plain frozen dataclasses.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import (
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    field_validator,
    model_validator,
)

from optbench.budget import parse_budget
from optbench.config.optimizer_table import Number, OptimizerTable, Strict, Whole
from optbench.errors import UserError, unknown

SAMPLERS = ("tpe", "random", "quasi-random", "gp", "grid")
PRUNERS = ("race", "none", "median", "successive-halving")
#: Samplers whose trials do not depend on earlier ones: by default, each of them is trained to its end.
_INDEPENDENT = ("random", "grid")


def _check_budgets(given: Any) -> str | tuple[str, ...]:
    """Check the amounts of one run budget or of a list; a list with one of them is that one."""
    texts = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("expected an amount in quotes, or a list of them")
    for text in texts:
        try:
            parse_budget(text)
        except UserError as error:
            raise ValueError(str(error)) from None
    return texts if len(texts) > 1 else texts[0]


#: One run budget, or several: the rungs of a ladder.
_RunBudget = Annotated[
    str | tuple[str, ...],
    PlainValidator(_check_budgets),
    PlainSerializer(lambda budgets: budgets if isinstance(budgets, str) else list(budgets)),
]


class ProblemEntry(Strict):
    """A problem with its own run budgets or batch sizes."""

    select: str
    run_budget: _RunBudget | None = None
    batch_sizes: tuple[Whole, ...] = ()


class Ladder(Strict):
    """What is varied to see whether results hold at larger sizes."""

    size: str | None = Field(
        default=None,
        examples=["hidden"],
        description="Parameter of the problems that is their size, such as hidden of mlp[hidden=[16,32,64]].",
    )


class Tuning(Strict):
    """How the hyperparameters of a cell are tuned.

    `worth` is the tuning budget in run budgets. Each tuning round proposes `round` trials from the results of the
    previous rounds. The tuning is repeated `studies` times; the first one determines the tuned values, and the others
    show how much they depend on chance.
    """

    worth: Number = Field(default=4.0, ge=0, le=1e6, description="Tuning budget, in run budgets. 0 disables tuning.")
    round: Whole | None = Field(
        default=None, ge=1, examples=[2],
        description="Trials per round, which are proposed and trained together. Default: a quarter of the trials, at "
        "least two.",
    )  # fmt: skip
    sampler: str = Field(default="tpe", description=f"Method that proposes trials: {', '.join(SAMPLERS)}.")
    pruner: str = Field(
        default=PRUNERS[0],
        description=f"Method that stops trials early: {', '.join(PRUNERS)}. With the samplers random and grid, whose "
        "trials are independent of each other, the default is none.",
    )
    studies: Whole = Field(
        default=1, ge=1, le=1000,
        description="Tunings per cell. The first one is used; the others show how much tuning depends on chance.",
    )  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _choose_pruner(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("sampler") in _INDEPENDENT:
            return {"pruner": "none", **values}
        return values

    @field_validator("worth")
    @classmethod
    def _affords_a_trial(cls, worth: float) -> float:
        if 0 < worth < 1:
            raise ValueError("less than one run budget does not cover a single trial (accepted: 0, or at least 1)")
        return worth

    @property
    def trials_a_round(self) -> int:
        """Trials per round: `round` if it is set, otherwise a quarter of the trials, at least two."""
        return self.round or max(2, math.ceil(self.worth / 4))

    @field_validator("sampler")
    @classmethod
    def _is_sampler(cls, name: str) -> str:
        return _one_of("sampler", name, SAMPLERS)

    @field_validator("pruner")
    @classmethod
    def _is_pruner(cls, name: str) -> str:
        return _one_of("pruner", name, PRUNERS)


_TextOrEntry = Annotated[
    Annotated[str, Tag("text")] | Annotated[ProblemEntry, Tag("table")],
    Discriminator(lambda value: "table" if isinstance(value, (dict, ProblemEntry)) else "text"),
]


class Config(Strict):
    """A complete description of a benchmark, except for the location of its data and the machine that runs it."""

    preset: str | None = Field(
        default=None, description="Preset that provides the settings not given here: quick, standard, full, recipe."
    )
    problems: tuple[_TextOrEntry, ...] = Field(
        min_length=1,
        description="Problems with parameters in brackets; a list of values is a sweep. A table sets a run_budget or "
        "batch_sizes for one problem. See `optbench list problems`.",
    )
    optimizers: tuple[str, ...] = Field(
        min_length=1,
        description='Optimizers with parameters in brackets: "momentum[momentum=[0.5,0.9]]", "my_opt.py:MyOpt". '
        "See `optbench list optimizers`.",
    )
    batch_sizes: tuple[Whole, ...] = Field(
        default=(), description="Batch sizes of all problems. Empty: the default sizes of each problem."
    )
    devices: tuple[str, ...] = Field(
        default=("auto",), min_length=1,
        description="Devices: cpu, cuda, cuda:1, …; auto is the accelerator if there is one, otherwise the CPU.",
    )  # fmt: skip
    schedules: tuple[str, ...] = Field(
        default=("constant",), min_length=1,
        description='Learning-rate schedules with parameters in brackets: "constant", "cosine[warmup=0.05]", '
        '"wsd[decay=0.2,warmup=100]". See `optbench list schedules`.',
    )  # fmt: skip
    seeds: Whole = Field(
        default=3, ge=1, lt=1_000_000,
        description="Final runs per cell, each with a new seed. A few seeds rarely give a significant result.",
    )  # fmt: skip
    run_budget: _RunBudget | None = Field(
        default=None, examples=["2epochs"],
        description='Budget of each run: "2epochs", "20000examples" or "30seconds". A list is a ladder: each '
        "problem is tuned and run with each of them. Default: that of each problem.",
    )  # fmt: skip
    evaluations: Whole = Field(default=10, ge=1, description="Evaluations per run.")
    threads: Whole = Field(default=1, ge=1, le=4096, description="CPU threads per training.")
    tuning: Tuning = Tuning()
    ladder: Ladder | None = None
    optimizer: dict[str, OptimizerTable] = Field(default_factory=dict)

    def toml(self) -> str:
        """Return the configuration as TOML; `load_config` reads the same object back."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True, by_alias=True))


def _one_of(what: str, name: str, accepted: tuple[str, ...]) -> str:
    if name not in accepted:
        raise ValueError(str(unknown(what, name, accepted)))
    return name
