"""Texts that the command line prints: plans, states, leaderboards, and lists of problems and optimizers."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.cli.leaderboard import leaderboard_text
from optbench.errors import UserError, unknown
from optbench.formatting import align_columns, in_words
from optbench.selection import format_value

if TYPE_CHECKING:
    from optbench.experiments.conduct import Outcome
    from optbench.optimizers.spec import OptimizerSpec
    from optbench.planning.matrix import Plan
    from optbench.results.load import Results

#: What each execution does, for the line below a plan.
HOW = {
    "eager": "eager runs one training after another",
    "population": "population runs several trainings of a cell at once",
    "compile": "compile is eager with torch.compile",
    "cuda_graph": "cuda_graph is eager with captured CUDA graphs",
}
WHAT = ("problems", "optimizers", "schedules", "presets", "metrics")


def list_text(what: str) -> str:
    """Returns the text of `optbench list WHAT`.

    Raises:
        UserError: `what` is not one of `WHAT`.
    """
    if what not in WHAT:
        raise unknown("list", what, WHAT)
    texts = {"problems": _problems, "optimizers": _optimizers, "schedules": _schedules, "presets": _presets}
    return (texts | {"metrics": _metrics})[what]()


def plan_text(plan: Plan, workers: int | None) -> str:
    """Formats the cells of a plan with their cost and an estimated time.

    Args:
        plan: The plan.
        workers: Number of worker processes that the estimate assumes (None: one per core).
    """
    from optbench.runner.engines import default_workers
    from optbench.runner.progress import duration
    from optbench.runner.seeds_needed import describe_undecided

    def time(seconds: float) -> str:
        return duration(seconds) if seconds >= 0.5 else "<1 s"

    seeds, used = len(plan.seeds), {cell.execution.name for cell in plan.cells}
    rows = []
    total = 0.0
    for cell in plan.cells:
        seconds = plan.seconds(cell)
        total += seconds
        cost = "by speed" if cell.run_budget.unit == "seconds" else f"{cell.run_cost * plan.trainings(cell):,.0f}"
        rows.append((cell.id, *map(str, cell.key), str(cell.run_budget), cost, time(seconds), cell.execution.name))
    head = ("cell", "problem", "optimizer", "batch", "device", "schedule", "run budget", "cost", "time", "execution")
    workers = workers or default_workers(max(c.threads for c in plan.cells), {c.device for c in plan.cells})
    return "\n".join(
        (
            align_columns((head, *rows), right=(3, 7, 8)),
            "",
            f"{_pluralize(len(plan.cells), 'cell')}, {_pluralize(seeds, 'seed')}; "
            "cost in example gradients, including tuning",
            f"execution: {'; '.join(how for name, how in HOW.items() if name in used)}",
            f"about {time(total / workers)} on {_pluralize(workers, 'worker')} ({_describe_estimate(plan)})",
            *(f"note: {note}" for note in (*plan.notes, describe_undecided(plan)) if note),
        )
    )


def _describe_estimate(plan: Plan) -> str:
    """Says which times are measured on this machine."""
    known = "estimated from measurements on a server CPU with one thread"
    measured = list(dict.fromkeys(cell.problem.label for cell in plan.cells if plan.speed(cell)))
    if not measured:
        return known
    here = f"{in_words(measured)} measured here by a few steps and an evaluation"
    return here if all(plan.speed(cell) for cell in plan.cells) else f"{here}; the others {known}"


def stored_text(plan: Plan, folder: Path) -> str:
    """Returns a line that says how many cells of a plan are complete in a results directory."""
    from optbench.results.cell_status import describe_lack
    from optbench.results.directory import ResultsDirectory

    directory = ResultsDirectory(folder)
    states = [directory.cell(cell.id).state(plan.seeds, plan.studies) for cell in plan.cells]
    lacking = sum(bool(describe_lack(directory.cell(cell.id).result(), plan.seeds)) for cell in plan.cells)
    text = f"{states.count('done')} of {_pluralize(len(states), 'cell')} stored in {folder}"
    return f"{text}, {lacking} with fewer seeds" if lacking else text


def _pluralize(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def status_text(results: Results) -> str:
    """Formats the done, failed, missing and damaged cells of a results directory, with the tuning budget spent."""
    from optbench.results.cell_status import describe_lack, read_progress

    directory, plan, damage = results.directory, results.plan, results.damage
    rows = []
    states: Counter[str] = Counter()
    for cell in plan["cells"]:
        stored, result = directory.cell(cell["cell_id"]), results.cell_results[cell["cell_id"]]
        progress = read_progress(stored, cell, plan["seeds"], plan.get("studies", 1), result)
        state = "damaged" if cell["cell_id"] in damage else progress.state
        lack = describe_lack(result, plan["seeds"]) if state == "missing" else ""
        states["incomplete" if lack else state] += 1
        cost = f"{progress.spent:,.0f}" + (f" of {progress.budget:,.0f}" if progress.budget else "")
        rows.append(
            (cell["cell_id"], cell["problem"], cell["optimizer"], str(cell["batch_size"]), cell["device"],
             lack or state, str(progress.trials), cost, str(progress.runs), progress.error)
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
    others = [path.name for path in (results.folder / "cells").glob("*") if path.name not in planned]
    lines = [align_columns((head, *rows), right=(3, 6, 7, 8)), ""]
    shown = ("done", "failed", "missing", *(name for name in ("incomplete", "damaged") if states[name]))
    lines.append(", ".join(f"{states[state]} {state}" for state in shown))
    lines += [f"note: {text}" for text in damage.values()]
    if others:
        lines.append(
            f"{_pluralize(len(others), 'cell')} of other configurations in this directory (not part of the tables)"
        )
    return "\n".join(lines)


def run_text(results: Results, states: Counter[str]) -> str:
    """Formats the summary of a finished run: the leaderboard, verdicts against stored results, and the output paths.

    Args:
        results: The results.
        states: Number of cells by state.
    """
    from optbench.reporting.outputs import places

    outputs = places(results.directory)
    blocks = [leaderboard_text(results.folder)]
    if results.directory.against() is not None:
        blocks.append(verdicts_text(results))
    failed = f", {states['failed']} failed" if states["failed"] else ""
    blocks.append(
        f"{states.total() - states['failed']} of {states.total()} cells complete{failed}\n"
        f"results  {results.folder}\ntables   {outputs.tables}\nplots    {outputs.plots}\nreport   {outputs.report}"
    )
    return "\n\n".join(blocks)


def verdicts_text(results: Results) -> str:
    """Formats the verdicts that compare the run's optimizers with the stored results given by `--against`."""
    import pandas as pd

    from optbench.reporting.comparison import verdict_blocks

    table = pd.read_parquet(results.folder / "tables" / "verdicts.parquet")
    own = {cell["optimizer"] for cell in results.plan["cells"]}
    return "\n\n".join(verdict_blocks(table, only=own))


