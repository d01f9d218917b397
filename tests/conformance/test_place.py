"""An error is described with the last line of the user's code that it passed."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import torch

from optbench.conformance.place import describe_error
from optbench.conformance.suite import check
from optbench.importing import load_attribute

MINE = """
    import torch

    def below(params):
        return torch.stack([p.grad for p in params])

    def fail():
        below([torch.zeros(1)])

    class Mine(torch.optim.Optimizer):
        def __init__(self, params, total_steps, lr=0.1):
            super().__init__(params, {"lr": lr})
        def step(self, closure=None):
            for group in self.param_groups:
                raise ArithmeticError("mine")
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(dedent(MINE))
    return f"{tmp_path}/mine.py"


def test_the_last_line_of_the_users_code_is_named(mine: str) -> None:
    with pytest.raises(TypeError) as caught:
        load_attribute(f"{mine}:fail")()
    assert describe_error(caught.value).startswith("TypeError: ")
    assert describe_error(caught.value).endswith("(line 5 of mine.py: return torch.stack([p.grad for p in params]))")


def test_an_error_outside_of_it_has_no_place() -> None:
    from optbench.errors import out_of_range

    error = out_of_range("x", 1, "2")
    assert describe_error(error) == "UserError: x = 1 is out of range (accepted: 2)"


def test_a_failed_check_names_the_place_and_the_fix(mine: str) -> None:
    constructs, steps = check(f"{mine}:Mine", only=["constructs", "steps"])
    assert constructs.reason.endswith("; filled in from the run: total_steps = 8 (steps)")
    assert steps.reason == 'step() fails: ArithmeticError: mine (line 15 of mine.py: raise ArithmeticError("mine"))'
    assert steps.fix.startswith("correct the line that is named")


def test_nothing_is_filled_in_where_nothing_is_missing() -> None:
    [constructs] = check("adam", only=["constructs"])
    assert "filled in" not in constructs.reason
    assert torch.is_grad_enabled()
