"""The answer is the sentence of the recommendation, on the page as in `optbench recommend`."""

from __future__ import annotations

from optbench.metrics.recommendation import recommendation
from optbench.reporting.header import answer, other_budgets, problem_answers
from tests.support.frames import PROBLEMS, make
from tests.support.studies import study


def test_the_answer_is_the_sentence_of_the_largest_budget() -> None:
    frames = make(optimizers=["adam", "sgd"])
    table = recommendation(frames.trials, frames.runs, frames.cells)
    whole = table.query("scope == 'all tasks' and sentence != ''")
    first, second = answer({"recommendation": table})
    assert first == whole.query("trials == 12")["sentence"].item()
    assert second == "This may not hold for other problems, sizes or budgets."
    assert other_budgets(table) == whole.query("trials < 12")["sentence"].tolist()
    own = table.query("scope in @PROBLEMS and trials == 12 and sentence != ''")
    assert problem_answers(table) == own["sentence"].tolist()
    assert len(own) == len(PROBLEMS)


def test_problems_with_one_task_are_answered_by_it() -> None:
    found = study({(problem, 10, name): [1.0] * 3 for problem in "ab" for name in ("adam", "sgd")})
    texts = problem_answers(recommendation(found.trials, found.runs, found.cells))
    assert [text.partition(":")[0] for text in texts] == [
        f"With the compute of 3 runs for tuning on {problem}, batch 10, cpu, constant" for problem in "ab"
    ]
    one = study({"adam": [1.0] * 3})
    assert problem_answers(recommendation(one.trials, one.runs, one.cells)) == []


def test_the_reason_why_there_is_no_answer_is_the_true_one() -> None:
    found = study({"adam": [None]}, trials={"adam": [None, None]})
    _, text = answer({"recommendation": recommendation(found.trials, found.runs, found.cells)})
    assert "no finite loss within the budget on 1 task" in text
    untuned = study({"adam": [3.46], "sgd": [1.0]}, trials={"adam": []})
    untuned.runs, untuned.cells, untuned.trials = (
        frame[frame["optimizer"] == "adam"] for frame in (untuned.runs, untuned.cells, untuned.trials)
    )
    untuned.runs = untuned.runs.assign(tuned=False)
    text, _ = answer({"recommendation": recommendation(untuned.trials, untuned.runs, untuned.cells)})
    assert text.startswith("Nothing was tuned: use adam, at batch size 10")
    nothing = recommendation(found.trials.iloc[:0], found.runs.iloc[:0], found.cells)
    assert answer({"recommendation": nothing}) == ["Nothing can be recommended yet: no cell has been run."]
