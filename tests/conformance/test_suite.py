"""Each mistake is found by the check that is for it, and what is right passes; the same as pytest functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from optbench.config.own_files import list_definitions
from optbench.conformance import check, optimizer_test, problem_test
from optbench.conformance.suite import OPTIMIZER_CHECKS, PROBLEM_CHECKS, assert_check
from optbench.errors import UserError
from tests.support import broken, tiny
from tests.support.passes import PASSES

_FILE = broken.__file__

test_plain = optimizer_test(f"{_FILE}:Plain")
test_right = pytest.mark.processes(problem_test(f"{_FILE}:Right"))  # one of the checks starts a worker


@pytest.mark.parametrize(("thing", "name"), broken.OPTIMIZERS.items(), ids=lambda x: getattr(x, "__name__", x))
def test_the_mistake_of_an_optimizer_is_found(thing: type, name: str) -> None:
    [finding] = check(f"{_FILE}:{thing.__name__}", only=[name])
    assert (finding.check, finding.outcome) == (name, "failed")
    assert finding.reason
    assert finding.fix


@pytest.mark.processes
@pytest.mark.parametrize(("thing", "name"), broken.PROBLEMS.items(), ids=lambda x: getattr(x, "__name__", x))
def test_the_mistake_of_a_problem_is_found(thing: type, name: str) -> None:
    [finding] = check(f"{_FILE}:{thing.__name__}", only=[name])
    assert (finding.check, finding.outcome) == (name, "failed")
    assert finding.fix


def test_the_minimum_of_a_function_need_not_be_0() -> None:
    found = {one.check: one for one in check(f"{_FILE}:Bowl", only=["settings", "minimum"])}
    assert (found["minimum"].outcome, found["minimum"].reason) == ("ok", "no value below -5")
    assert found["settings"].reason == "target 0.006, 6 at the start"


def test_a_lower_place_than_the_minimum_is_named() -> None:
    [finding] = check(f"{_FILE}:Displaced", only=["minimum"])
    found = re.fullmatch(r"the value at \((.+), (.+)\) is -5, below the declared minimum of -4.99", finding.reason)
    assert found, finding.reason
    assert [float(part) for part in found.groups()] == pytest.approx([0, 0], abs=1e-6)


def test_batches_that_are_too_large_are_no_obstacle_to_other_checks() -> None:
    found = {finding.check: finding for finding in check(f"{_FILE}:TooFew", only=["settings", "start", "trains"])}
    assert (
        found["settings"].reason
        == f"all batch sizes [1000, 2000] exceed the {broken.TooFew().examples} training examples"
    )
    assert [found["start"].outcome, found["trains"].outcome] == ["ok", "ok"]


def test_every_check_has_a_mistake_that_it_finds() -> None:
    """But for what is only told (the search space), and what the harness guarantees whatever the optimizer does."""
    assert set(OPTIMIZER_CHECKS) - set(broken.OPTIMIZERS.values()) == {"search_space", "charges", "budget"}
    assert set(PROBLEM_CHECKS) - set(broken.PROBLEMS.values()) == {"trains"}


def test_what_a_mistake_needs_is_said() -> None:
    fixes = {name: next(check(f"{_FILE}:{name}", only=["steps"])).fix for name in ("SecretClosure", "SecretGraph")}
    assert "needs_closure = true" in fixes["SecretClosure"]
    assert "second_backward = true" in fixes["SecretGraph"]


def test_state_that_is_reset_leaks_no_more() -> None:
    assert [f.outcome for f in check(f"{_FILE}:Forgetting", only=["isolated", "deterministic"])] == ["ok", "ok"]


def test_without_a_step_nothing_else_is_checked() -> None:
    assert [finding.check for finding in check(f"{_FILE}:SecretClosure")] == ["constructs", "steps"]


def test_a_waived_check_gives_its_reason() -> None:
    [finding] = check("rprop", only=["zero_rate"])
    assert finding.outcome == "skipped"
    assert "first step's size only" in finding.reason


def test_as_a_test_a_failure_fails_with_the_reason() -> None:
    with pytest.raises(pytest.fail.Exception, match="ignores param_groups"):
        assert_check(f"{_FILE}:IgnoresRate", "zero_rate")
    with pytest.raises(pytest.skip.Exception, match=r"has no train\(\)/eval\(\) methods"):
        assert_check(f"{_FILE}:Plain", "switches")


def test_a_table_is_checked_as_it_is_described() -> None:
    table = {
        "base": "momentum",
        "groups": {"biases": {"where": "ndim == 1", "search": {"lr": {"low": 1e-3, "high": 1}}}},
    }
    [finding] = check("mine", tables={"mine": table}, only=["groups"])
    assert (finding.outcome, finding.reason) == ("ok", "2 groups of its own, with 4, 3 parameters")


def test_everything_that_a_file_defines() -> None:
    found = list_definitions(_FILE)
    assert f"{_FILE}:Plain" in found
    assert f"{_FILE}:Right" in found
    assert not any(name.endswith((":forget", ":TinyNet", ":Batch")) for name in found)


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("adm", "unknown problem or optimizer 'adm'; did you mean 'adam'?"),
        ("nowhere.py:Mine", "nowhere.py does not exist"),
        (f"{_FILE}:Plainn", "did you mean 'Plain'?"),
    ],
)
def test_what_cannot_be_found(target: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        list(check(target))
    assert line in str(caught.value)


def test_a_file_with_a_mistake_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import torch\nclass Mine(torch.optim.Optimizer:\n")
    with pytest.raises(UserError, match=r"^\S+mine\.py can't be imported: SyntaxError: .*line 2\)$"):
        list_definitions(str(tmp_path / "mine.py"))


def test_an_unknown_check() -> None:
    with pytest.raises(UserError, match=r"unknown check 'isolatd'; did you mean 'isolated'\?"):
        list(check("adam", only=["isolatd"]))


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from optbench.cli.verbs import main

    arguments = ["--only", "zero_rate", "--only", "isolated"]
    for names, code in ((["Plain"], 0), (["IgnoresRate", "Plain"], 1)):
        with pytest.raises(SystemExit) as ended:
            main(["check", *[f"{_FILE}:{name}" for name in names], *arguments])
        assert ended.value.code == code
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("  all checks passed") == 2
    assert lines.count("  1 of 2 checks failed: zero_rate") == 1
    assert sum(line.lstrip().startswith("fix: read group['lr']") for line in lines) == 1
    empty = tmp_path / "empty.py"
    empty.write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["check", str(empty)])
    assert ended.value.code == 2
    assert "defines neither a problem nor an optimizer" in capsys.readouterr().err


def test_the_same_as_a_function() -> None:
    import optbench

    for thing in (broken.IgnoresRate, f"{_FILE}:IgnoresRate"):
        [finding] = optbench.check(thing, only=["zero_rate"])
        assert finding.outcome == "failed"


def test_tables_of_a_file_are_checked_by_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from optbench.cli.verbs import main

    file = tmp_path / "my.toml"
    file.write_text("""
        [optimizer.pair]
        class = "torch.optim:Muon"
        search.lr_schedule = ["constant", "cosine"]
        search.lr_warmup = { low = 0.0, high = 0.2, scale = "linear", when = { lr_schedule = "cosine" } }
        groups.rest = { where = "ndim != 2", base = "sgd" }

        [optimizer.long]
        base = "sgd"
        arguments = { lr_warmup = 100000 }  # longer than the few steps of a check
    """)
    with pytest.raises(SystemExit) as ended:
        main(["check", "pair", "long", "--config", str(file), "--only", "search_space", "--only", "groups"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "lr_schedule constant or cosine; lr_warmup 0 to 0.2 linear where lr_schedule is cosine" in out
    assert "2 groups of its own, with 3, 4 parameters" in out


@pytest.mark.processes
def test_a_file_is_found_from_whatever_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker process of an earlier check was started in another one."""
    text = Path(tiny.__file__).read_text("utf-8")
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        Path(f"{name}.py").write_text(text, "utf-8")
        [finding] = check(f"{name}.py:TinyNet", only=["workers"])
        assert finding.outcome == "ok", finding.reason