def experiments_text() -> str:
    """Formats the experiments with the claim that each tests."""
    from optbench.experiments.claims import CLAIMS

    return align_columns([("experiment", "claim"), *CLAIMS.items()])


def outcome_text(outcome: Outcome) -> str:
    """Formats the summary and the verdict of an experiment, and the paths of its files."""
    from optbench.formatting import to_text

    name, folder = outcome.experiment.name, outcome.section.parent
    return "\n".join(
        (
            f"{name}: {outcome.experiment.claim}\n",
            to_text(outcome.summary),
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
    """Returns the paragraph "Tells apart: …" of a problem's docstring as one line, or "" if there is none."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in (cls.__doc__ or "").split("\n\n"))
    return next((f"    {text[0].lower()}{text[1:]}\n" for text in paragraphs if text.startswith("Tells apart:")), "")


def _optimizers() -> str:
    from optbench.optimizers.registry import optimizer_names, optimizer_spec

    blocks = []
    for title, target in optimizer_names().items():
        spec = optimizer_spec(title)
        fixed = "".join(f", {key}={value}" for key, value in spec.arguments.items())
        rates = spec.learning_rate
        tuned = [f"learning rate {rates} (default {spec.default_lr:g})"] if rates else []
        defaults = {**spec.known, **spec.arguments}
        tuned += [f"{key} {values} (default {format_value(defaults[key])})" for key, values in spec.search.items()]
        others = ", ".join(f"{key}={format_value(value)}" for key, value in spec.hyperparameters.items())
        classes = {group: spec.partners.get(group, "the same class") for group in spec.groups}
        groups = "".join(f"; group {group} ({rule}) by {classes[group]}" for group, rule in spec.groups.items())
        blocks.append(
            f"{title}: {target}(lr{fixed}){groups}\n    {spec.rule}\n    {spec.source}\n"
            f"    tunes {' and '.join(tuned) or 'nothing'} on networks; other hyperparameters: {others or 'none'}"
            + _describe_package(spec)
        )
    return "\n".join(blocks)


def _describe_package(spec: OptimizerSpec) -> str:
    """Returns the version of the package that implements an optimizer, or the command that installs it."""
    from optbench.optimizers.registry import package_version

    try:
        return f"; package {spec.package} {package_version(spec)}" if spec.package else ""
    except UserError:
        return f"\n    not installed: pip install '{f'optbench[{spec.extra}]' if spec.extra else spec.package}'"


def _schedules() -> str:
    from optbench.optimizers.schedule_shapes import SHAPES, parameters_of

    blocks = []
    for name, shape in SHAPES.items():
        defaults = {key: parameter.default for key, parameter in parameters_of(name).items()}
        texts = (f"{key}={'…' if value is None else format_value(value)}" for key, value in defaults.items())
        blocks.append(
            f"{name}[{','.join(texts)}]\n    {shape.rule}" + (f"\n    {shape.source}" if shape.source else "")
        )
    about = (
        "The factor of the learning rate, where x rises from 0 to 1 between the end of the warm-up and that of the run."
        "\nBefore, it rises linearly from 0 to 1. Lengths are fractions of the run, or whole numbers of steps."
    )
    return "\n".join([about, *blocks])


def _presets() -> str:
    from importlib.resources import files

    from optbench.config.presets import PRESETS

    texts = (files("optbench.config.presets").joinpath(f"{name}.toml").read_text("utf-8") for name in PRESETS)
    return "\n".join(f"[{name}]\n{text}" for name, text in zip(PRESETS, texts, strict=True))


def _metrics() -> str:
    from optbench.metrics import METRICS

    return align_columns([("metric", "better", "meaning"), *((n, m.better, m.meaning) for n, m in METRICS.items())])
