"""What the command line prints: plans, states, and lists of what there is."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.errors import UserError, unknown
from optbench.formatting import table
from optbench.selection import format_value

if TYPE_CHECKING:
    from optbench.experiments.conduct import Outcome
    from optbench.optimizers.spec import OptimizerSpec
    from optbench.planning.matrix import Plan
    from optbench.results.load import Results

WHAT = ("problems", "optimizers", "presets", "metrics")


def list_text(what: str) -> str:
    """The text of `list WHAT`; raises UserError for something that can't be listed."""
    if what not in WHAT:
        raise unknown("list", what, WHAT)
    return {"problems": _problems, "optimizers": _optimizers, "presets": _presets, "metrics": _metrics}[what]()


def plan_text(plan: Plan, workers: int | None) -> str:
    """The cells of a plan with their cost, and an estimate of the time."""
    from optbench.runner.engines import default_workers
    from optbench.runner.progress import duration

    seeds = len(plan.seeds)
    rows = []
    total = 0.0
    for cell in plan.cells:
        seconds = plan.seconds(cell)
        total += seconds
        cost = "by speed" if cell.run_budget.unit == "seconds" else f"{cell.run_cost * plan.trainings(cell):,.0f}"
        rows.append((cell.id, *map(str, cell.key), str(cell.run_budget), cost, duration(seconds), cell.execution.name))
    head = ("cell", "problem", "optimizer", "batch", "device", "schedule", "run budget", "cost", "time", "execution")
    workers = workers or default_workers(max(c.threads for c in plan.cells), {c.device for c in plan.cells})
    return "\n".join(
        (
            table((head, *rows), right=(3, 7, 8)),
            "",
            f"{_counted(len(plan.cells), 'cell')}, {_counted(seeds, 'seed')}; "
            "cost in example gradients, tuning included",
            f"about {duration(total / workers)} on {_counted(workers, 'worker')} "
            "(from reference figures of a server CPU, one thread)",
            *(f"note: {note}" for note in plan.notes),
        )
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def status_text(folder: Path) -> str:
    """Done, failed and missing cells of a results directory with the budget spent."""
    from optbench.results.cell_status import standing
    from optbench.results.directory import ResultsDirectory

    directory = ResultsDirectory(folder)
    directory.check()
    plan = directory.plan()
    rows = []
    states: Counter[str] = Counter()
    for cell in plan["cells"]:
        found = standing(directory.cell(cell["cell_id"]), cell, plan["seeds"], plan.get("studies", 1))
        states[found.state] += 1
        cost = f"{found.spent:,.0f}" + (f" of {found.budget:,.0f}" if found.budget else "")
        rows.append(
            (cell["cell_id"], cell["problem"], cell["optimizer"], str(cell["batch_size"]), cell["device"],
             found.state, str(found.trials), cost, str(found.runs), found.error)
        )  # fmt: skip
    head = (
        "cell",
        "problem",
        "optimizer",
        "batch",
        "device",
        "state",
        "trials",
        "tuning cost",
        "runs",
        "error",
    )
    planned = {cell["cell_id"] for cell in plan["cells"]}
    kept = [path.name for path in (folder / "cells").glob("*") if path.name not in planned]
    lines = [table((head, *rows), right=(3, 6, 7, 8)), ""]
    lines.append(", ".join(f"{states[state]} {state}" for state in ("done", "failed", "missing")))
    if kept:
        lines.append(f"{len(kept)} cells of other configurations are kept, and left out of the tables")
    return "\n".join(lines)


def run_text(results: Results) -> str:
    """What a run prints when it is done: the leaderboard, verdicts against stored results, and where everything is."""
    from optbench.reporting.outputs import places

    outputs, states = places(results.directory), Counter(results.states().values())
    blocks = [leaderboard_text(results.folder)]
    if results.directory.against() is not None:
        blocks.append(verdicts_text(results))
    failed = f", {states['failed']} failed" if states["failed"] else ""
    blocks.append(
        f"{states.total() - states['failed']} of {states.total()} cells complete{failed}\n"
        f"results  {results.folder}\ntables   {outputs.tables}\nplots    {outputs.plots}\nreport   {outputs.report}"
    )
    return "\n\n".join(blocks)


def leaderboard_text(folder: Path) -> str:
    """The short leaderboard, from the table on the disk."""
    import pandas as pd

    from optbench.formatting import terminal

    return terminal(pd.read_parquet(folder / "tables" / "summary.parquet"))


def verdicts_text(results: Results) -> str:
    """The verdicts on the optimizers of a results directory, against the stored ones that it was run against."""
    import pandas as pd

    from optbench.reporting.comparison import verdict_blocks

    table = pd.read_parquet(results.folder / "tables" / "verdicts.parquet")
    own = {cell["optimizer"] for cell in results.plan["cells"]}
    return "\n\n".join(verdict_blocks(table[table["optimizer"].isin(own)]))


def experiments_text() -> str:
    """The experiments with the claims that they test."""
    from optbench.experiments.claims import CLAIMS

    return table([("experiment", "claim"), *CLAIMS.items()])


def outcome_text(outcome: Outcome) -> str:
    """What an experiment found, and where it is written."""
    from optbench.formatting import terminal

    name, folder = outcome.experiment.name, outcome.section.parent
    return "\n".join(
        (
            f"{name}: {outcome.experiment.claim}\n",
            terminal(outcome.summary),
            f"\nverdict  {outcome.verdict}",
            f"figure   {folder / name}.svg, .png, .pdf",
            f"tables   {folder / name / 'tables'}\nsection  {outcome.section}\n",
        )
    )


def _problems() -> str:
    from optbench.problem.registry import make_problem, problem_class, problem_names

    blocks = []
    for name, target in problem_names().items():
        cls = problem_class(name)
        parameters = ",".join(
            f"{f.name}={format_value(f.default)}" for f in sorted(fields(cls), key=lambda f: bool(f.kw_only))
        )
        problem = make_problem(name, {})
        solved = "none" if problem.target is None else f"{problem.target:.4g}"
        blocks.append(
            f"{name}[{parameters}]\n"
            f"    {(cls.__doc__ or '').strip().splitlines()[0]}\n{_tells_apart(cls)}"
            f"    batch sizes {', '.join(map(str, problem.batch_sizes))}; run budget {problem.run_budget}; "
            f"metric {problem.metric_name}; target {solved}; {target}"
        )
    return "\n".join(blocks)


def _tells_apart(cls: type) -> str:
    """The paragraph of a problem's docstring that begins with these words, as a line; nothing where it has none."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in (cls.__doc__ or "").split("\n\n"))
    return next(
        (f"    {found[0].lower()}{found[1:]}\n" for found in paragraphs if found.startswith("Tells apart:")), ""
    )


def _optimizers() -> str:
    from optbench.optimizers.registry import optimizer_names, optimizer_spec

    blocks = []
    for title, target in optimizer_names().items():
        spec = optimizer_spec(title)
        fixed = "".join(f", {key}={value}" for key, value in spec.arguments.items())
        found = spec.learning_rate
        tuned = [f"learning rate {found} (default {spec.default_lr:g})"] if found else []
        defaults = {**spec.known, **spec.arguments}
        tuned += [f"{key} {tried} (default {format_value(defaults[key])})" for key, tried in spec.search.items()]
        others = ", ".join(f"{key}={format_value(value)}" for key, value in spec.hyperparameters.items())
        by = {group: spec.partners.get(group, "itself") for group in spec.groups}
        groups = "".join(f"; {group} is {of}, by {by[group]}" for group, of in spec.groups.items())
        blocks.append(
            f"{title}: {target}(lr{fixed}){groups}\n    {spec.rule}\n    {spec.source}\n"
            f"    tunes {' and '.join(tuned) or 'nothing'} on networks; accepts {others}{_missing(spec)}"
        )
    return "\n".join(blocks)


def _missing(spec: OptimizerSpec) -> str:
    """What has to be installed first, if anything."""
    from optbench.optimizers.registry import installed

    try:
        return f"; of {spec.package} {installed(spec)}" if spec.package else ""
    except UserError:
        return f"\n    not installed: pip install '{f'optbench[{spec.extra}]' if spec.extra else spec.package}'"


def _presets() -> str:
    from importlib.resources import files

    from optbench.config.presets import PRESETS

    texts = (files("optbench.config.presets").joinpath(f"{name}.toml").read_text("utf-8") for name in PRESETS)
    return "\n".join(f"[{name}]\n{text}" for name, text in zip(PRESETS, texts, strict=True))


def _metrics() -> str:
    from optbench.metrics import METRICS

    return table([("metric", "better", "what it is"), *((n, m.better, m.meaning) for n, m in METRICS.items())])
