"""Parameters that share their name with a method of `Problem`: values that answer to that call.

`mnist_cnn[data=digits]` makes `problem.data` a word, while `problem.data(source)` reads the images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class CallableText(str):
    """A word that calls `method` when it is called."""

    method: Callable[..., Any]

    def __new__(cls, value: str, method: Callable[..., Any]) -> CallableText:
        made = super().__new__(cls, value)
        made.method = method
        return made

    def __call__(self, *arguments: Any) -> Any:
        return self.method(*arguments)

    def __deepcopy__(self, memo: dict[int, Any]) -> str:
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return CallableText, (str(self), self.method)


class CallableSwitch(int):
    """True or false that calls `method` when it is called."""

    method: Callable[..., Any]

    def __new__(cls, value: bool, method: Callable[..., Any]) -> CallableSwitch:
        made = super().__new__(cls, value)
        made.method = method
        return made

    def __call__(self, *arguments: Any) -> Any:
        return self.method(*arguments)

    def __repr__(self) -> str:
        return repr(bool(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> bool:
        return bool(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return CallableSwitch, (bool(self), self.method)
