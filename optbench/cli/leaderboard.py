"""The short leaderboard that `run` prints at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.formatting import format_cell, in_words, to_text

if TYPE_CHECKING:
    import pandas as pd


def leaderboard_text(folder: Path) -> str:
    """Formats the short leaderboard, read from the tables of a results directory.

    There is one block per problem with the best cell of each optimizer; with several tasks, the ranks over all of them
    follow.
    """
    import pandas as pd

    names = ("leaderboard", "verdicts", "cells", "summary")
    board, verdicts, cells, summary = (pd.read_parquet(folder / "tables" / f"{name}.parquet") for name in names)
    return format_leaderboard(board, verdicts, cells, summary)


def format_leaderboard(board: pd.DataFrame, verdicts: pd.DataFrame, cells: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Formats the tables `leaderboard`, `verdicts`, `cells` and `summary` as the short leaderboard."""
    from optbench.metrics.verdicts import choose_reference
    from optbench.results.stored import CELL, GROUP

    reference = str(verdicts["reference"].iloc[0]) if len(verdicts) else choose_reference(cells)
    judged = verdicts.set_index(CELL)["verdict"].to_dict() if len(verdicts) else {}
    by = f" by {verdicts['metric'].iloc[0]}" if len(verdicts) else ""
    about = {row["problem"]: row for row in cells.drop_duplicates("problem").to_dict("records")}
    blocks = []
    for problem, rows in board.groupby("problem", observed=True, sort=True):
        higher = bool(about[problem]["metric_higher_is_better"])
        best = _best_cells(rows, higher)
        metric = str(about[problem]["metric_name"])
        against = f"; verdicts against {reference}{by}" if best["optimizer"].nunique() > 1 else ""
        several = len(rows[GROUP].drop_duplicates()) > 1
        chosen = ", each optimizer at its best batch size" if several else ""
        heading = f"{problem}: test {metric}, median [lowest, highest] over seeds{chosen}{against}"
        remarks = _remark_lengths(best, rows)
        blocks.append("\n".join([heading, to_text(_short(best, metric, reference, judged)), *remarks]))
    if len(board[GROUP].drop_duplicates()) > 1:
        blocks.append(f"ranks over all tasks\n{to_text(summary)}")
    return "\n\n".join(blocks)


def _best_cells(rows: pd.DataFrame, higher: bool) -> pd.DataFrame:
    """The cell of each optimizer with the best median, the best optimizer first; those without a median come last."""
    columns = ["test_metric", "rank", "optimizer"]
    ordered = rows.sort_values(columns, ascending=[not higher, True, True], na_position="last", kind="stable")
    return ordered.drop_duplicates("optimizer")


def _remark_lengths(best: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """A line with the optimizers shown that know the length of a training and rank before one that does not."""
    from optbench.metrics.known_length import NOTE
    from optbench.results.stored import GROUP

    if "audit" not in rows:
        return []
    others = rows[~rows["audit"].str.contains("known_length")]
    last = others["rank"].astype(float).groupby([others[name] for name in GROUP], observed=True).max().to_dict()
    knowing = best[best["audit"].str.contains("known_length")].astype({"rank": float}).to_dict("records")
    # A cell without a rank (NaN) is neither before nor after another one.
    names = [row["optimizer"] for row in knowing if row["rank"] < last.get(tuple(row[name] for name in GROUP), -1.0)]
    know = "know" if len(names) > 1 else "knows"
    return [f"  {in_words(names)} {know} the length of the training, and others do not: {NOTE}"] if names else []


def _short(best: pd.DataFrame, metric: str, reference: str, judged: dict[Any, str]) -> pd.DataFrame:
    import pandas as pd

    from optbench.results.stored import CELL

    keys = list(best[CELL].itertuples(index=False, name=None))
    verdicts = ["reference" if key[CELL.index("optimizer")] == reference else judged.get(key, "–") for key in keys]
    table = pd.DataFrame({
        "optimizer": best["optimizer"].astype(str).to_numpy(),
        "batch": best["batch_size"].to_numpy(),
        "rank": best["rank"].to_numpy(),
        metric: [_describe_metric(row) for row in best.to_dict("records")],
        "lr": [format_cell("lr", value) for value in best["lr"].astype(float)],
        "verdict": verdicts,
        "seeds ok": [f"{ok} of {n}" for ok, n in zip(best["n_ok"], best["n_runs"], strict=True)],
    })  # fmt: skip
    for name in ("device", "schedule"):
        if best[name].nunique() > 1:
            table.insert(2, name, best[name].astype(str).to_numpy())
    others = best["others_tuned"].fillna("")
    if others.ne("").any():
        table.insert(list(table).index("lr") + 1, "others", others.to_numpy())
    return table


def _describe_metric(row: dict[Any, Any]) -> str:
    import pandas as pd

    if pd.isna(row["test_metric"]):
        if row["status"] != "ok":
            return str(row["status"])
        # Runs may have ended without a finite metric.
        return "–" if 2 * row["n_ok"] > row["n_runs"] else "failed"
    value, low, high = (format_cell("test_metric", row[f"test_metric{end}"]) for end in ("", "_low", "_high"))
    return value if row["n_ok"] == 1 else f"{value} [{low}, {high}]"
