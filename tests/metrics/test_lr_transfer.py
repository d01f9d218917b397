"""The regret of a rate that was taken over, by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optbench.metrics.lr_transfer import lr_transfer
from tests.support.rows import cell_of, frame, trial_of


def transfers() -> pd.DataFrame:
    cells = [cell_of(problem="p", lr_tuned=0.1), cell_of(problem="p", batch_size=20, lr_tuned=1.0),
             cell_of(problem="q", lr_tuned=10.0), cell_of(problem="r", lr_tuned=math.nan)]  # fmt: skip
    trials = []
    curves = [3.0, 1.0, 2.0, math.nan], [4.0, 2.0, 1.0, 3.0], [9.0, math.nan, math.nan, 0.5]
    for cell, losses in zip(cells[:3], curves, strict=True):
        trials += [trial_of(cell, i, rate, loss)
                   for i, (rate, loss) in enumerate(zip([0.01, 0.1, 1.0, 10.0], losses, strict=True))]  # fmt: skip
    return lr_transfer(frame(trials, "trials"), frame(cells, "cells"))


def test_by_hand() -> None:
    table = transfers().set_index(["across", "from_problem", "from_batch_size", "to_problem", "to_batch_size"])
    assert len(table) == 4, "both ways between batch sizes of p, and between p and q at batch size 10"
    row = table.loc[("batch_size", "p", 20, "p", 10)]
    assert (row["lr"], row["loss"], row["loss_best"], row["regret"]) == (1.0, 2.0, 1.0, 1.0)
    assert table.loc[("batch_size", "p", 10, "p", 20), "regret"] == 1.0
    row = table.loc[("problem", "p", 10, "q", 10)]
    assert row["outcome"] == "diverges"
    assert math.isnan(row["regret"])
    row = table.loc[("problem", "q", 10, "p", 10)]
    assert row["outcome"] == "diverges"
    assert math.isnan(row["loss"])


def test_between_rates_it_is_interpolated_and_outside_nothing_is_known() -> None:
    from_, to = cell_of(problem="p", lr_tuned=10**-1.5), cell_of(problem="q", lr_tuned=7.0)
    trials = [trial_of(from_, 0, 0.1, 1.0), trial_of(from_, 1, 1.0, 2.0),
              trial_of(to, 0, 0.01, 4.0), trial_of(to, 1, 0.1, 2.0)]  # fmt: skip
    table = lr_transfer(frame(trials, "trials"), frame([from_, to], "cells")).set_index("from_problem")
    assert table.loc["p", "loss"] == pytest.approx(3.0)
    assert table.loc["p", "regret"] == pytest.approx(0.5)
    assert table.loc["q", "outcome"] == "not tried"
    assert math.isnan(table.loc["q", "regret"])


def test_next_to_a_rate_at_which_training_was_stopped_nothing_is_known() -> None:
    rates = {"p": 0.1, "q": 1.0, "r": 10.0}
    cells = [cell_of(problem=problem, lr_tuned=rate) for problem, rate in rates.items()]
    trials = [trial_of(cell, 0, rate, 1.0) for cell, rate in zip(cells, rates.values(), strict=True)]
    trials += [trial_of(cells[0], 1, 0.5, 3.0, status="stopped"), trial_of(cells[0], 2, 1.0, 2.0)]
    table = lr_transfer(frame(trials, "trials"), frame(cells, "cells")).set_index(["from_problem", "to_problem"])
    assert table.loc[("q", "p"), ["outcome", "regret"]].tolist() == ["measured", 1.0]
    assert table.loc[("r", "p"), "outcome"] == "not tried"
    cells[1]["lr_tuned"] = 0.5
    table = lr_transfer(frame(trials, "trials"), frame(cells, "cells")).set_index(["from_problem", "to_problem"])
    assert table.loc[("q", "p"), "outcome"] == "stopped"
    assert math.isnan(table.loc[("q", "p"), "regret"])


def test_regret_is_never_negative_and_zero_for_an_equal_rate() -> None:
    rng = np.random.default_rng(0)
    cells = [cell_of(optimizer, problem, size) for optimizer in ("adam", "sgd") for problem in "pqr" for size in (1, 2)]
    trials = []
    for cell in cells:
        rates, losses = 10 ** rng.uniform(-3, 1, 9), rng.lognormal(size=9)
        cell["lr_tuned"] = rates[np.argmin(losses)]
        trials += [trial_of(cell, i, rates[i], losses[i]) for i in range(9)]
    table = lr_transfer(frame(trials, "trials"), frame(cells, "cells"))
    assert len(table) == 2 * (3 * 2 + 2 * 6)
    known = table["regret"].dropna()
    assert len(known) > 20
    assert (known >= 0).all()
    same = lr_transfer(frame(trials, "trials"), frame([cell | {"lr_tuned": cells[0]["lr_tuned"]} for cell in cells],
                                                      "cells"))  # fmt: skip
    to_first = same[(same["to_problem"] == "p") & (same["to_batch_size"] == 1) & (same["optimizer"] == "adam")]
    assert (to_first["regret"] == 0).all()


def test_one_cell_and_none() -> None:
    cell = cell_of()
    trials = frame([trial_of(cell, 0, 0.1, 0.5)], "trials")
    assert len(lr_transfer(trials, frame([cell], "cells"))) == 0
    assert len(lr_transfer(trials.iloc[:0], frame([cell], "cells"))) == 0