@pytest.mark.parametrize(
    ("page", "checks"), [("your-optimizer.md", OPTIMIZER_CHECKS), ("your-problem.md", PROBLEM_CHECKS)]
)
def test_the_documents_name_all_checks(page: str, checks: Mapping[str, object]) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text("utf-8")
    section = text[text.index("## Check") :]
    assert [name for name in checks if f"`{name}`" not in section] == []


def test_weights_that_are_not_finite_are_one_finding() -> None:
    """Compared with anything, NaN is different: it is no leak, no clock and no overspent budget."""
    findings = list(check(f"{PASSES}:Overflowing"))
    assert [finding.check for finding in findings if finding.outcome == "failed"] == ["steps"]
    assert findings[-1].reason == "the weights are not finite after three steps at its default rate"


@pytest.mark.parametrize("passes", [1, 2, 5])
def test_an_optimizer_that_plans_its_steps_passes_whatever_its_steps_cost(tmp_path: Path, passes: int) -> None:
    """It receives as many steps as a check takes: it has a rate for each of them, and fails after the last one."""
    file = tmp_path / "planned.py"
    file.write_text(PLANNED)
    findings = list(check(f"{file}:Planned[passes={passes}]"))
    assert [(one.check, one.reason) for one in findings if one.outcome == "failed"] == []
    received = re.search(r"filled in from the run: total_steps = (\d+) \(steps\)", findings[0].reason)
    assert received
    assert 8 <= int(received[1]) < 16, "no more than checks need"


PLANNED = """
import torch

class Planned(torch.optim.Optimizer):
    def __init__(self, params, total_steps, lr=0.05, passes=2):
        super().__init__(params, {"lr": lr, "taken": 0})
        self.passes, self.shares = passes, torch.linspace(1, 0.1, total_steps).tolist()

    def step(self, closure):
        with torch.enable_grad():
            for _ in range(self.passes):
                closure()
        for group in self.param_groups:
            rate = group["lr"] * self.shares[group["taken"]]
            group["taken"] += 1
            for p in group["params"]:
                if p.grad is not None:
                    p.data.sub_(rate * p.grad)
"""
