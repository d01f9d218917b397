"""What to run: presets, TOML files and command-line choices, merged into one frozen object.

Only here is input validated by pydantic; everything downstream uses plain frozen dataclasses.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import (
    Discriminator,
    Field,
    Tag,
    field_validator,
)

from optbench.budget import parse_budget
from optbench.config.optimizer_table import Number, OptimizerTable, Strict, Whole
from optbench.errors import UserError, unknown

SAMPLERS = ("tpe", "random", "quasi-random", "gp", "grid")
PRUNERS = ("none", "median", "successive-halving")


class ProblemEntry(Strict):
    """A problem with a run budget or batch sizes of its own."""

    select: str
    run_budget: str | None = None
    batch_sizes: tuple[Whole, ...] = ()

    @field_validator("run_budget")
    @classmethod
    def _is_amount(cls, text: str | None) -> str | None:
        return _checked_budget(text)


class Tuning(Strict):
    """How the learning rate of a cell is found; `worth` is the tuning budget in run budgets.

    `round` trials are proposed together, from the results of the rounds before. `studies` tunings are made, of which
    the first decides; the others show how much luck is in one.
    """

    worth: Number = Field(
        default=4.0, ge=0, le=1e6, description="What tuning may spend, in run budgets. 0 tunes nothing."
    )
    round: Whole | None = Field(
        default=None, ge=1, examples=[2],
        description="Trials that are proposed and trained together; unset, a quarter of the trials, two at least.",
    )  # fmt: skip
    sampler: str = Field(default="tpe", description=f"What proposes trials: {', '.join(SAMPLERS)}.")
    pruner: str = Field(default="none", description=f"What ends trials early: {', '.join(PRUNERS)}.")
    studies: Whole = Field(
        default=1, ge=1, le=1000, description="Tunings of a cell; the first decides, others show how much was luck."
    )

    @field_validator("worth")
    @classmethod
    def _affords_a_trial(cls, worth: float) -> float:
        if 0 < worth < 1:
            raise ValueError("not even one trial fits into less than one run budget (accepted: 0, or at least 1)")
        return worth

    @property
    def trials_a_round(self) -> int:
        """As chosen, or four rounds, of at least two trials each."""
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
    """One benchmark, completely described (but for where its data lies and who computes it)."""

    preset: str | None = Field(
        default=None, description="The preset whose settings hold where this file says nothing: quick, standard, full."
    )
    problems: tuple[_TextOrEntry, ...] = Field(
        min_length=1,
        description="Problems, parameters in brackets, a list of values sweeps; as a table where one has a run_budget "
        "or batch_sizes of its own. `optbench list problems` shows them.",
    )
    optimizers: tuple[str, ...] = Field(
        min_length=1,
        description='Optimizers, parameters in brackets: "momentum[momentum=[0.5,0.9]]", "my_opt.py:MyOpt". '
        "`optbench list optimizers` shows them.",
    )
    batch_sizes: tuple[Whole, ...] = Field(
        default=(), description="Examples a batch, of all problems. Empty: as each says."
    )
    devices: tuple[str, ...] = Field(
        default=("auto",), min_length=1, description="auto is the fastest there is; cpu, cuda, cuda:1, …"
    )
    schedules: tuple[str, ...] = Field(
        default=("constant",), min_length=1,
        description="Of the learning rate: constant, linear, cosine[warmup=…], step[at=…,factor=…].",
    )  # fmt: skip
    seeds: Whole = Field(
        default=3, ge=1, lt=1_000_000, description="Final runs of a cell, on fresh seeds. Few seeds decide nothing."
    )
    run_budget: str | None = Field(
        default=None, examples=["2epochs"],
        description='Of each run: "2epochs", "20000examples" or "30seconds". Unset: as each problem says.',
    )  # fmt: skip
    evaluations: Whole = Field(default=10, ge=1, description="Evaluations during a run.")
    threads: Whole = Field(default=1, ge=1, le=4096, description="CPU threads of a training.")
    tuning: Tuning = Tuning()
    optimizer: dict[str, OptimizerTable] = Field(default_factory=dict)

    @field_validator("run_budget")
    @classmethod
    def _is_amount(cls, text: str | None) -> str | None:
        return _checked_budget(text)

    def toml(self) -> str:
        """The configuration as TOML; `load_config` reads the same object back."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True, by_alias=True))


def _checked_budget(text: str | None) -> str | None:
    if text is not None:
        try:
            parse_budget(text)
        except UserError as error:
            raise ValueError(str(error)) from None
    return text


def _one_of(what: str, name: str, accepted: tuple[str, ...]) -> str:
    if name not in accepted:
        raise ValueError(str(unknown(what, name, accepted)))
    return name
