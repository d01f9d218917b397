"""One optimizer made of several, each with parameters of its own: Muon for matrices, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from optbench.errors import UserError


class Combined(torch.optim.Optimizer):
    """Steps its members one after another; their parameter groups and their state are its own.

    So a schedule that sets the rates of `param_groups` reaches all members. Members have to take plain steps.
    """

    def __init__(self, members: Sequence[torch.optim.Optimizer]) -> None:
        self.members = tuple(members)
        super().__init__([group for member in self.members for group in member.param_groups], {})
        self.defaults = {**self.members[0].defaults}
        for member in self.members:
            self.state.update(member.state)
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every member, after one evaluation of the closure where there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for member in self.members:
            member.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads state and settings of all members."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Lets the members work on these groups and this state: a parameter's state is that of its member."""
        rest = list(self.param_groups)
        for member in self.members:
            count = len(member.param_groups)
            member.param_groups, rest = rest[:count], rest[count:]
            member.state = self.state


class Switching(Combined):
    """A combination of which some member evaluates other weights than it trains (schedule-free methods)."""

    def train(self) -> None:
        """Puts the weights to train into the parameters."""
        self._switch("train")

    def eval(self) -> None:
        """Puts the weights to evaluate into the parameters."""
        self._switch("eval")

    def _switch(self, name: str) -> None:
        for member in self.members:
            if (switch := getattr(member, name, None)) is not None:
                switch()


def combined(members: Sequence[torch.optim.Optimizer]) -> Combined:
    """The members as one optimizer, with `train()` and `eval()` where one of them has these.

    Raises UserError for a member that wraps another optimizer, whose groups and state are not its own.
    """
    for member in members:
        if isinstance(getattr(type(member), "param_groups", None), property):
            raise UserError(
                f"{type(member).__name__} can't be combined with others by parameter groups: its param_groups are "
                "those of the optimizer that it wraps (accepted: optimizers that hold their own)"
            )
    switching = any(hasattr(member, "eval") for member in members)
    return Switching(members) if switching else Combined(members)
