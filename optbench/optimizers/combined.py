"""Combines several optimizers into one, such as Muon for matrices and AdamW for all other parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from optbench.errors import UserError


class CombinedOptimizer(torch.optim.Optimizer):
    """An optimizer that steps its members one after another and shares their parameter groups and state.

    A schedule that sets the learning rates in `param_groups` therefore reaches all members. The members must not need a
    closure.
    """

    def __init__(self, members: Sequence[torch.optim.Optimizer]) -> None:
        self.members = tuple(members)
        super().__init__([group for member in self.members for group in member.param_groups], {})
        self.defaults = {**self.members[0].defaults}
        for member in self.members:
            self.state.update(member.state)
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of every member, after evaluating the closure once if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for member in self.members:
            member.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state and the settings of all members."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Make the members use this optimizer's groups and state; each parameter's state belongs to one member."""
        rest = list(self.param_groups)
        for member in self.members:
            count = len(member.param_groups)
            member.param_groups, rest = rest[:count], rest[count:]
            member.state = self.state


class SwitchingOptimizer(CombinedOptimizer):
    """A combination in which a member evaluates other weights than it trains, as schedule-free methods do."""

    def train(self) -> None:
        """Switch the parameters to the weights that are trained."""
        self._switch("train")

    def eval(self) -> None:
        """Switch the parameters to the weights that are evaluated."""
        self._switch("eval")

    def _switch(self, name: str) -> None:
        for member in self.members:
            if (switch := getattr(member, name, None)) is not None:
                switch()


def combine(members: Sequence[torch.optim.Optimizer]) -> CombinedOptimizer:
    """Combine optimizers into one, which has `train()` and `eval()` if a member has them.

    Raises:
        UserError: If a member wraps another optimizer and so has no parameter groups of its own.
    """
    for member in members:
        if isinstance(getattr(type(member), "param_groups", None), property):
            raise UserError(
                f"{type(member).__name__} can't be combined with others by parameter groups: its param_groups are "
                "those of the optimizer that it wraps (accepted: optimizers with their own)"
            )
    switching = any(hasattr(member, "eval") for member in members)
    return SwitchingOptimizer(members) if switching else CombinedOptimizer(members)
